// Implements the selection of a run's images.
#include "viewfold/app/run_images.hpp"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/data/survey.hpp"
#include "viewfold/eval/encoder_file.hpp"

namespace viewfold {
namespace {

std::shared_ptr<const Dataset> limited(std::shared_ptr<const Dataset> dataset,
                                       std::int64_t limit,
                                       std::uint64_t seed) {
  const auto count = static_cast<std::size_t>(limit);
  if (limit == 0 || count >= dataset->size()) {
    return dataset;
  }
  Rng rng({.seed = seed, .stream = "limit"});
  auto chosen = rng.permutation(static_cast<std::uint32_t>(dataset->size()));
  chosen.resize(count);
  std::sort(chosen.begin(), chosen.end());
  return make_subset(std::move(dataset), std::move(chosen));
}

}  // namespace

int thread_count(std::int64_t configured) {
  const auto cores = std::max(1U, std::thread::hardware_concurrency());
  return configured > 0 ? static_cast<int>(configured) : static_cast<int>(cores);
}

TypicalImage typical_image(const Dataset& dataset) {
  constexpr std::size_t kLooks = 64;
  TypicalImage typical;
  std::vector<std::int64_t> sides;
  std::string last_error;
  const std::size_t stride = std::max<std::size_t>(1, dataset.size() / kLooks);
  for (std::size_t i = 0; i < dataset.size(); i += stride) {
    try {
      const Image image = dataset.image(i);
      typical.bands = std::max<std::int64_t>(typical.bands, image.bands());
      sides.push_back(std::min(image.height(), image.width()));
    } catch (const DataError& error) {
      last_error = error.what();  // preload() decides what unreadable images mean
    }
  }
  if (sides.empty()) {
    throw DataError(last_error.empty() ? "the data set holds no image" : last_error);
  }
  const auto middle = sides.begin() + static_cast<std::ptrdiff_t>(sides.size() / 2);
  std::nth_element(sides.begin(), middle, sides.end());
  typical.shorter_side = *middle;
  return typical;
}

std::int64_t default_view_size(std::int64_t typical_size) {
  return std::clamp<std::int64_t>(typical_size, 8, 96);
}

RunImages open_run_images(const DataConfig& config, std::uint64_t seed, int threads, LogSink& log) {
  if (config.source.empty()) {
    throw UsageError(
        "no images: name a folder, an archive or a data set (viewfold pretrain PICTURES/, or "
        "data.source in the recipe)");
  }
  std::shared_ptr<const Dataset> all = open_dataset({.spec = config.source, .split = config.split});
  all = limited(std::move(all), config.limit, seed);
  const TypicalImage typical = typical_image(*all);
  RunImages images;
  images.bands = config.bands > 0 ? config.bands : typical.bands;
  images.typical_size = typical.shorter_side;
  constexpr double kGigabyte = 1e9;
  Preloaded loaded = preload(std::move(all), static_cast<int>(images.bands),
                             static_cast<std::uint64_t>(config.memory_gb * kGigabyte),
                             config.max_bad_fraction, threads);
  for (const auto& bad : loaded.bad) {
    images.left_out.push_back(bad.reason);
  }
  if (!images.left_out.empty()) {
    log.warning(fmt::format("{} unreadable images are left out, the first: {}",
                            images.left_out.size(), images.left_out.front()));
  }
  images.train = loaded.dataset;
  if (!loaded.dataset->class_names().empty() && config.hold_out > 0.0) {
    Split split = hold_out(loaded.dataset->size(), config.hold_out, seed);
    if (!split.held_out.empty()) {
      images.held_out = make_subset(loaded.dataset, std::move(split.held_out));
      images.train = make_subset(loaded.dataset, std::move(split.kept));
    }
  }
  constexpr std::size_t kMeasured = 10000;  // images; moves the statistics by less than 1 %
  const BandStatistics statistics =
      band_statistics(*images.train, static_cast<int>(images.bands), kMeasured, seed, threads);
  images.normalization = {.mean = statistics.mean, .std = statistics.std};
  images.fingerprint = data_fingerprint(*images.train);
  log.info(fmt::format("{}: {} images to learn from{}, {} band{}, about {} px{}", config.source,
                       images.train->size(),
                       images.held_out ? fmt::format(", {} held out", images.held_out->size()) : "",
                       images.bands, images.bands == 1 ? "" : "s", images.typical_size,
                       loaded.in_memory ? ", held in memory" : ", read from disk"));
  return images;
}

}  // namespace viewfold
