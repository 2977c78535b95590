// The verb that audits encoders: what they know, what they ignore, and where they break.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <optional>

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/labelled_images.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/eval/invariance.hpp"
#include "viewfold/eval/response_curves.hpp"
#include "viewfold/eval/robustness.hpp"
#include "viewfold/image/resample.hpp"
#include "viewfold/report/findings.hpp"
#include "viewfold/report/report.hpp"
#include "viewfold/report/run_files.hpp"

namespace viewfold {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kBatch = 250;
constexpr std::int64_t kRobustnessBank = 10000;  // training images that vote on corrupted ones
constexpr std::uint64_t kSeed = 0;               // of what is drawn here: alike for all runs
constexpr const char* kRobustness = "robustness";
constexpr const char* kInvariance = "invariance";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// How many images each part takes.
struct Sizes {
  std::int64_t train = std::numeric_limits<std::int64_t>::max();  // features of training images
  std::int64_t test = std::numeric_limits<std::int64_t>::max();   // of test images
  // Test images, each corrupted in all ways, and each transformed in all ways.
  std::int64_t corrupted = std::numeric_limits<std::int64_t>::max();
  std::int64_t transformed = std::numeric_limits<std::int64_t>::max();
};

Sizes least_of(const Sizes& a, const Sizes& b) {
  return {.train = std::min(a.train, b.train),
          .test = std::min(a.test, b.test),
          .corrupted = std::min(a.corrupted, b.corrupted),
          .transformed = std::min(a.transformed, b.transformed)};
}

// How often an image is encoded for each part that changes images.
constexpr double kCorruptions = 19.0 * 5.0;
constexpr double kTransforms = 18.0 * 9.0;

// Shares of the time for features, corrupted and transformed images; the rest is for what is
// computed from features.
constexpr double kFeatureShare = 0.35;
constexpr double kCorruptedShare = 0.25;
constexpr double kTransformedShare = 0.15;

// rate  images a second through decoding and encoder
Sizes fit_sizes(const LabelledImages& images, double rate, double seconds) {
  const auto train = static_cast<double>(images.train->size());
  const auto test = static_cast<double>(images.test->size());
  const double share = std::min(1.0, kFeatureShare * seconds * rate / (train + test));
  const auto count = [](double wanted, double least, double most) {
    return static_cast<std::int64_t>(std::clamp(wanted, std::min(least, most), most));
  };
  const auto classes = static_cast<double>(images.train->class_names().size());
  return {.train = count(share * train, 20.0 * classes, train),
          .test = count(share * test, 10.0 * classes, test),
          .corrupted =
              count(kCorruptedShare * seconds * rate / kCorruptions, 50.0, std::min(2000.0, test)),
          .transformed = count(kTransformedShare * seconds * rate / kTransforms, 20.0,
                               std::min(1000.0, test))};
}

// The numbers 0 .. count - 1, in the same order whenever it is asked for.
std::vector<std::uint32_t> random_order(std::size_t count) {
  std::vector<std::uint32_t> order(count);
  Rng(RngKey{.seed = kSeed, .stream = "audit"}).permute(std::span<std::uint32_t>(order));
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

// `count` of the numbers 0 .. all - 1 in random order: [count] int64.
at::Tensor some_rows(std::int64_t all, std::int64_t count) {
  const auto order = random_order(static_cast<std::size_t>(all));
  return at::tensor(std::vector<std::int64_t>(order.begin(), order.begin() + count), at::kLong);
}

// Images as an encoder sees them, of 8 bits: what changes them then does so at the encoder's own
// resolution, and takes no longer for large photographs.
std::shared_ptr<const Dataset> at_input_size(const std::shared_ptr<const Dataset>& images,
                                             const Preprocess& preprocess) {
  const auto size = static_cast<int>(preprocess.input_size);
  const auto bands = static_cast<int>(preprocess.bands);
  return make_changed(images, [size, bands](const Image& image, std::size_t /*index*/) {
    const Image bytes = convert_bands(convert_type(image, PixelType::kUint8), bands);
    return bytes.height() == size && bytes.width() == size ? bytes
                                                           : resize_center_crop(bytes, size);
  });
}

// One over the classes there are, or the share of the largest: what knowing nothing gets.
double chance_of(const Dataset& images) {
  std::map<std::int64_t, std::size_t> counts;
  for (std::size_t i = 0; i < images.size(); ++i) {
    ++counts[images.label(i).value_or(-1)];
  }
  std::size_t largest = 0;
  for (const auto& [label, count] : counts) {
    largest = std::max(largest, count);
  }
  return std::max(1.0 / static_cast<double>(counts.size()),
                  static_cast<double>(largest) / static_cast<double>(images.size()));
}

// The audit of one run.
class Audit {
 public:
  Audit(const RunDir& run, LabelledImages images, LogSink& log)
      : run_(run),
        loaded_(read_finished_encoder(run)),
        all_(std::move(images)),
        log_(log) {}

  [[nodiscard]] const RunDir& run() const { return run_; }

  // What can be done in `seconds`.
  [[nodiscard]] Sizes sizes_for(double seconds) {
    constexpr std::int64_t kLooks = 512;
    const auto some = draw(all_.test, kLooks);
    (void)features(*draw(all_.test, kBatch));  // warm
    const auto start = Clock::now();
    (void)features(*some);
    return fit_sizes(all_, static_cast<double>(some->size()) / seconds_since(start), seconds);
  }

  void take(const Sizes& sizes) { sizes_ = sizes; }

  // Measures `part`, unless that has been done with about as many images. Throws UsageError and
  // DataError where the images do not allow it.
  void measure(const std::string& part, bool again) {
    const auto before = earlier(part);
    if (!again && is_done(part, before)) {
      log_.info(fmt::format("  {}: kept from {}", part, run_.eval(part).string()));
      return;
    }
    const auto start = Clock::now();
    Json json = part == kRobustness   ? robustness()
                : part == kInvariance ? invariance()
                                      : evaluation(part);
    json["settings"] = settings_of(part);
    if (before.is_object() && before.value("dataset", "") == json["dataset"] &&
        before.value("counts", nlohmann::json()) == json["counts"]) {
      json["controls"] = before.value("controls", nlohmann::json::object());
    }
    std::filesystem::create_directories(run_.eval(part).parent_path());
    write_file_atomically(run_.eval(part), json.dump(1) + "\n");
    log_.info(fmt::format("  {}: {}", part, duration_text(seconds_since(start))));
  }

 private:
  [[nodiscard]] FeatureSet features(const Dataset& images) {
    return extract_features(*loaded_.encoder, images, loaded_.preprocess(), kBatch, threads());
  }
  [[nodiscard]] static int threads() { return at::get_num_threads(); }

  [[nodiscard]] LabelledImages taken() const {
    return {.source = all_.source,
            .train = draw(all_.train, sizes_.train),
            .test = draw(all_.test, sizes_.test),
            .test_split = all_.test_split};
  }

  // Features are made once, when a part needs them.
  const EvaluationInput& input() {
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

  // What the file of a part holds; null where there is none, or it is no result.
  [[nodiscard]] nlohmann::json earlier(const std::string& part) const {
    std::error_code none;
    if (!std::filesystem::exists(run_.eval(part), none)) {
      return {};
    }
    auto json = nlohmann::json::parse(read_text_file(run_.eval(part)), nullptr, false);
    return json.is_object() && json.contains("counts") && json["counts"].is_object()
               ? json
               : nlohmann::json();
  }

  // What a result depends on besides images and encoder.
  [[nodiscard]] static std::string settings_of(const std::string& part) {
    return part == kRobustness || part == kInvariance
               ? "audit"
               : "audit\n" + print_config(*find_evaluation(part).config());
  }

  [[nodiscard]] bool is_done(const std::string& part, const nlohmann::json& before) const {
    if (!before.is_object() || before.value("dataset", "") != all_.source ||
        before.value("settings", "") != settings_of(part)) {
      return false;
    }
    // The speed of an encoder is never measured twice alike.
    constexpr double kAlike = 0.8;
    const auto has = [&](const std::string& key, std::int64_t wanted, std::size_t most) {
      const auto found = before["counts"].find(key);
      const auto least = std::min(wanted, static_cast<std::int64_t>(most));
      return found != before["counts"].end() && found->is_number() &&
             found->get<double>() >= kAlike * static_cast<double>(least);
    };
    const auto tested = part == kRobustness   ? sizes_.corrupted
                        : part == kInvariance ? sizes_.transformed
                                              : sizes_.test;
    const auto trained =
        part == kRobustness ? std::min(sizes_.train, kRobustnessBank) : sizes_.train;
    return has("train", trained, all_.train->size()) &&
           has(all_.test_split, tested, all_.test->size());
  }

  Json evaluation(const std::string& name) {
    const auto& entry = find_evaluation(name);
    const auto result = entry.run(input(), *entry.config());
    add_result_to_card(run_.card(), name, result);
    return result_json(name, result, taken());
  }

  Json robustness() {
    const auto images = draw(all_.test, sizes_.corrupted);
    EvaluationInput bank = input();
    const auto rows = std::min(kRobustnessBank, bank.train.features.size(0));
    const auto some = some_rows(bank.train.features.size(0), rows);
    bank.train = {.features = bank.train.features.index_select(0, some),
                  .labels = bank.train.labels.index_select(0, some)};
    const auto measured = measure_robustness(
        *loaded_.encoder, loaded_.preprocess(), bank,
        {.images = at_input_size(images, loaded_.preprocess()),
         .seed = kSeed,
         .batch_size = kBatch,
         .threads = threads()},
        [this](std::size_t done, std::size_t all) {
          if (done % 5 == 0 || done == all) {
            log_.info(fmt::format("  robustness: {} of {} corruptions", done, all));
          }
        });
    Json json = result_json(kRobustness, measured.result, taken());
    json["counts"] = {{"train", rows}, {all_.test_split, images->size()}};
    json["chance"] = chance_of(*images);
    json["accuracy_by_severity"] = Json::object();
    for (const auto& row : measured.rows) {
      json["accuracy_by_severity"][row.name] = row.accuracy;
    }
    return json;
  }

  Json invariance() {
    const auto whitening = Whitening::fit(input().train.features);
    const auto some = at_input_size(draw(all_.test, sizes_.transformed), loaded_.preprocess());
    std::vector<Image> images;
    for (std::size_t i = 0; i < some->size(); ++i) {
      images.push_back(some->image(i));
    }
    const auto curves = response_curves(
        [&](const std::vector<Image>& changed) {
          return features(*make_image_list(changed)).features;
        },
        images, whitening, transform_families());
    Json json = result_json(kInvariance, summed_up(curves, images.size(), whitening), taken());
    json["counts"][all_.test_split] = images.size();
    json["similarity"] = Json::object();
    json["curves"] = Json::array();
    for (const auto& curve : curves) {
      if (std::isfinite(curve.changed_similarity.mean)) {
        json["similarity"][curve.family] = curve.changed_similarity.mean;
      }
      json["curves"].push_back({{"family", curve.family},
                                {"unit", curve.unit},
                                {"identity", curve.identity},
                                {"strengths", curve.strengths},
                                {"similarity", curve.similarity},
                                {"distance", curve.distance}});
    }
    return json;
  }

  static EvaluationResult summed_up(const std::vector<ResponseCurve>& curves,
                                    std::size_t images,
                                    const Whitening& whitening) {
    EvaluationResult result;
    for (const auto& curve : curves) {
      if (std::isfinite(curve.changed_similarity.mean)) {
        result.numbers["similarity_" + curve.family] = curve.changed_similarity.mean;
      }
    }
    result.protocol = fmt::format(
        "cosine of whitened features of {} test images and their transforms, which are made of the "
        "image as it enters the encoder; mean over strengths other than the identity (after "
        "arXiv:2111.11398); whitening by {} training images",
        images, whitening.images());
    return result;
  }

  RunDir run_;
  LoadedEncoder loaded_;
  LabelledImages all_;
  LogSink& log_;
  Sizes sizes_;
  std::optional<EvaluationInput> input_;
};

std::vector<std::string> parts_of(const std::optional<std::string>& list) {
  std::vector<std::string> known{kInvariance, kRobustness};
  for (const auto& entry : evaluation_table()) {
    known.emplace_back(entry.name);
  }
  if (!list) {
    return known;
  }
  auto parts = split_list(*list);
  for (const auto& part : parts) {
    if (std::find(known.begin(), known.end(), part) == known.end()) {
      const auto nearest = nearest_name(part, known);
      throw UsageError(fmt::format("--on {}: there is no such part ({})", part,
                                   nearest.empty()
                                       ? fmt::format("known: {}", fmt::join(known, ", "))
                                       : fmt::format("did you mean {}?", nearest)));
    }
  }
  return parts;
}

// What was measured now and before, of all runs.
void print_findings(const std::vector<Audit>& audits) {
  std::vector<std::string> names;
  std::vector<std::vector<report::EvaluationFile>> files;
  for (const auto& audit : audits) {
    names.push_back(audit.run().path().lexically_normal().string());
    files.push_back(report::read_run_files(audit.run().path()).evaluations);
  }
  fmt::print("\n{}", text_table(report::audit_table(names, files)));
  for (std::size_t i = 0; i < audits.size(); ++i) {
    fmt::print("\n{}\n", names[i]);
    for (const auto& sentence : report::finding_sentences(files[i])) {
      fmt::print("  {}\n", sentence);
    }
    fmt::print("  report: {}\n", audits[i].run().report().string());
  }
}

double seconds_of(Arguments& arguments) {
  constexpr std::int64_t kDefault = 10;
  const auto minutes = arguments.take_integer("minutes", kDefault);
  if (minutes < 1) {
    throw UsageError("--minutes is 1 or more");
  }
  return 60.0 * static_cast<double>(minutes);
}

// Opens all runs on images that are chosen alike, and lets all take as many as the slowest can.
std::vector<Audit> open_audits(const std::vector<RunDir>& runs,
                               const std::optional<std::string>& source,
                               double seconds,
                               LogSink& log) {
  std::vector<Audit> audits;
  Sizes sizes;
  for (const auto& run : runs) {
    RunConfig config = reopen_config(run);
    config.train.threads = at::get_num_threads();
    config.seed = kSeed;  // what is held out where there is no test split
    const auto images =
        open_labelled(config, absolute_spec(source.value_or(config.data.source)), log);
    audits.emplace_back(run, images, log);
    sizes = least_of(sizes, audits.back().sizes_for(seconds / static_cast<double>(runs.size())));
  }
  for (auto& audit : audits) {
    audit.take(sizes);
  }
  log.info(
      fmt::format("at most {} training and {} test images, {} of them corrupted, {} transformed",
                  sizes.train, sizes.test, sizes.corrupted, sizes.transformed));
  return audits;
}

}  // namespace

void audit_command(Arguments arguments) {
  const auto start = Clock::now();
  std::vector<RunDir> runs{RunDir::open(arguments.take_positional("RUN (a run directory)"))};
  while (arguments.has_positional()) {
    runs.push_back(RunDir::open(arguments.take_positional("RUN")));
  }
  const auto chosen = arguments.take("on");
  const auto parts = parts_of(chosen);
  const double seconds = seconds_of(arguments);
  const auto source = arguments.take("data");
  const bool again = arguments.take_flag("again");
  at::set_num_threads(thread_count(arguments.take_integer("threads", 0)));
  arguments.expect_empty({"on", "minutes", "data", "again", "threads"});
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  auto audits = open_audits(runs, source, seconds, log);
  for (auto& audit : audits) {
    log.info(audit.run().path().string());
    for (const auto& part : parts) {
      if (seconds_since(start) > seconds) {
        log.warning(fmt::format("{} is left out: the time is over (raise --minutes)", part));
        continue;
      }
      try {
        audit.measure(part, again);
      } catch (const Error& error) {
        const bool is_of_images = dynamic_cast<const UsageError*>(&error) != nullptr ||
                                  (dynamic_cast<const DataError*>(&error) != nullptr &&
                                   dynamic_cast<const WriteError*>(&error) == nullptr);
        if (chosen || !is_of_images) {
          throw;
        }
        log.warning(fmt::format("{} is left out: {}", part, error.what()));
      }
    }
    write_report(audit.run().path(), audit.run().report());
  }
  print_findings(audits);
}

}  // namespace viewfold
