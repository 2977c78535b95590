// Implements the selection of a run's images.
#include "viewfold/app/run_images.hpp"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "viewfold/augment/corrupted_images.hpp"
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

// What the settings take of a data set.
std::shared_ptr<const Dataset> chosen(std::shared_ptr<const Dataset> dataset,
                                      const DataConfig& config,
                                      std::uint64_t seed) {
  if (config.imbalance == 1.0) {
    return limited(std::move(dataset), config.limit, seed);
  }
  if (dataset->class_names().empty()) {
    throw DataError(fmt::format("{}: has no labels, which data.imbalance needs (leave it at 1)",
                                config.source));
  }
  auto indices = long_tail(*dataset, config.imbalance, config.limit, seed);
  return make_subset(std::move(dataset), std::move(indices));
}

// What is learned from, spoilt as the settings say; what is held out stays as it is.
void corrupt_training_images(RunImages& images, const DataConfig& config, std::uint64_t seed) {
  if (!config.corruption.empty()) {
    auto corruption = parse_image_corruption(config.corruption, "data.corruption");
    corruption.fixed = config.corruption_policy == "fixed";
    images.train = corrupt_images(std::move(images.train), corruption, seed);
  }
}

// All numbers below `count` but those of the bad images, which are ascending.
std::vector<std::uint32_t> good_indices(std::size_t count, const std::vector<BadImage>& bad) {
  std::vector<std::uint32_t> good;
  auto next_bad = bad.begin();
  for (std::size_t i = 0; i < count; ++i) {
    if (next_bad != bad.end() && next_bad->index == i) {
      ++next_bad;
    } else {
      good.push_back(static_cast<std::uint32_t>(i));
    }
  }
  return good;
}

// Divides what can be read into what is learned from and what is held out.
void divide(RunImages& images,
            std::shared_ptr<const Dataset> readable,
            const DataConfig& config,
            std::uint64_t seed) {
  images.train = readable;
  if (!readable->class_names().empty() && config.hold_out > 0.0) {
    Split split = hold_out(readable->size(), config.hold_out, seed);
    if (!split.held_out.empty()) {
      images.held_out = make_subset(readable, std::move(split.held_out));
      images.train = make_subset(std::move(readable), std::move(split.kept));
    }
  }
}

std::string_view place_of(const RunImages& images) {
  return images.in_memory ? "held in memory"
         : images.cache   ? "read from their cache"
                          : "read from disk";
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

bool reduces_jpeg(const DataConfig& config, const TypicalImage& typical) {
  constexpr std::int64_t kPhotograph = 1024;  // pixels of the shorter side: several times any view
  return config.reduce_jpeg == "on" ||
         (config.reduce_jpeg == "auto" && typical.shorter_side >= kPhotograph);
}

std::int64_t default_view_size(std::int64_t typical_size) {
  return std::clamp<std::int64_t>(typical_size, 8, 96);
}

RunImages open_run_images(const DataConfig& config,
                          std::uint64_t seed,
                          int threads,
                          LogSink& log,
                          const std::filesystem::path& cache_file) {
  if (config.source.empty()) {
    throw UsageError(
        "no images: name a folder, an archive or a data set (viewfold pretrain PICTURES/, or "
        "data.source in the recipe)");
  }
  if (!config.corruption.empty()) {  // a mistake is told before the images are read
    (void)parse_image_corruption(config.corruption, "data.corruption");
  }
  std::shared_ptr<const Dataset> all = open_dataset({.spec = config.source, .split = config.split});
  all = chosen(std::move(all), config, seed);
  const TypicalImage typical = typical_image(*all);
  RunImages images;
  images.bands = config.bands > 0 ? config.bands : typical.bands;
  images.typical_size = typical.shorter_side;
  images.source = all;
  images.reduce_jpeg = reduces_jpeg(config, typical);
  if (!images.reduce_jpeg) {
    images.cache =
        open_image_cache(all, {.path = cache_file, .bands = static_cast<int>(images.bands)}, log);
  }
  if (images.cache) {
    all = images.cache;
  }
  constexpr double kGigabyte = 1e9;
  const double memory = images.reduce_jpeg ? 0.0 : config.memory_gb * kGigabyte;
  Preloaded loaded = preload(std::move(all), static_cast<int>(images.bands),
                             static_cast<std::uint64_t>(memory), config.max_bad_fraction, threads);
  for (const auto& bad : loaded.bad) {
    images.left_out.push_back(bad.reason);
  }
  if (!images.left_out.empty()) {
    log.warning(fmt::format("{} unreadable images are left out, the first: {}",
                            images.left_out.size(), images.left_out.front()));
  }
  images.in_memory = loaded.in_memory;
  images.readable = good_indices(images.source->size(), loaded.bad);
  divide(images, loaded.dataset, config, seed);
  constexpr std::size_t kMeasured = 10000;  // images; moves the statistics by less than 1 %
  const BandStatistics statistics =
      band_statistics(*images.train, static_cast<int>(images.bands), kMeasured, seed, threads);
  images.normalization = {.mean = statistics.mean, .std = statistics.std};
  images.fingerprint = data_fingerprint(*images.train);
  // Last: what the encoder is measured on is normalised as if nothing had been spoilt.
  corrupt_training_images(images, config, seed);
  log.info(fmt::format("{}: {} images to learn from{}, {} band{}, about {} px, {}", config.source,
                       images.train->size(),
                       images.held_out ? fmt::format(", {} held out", images.held_out->size()) : "",
                       images.bands, images.bands == 1 ? "" : "s", images.typical_size,
                       place_of(images)));
  return images;
}

void cache_run_images(RunImages& images,
                      const DataConfig& config,
                      std::uint64_t seed,
                      const ImageCacheOptions& options,
                      LogSink& log) {
  if (images.in_memory || images.reduce_jpeg) {
    return;
  }
  if (!images.cache) {
    images.cache = write_image_cache(images.source, options, log);
    if (!images.cache) {
      return;
    }
    divide(images, make_subset(images.cache, images.readable), config, seed);
    corrupt_training_images(images, config, seed);
  }
  // Training would come to them within an epoch.
  const std::vector<BadImage> bad = images.cache->unreadable();
  if (!bad.empty() && config.max_bad_fraction == 0.0) {
    throw DataError(fmt::format(
        "{} ({} of {} images are unreadable, data.max_bad_fraction allows none: repair or remove "
        "them, or raise it, and begin again with --overwrite)",
        bad.front().reason, bad.size(), images.source->size()));
  }
}

}  // namespace viewfold
