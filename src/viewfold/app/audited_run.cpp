// Implements what the parts of an audit share: images, features, and how many fit into the time.
#include "viewfold/app/audited_run.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "viewfold/app/pretraining.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/eval/embedding_map.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold {
namespace {

using Clock = std::chrono::steady_clock;

// How often an image is encoded for each part that changes images.
constexpr double kCorruptions = 19.0 * 5.0 + 10.0;
constexpr double kTransforms = 18.0 * 9.0;
constexpr double kAttacks = 4.0 * 36.0;  // sizes, passes (eval/adversarial.hpp)
constexpr double kRenderings = 2.25;     // of each solid that whitens: tests, and views of these

// Shares of the time for what encodes; the rest is for what is computed from features, for the map
// and for fine-tuning.
constexpr double kFeatureShare = 0.25;
constexpr double kCorruptedShare = 0.2;
constexpr double kTransformedShare = 0.1;
constexpr double kAttackedShare = 0.08;
constexpr double kRenderedShare = 0.04;

// The numbers 0 .. count - 1, in the same order whenever it is asked for.
std::vector<std::uint32_t> random_order(std::size_t count) {
  std::vector<std::uint32_t> order(count);
  Rng(RngKey{.seed = AuditedRun::kSeed, .stream = "audit"})
      .permute(std::span<std::uint32_t>(order));
  return order;
}

// `count` images in random order, each class among them: files often come class by class.
std::shared_ptr<const Dataset> draw(const std::shared_ptr<const Dataset>& images,
                                    std::int64_t count) {
  const auto all = images->size();
  if (count >= static_cast<std::int64_t>(all)) {
    return images;
  }
  auto order = random_order(all);
  const auto classes = images->class_names().size();
  std::vector<bool> seen(classes, false);
  // The first of each class come first, the others after them in their order.
  std::stable_partition(order.begin(), order.end(), [&](std::uint32_t index) {
    const auto label = images->label(index);
    if (!label || seen[static_cast<std::size_t>(*label)]) {
      return false;
    }
    seen[static_cast<std::size_t>(*label)] = true;
    return true;
  });
  order.resize(static_cast<std::size_t>(count));
  return make_subset(images, std::move(order));
}

// rate  images a second through decoding and encoder
AuditSizes fit_sizes(const LabelledImages& images, double rate, double seconds) {
  const auto train = static_cast<double>(images.train->size());
  const auto test = static_cast<double>(images.test->size());
  const double share = std::min(1.0, kFeatureShare * seconds * rate / (train + test));
  const auto count = [](double wanted, double least, double most) {
    return static_cast<std::int64_t>(std::clamp(wanted, std::min(least, most), most));
  };
  const auto classes = static_cast<double>(images.train->class_names().size());
  constexpr double kMapSeconds = 300.0;  // of an audit that has time for a large map
  return {
      .train = count(share * train, 20.0 * classes, train),
      .test = count(share * test, 10.0 * classes, test),
      .corrupted =
          count(kCorruptedShare * seconds * rate / kCorruptions, 50.0, std::min(2000.0, test)),
      .transformed =
          count(kTransformedShare * seconds * rate / kTransforms, 20.0, std::min(1000.0, test)),
      .attacked = count(kAttackedShare * seconds * rate / kAttacks, 20.0, std::min(1000.0, test)),
      .rendered = count(kRenderedShare * seconds * rate / kRenderings, 400.0, 8000.0),
      .mapped = count(seconds < kMapSeconds ? 500.0 : 2000.0, 1.0, test)};
}

}  // namespace

AuditSizes AuditSizes::least_of(const AuditSizes& a, const AuditSizes& b) {
  return {.train = std::min(a.train, b.train),
          .test = std::min(a.test, b.test),
          .corrupted = std::min(a.corrupted, b.corrupted),
          .transformed = std::min(a.transformed, b.transformed),
          .attacked = std::min(a.attacked, b.attacked),
          .rendered = std::min(a.rendered, b.rendered),
          .mapped = std::min(a.mapped, b.mapped)};
}

AuditedRun::AuditedRun(const RunDir& run,
                       LabelledImages images,
                       Clock::time_point deadline,
                       LogSink& log)
    : run_(run),
      loaded_(read_finished_encoder(run)),
      all_(std::move(images)),
      deadline_(deadline),
      log_(log) {}

int AuditedRun::threads() {
  return at::get_num_threads();
}

double AuditedRun::seconds_left() const {
  return std::chrono::duration<double>(deadline_ - Clock::now()).count();
}

double AuditedRun::rate() {
  if (!rate_) {
    constexpr std::int64_t kLooks = 512;
    const auto some = draw(all_.test, kLooks);
    (void)features(*draw(all_.test, kBatch));  // warm
    const auto start = Clock::now();
    (void)features(*some);
    rate_ = static_cast<double>(some->size()) /
            std::chrono::duration<double>(Clock::now() - start).count();
  }
  return *rate_;
}

AuditSizes AuditedRun::sizes_for(double seconds) {
  return fit_sizes(all_, rate(), seconds);
}

LabelledImages AuditedRun::taken() const {
  return {.source = all_.source,
          .train = draw(all_.train, sizes_.train),
          .test = draw(all_.test, sizes_.test),
          .test_split = all_.test_split};
}

const EvaluationInput& AuditedRun::input() {
  if (!input_) {
    log_.info("  features ...");
    const auto images = taken();
    input_ = EvaluationInput{.train = features(*images.train),
                             .test = features(*images.test),
                             .classes = all_.train->class_names(),
                             .seed = kSeed};
  }
  return *input_;
}

EvaluationInput AuditedRun::input_with_bank(std::int64_t most) {
  EvaluationInput some = input();
  const auto all = some.train.features.size(0);
  const auto order = random_order(static_cast<std::size_t>(all));
  const auto rows = at::tensor(
      std::vector<std::int64_t>(order.begin(), order.begin() + std::min(most, all)), at::kLong);
  some.train.features = some.train.features.index_select(0, rows);
  if (some.train.labels.defined()) {
    some.train.labels = some.train.labels.index_select(0, rows);
  }
  return some;
}

FeatureSet AuditedRun::features(const Dataset& images) const {
  return extract_features(encoder(), images, loaded_.preprocess(), kBatch, threads());
}

std::shared_ptr<const Dataset> AuditedRun::entering_images(std::int64_t count) const {
  const auto size = static_cast<int>(loaded_.preprocess().input_size);
  const auto bands = static_cast<int>(loaded_.preprocess().bands);
  return make_changed(draw(all_.test, count), [size, bands](const Image& image, std::size_t) {
    const Image bytes = convert_bands(convert_type(image, PixelType::kUint8), bands);
    return bytes.height() == size && bytes.width() == size ? bytes
                                                           : resize_center_crop(bytes, size);
  });
}

std::shared_ptr<const Dataset> AuditedRun::some_test_images(std::int64_t count) const {
  return draw(all_.test, count);
}

}  // namespace viewfold
