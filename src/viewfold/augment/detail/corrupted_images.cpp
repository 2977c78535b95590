// Implements the corruption of stored images, with the operations of views and of audits.
#include "viewfold/augment/corrupted_images.hpp"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "viewfold/augment/corruption.hpp"
#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/data/subset.hpp"

namespace viewfold {
namespace {

constexpr std::string_view kGamma = "gamma";
constexpr std::string_view kGlobal = "global_shuffle";
constexpr std::string_view kLocal = "local_shuffle";
constexpr double kLargestGrid = 16;  // of tile_shuffle

bool is_shuffle(std::string_view kind) {
  return kind == kGlobal || kind == kLocal;
}

bool is_whole(double value, double least, double most) {
  return value == std::floor(value) && value >= least && value <= most;
}

// "" where the strength suits the kind, else what it must be.
std::string_view wanted_strength(const ImageCorruption& corruption) {
  if (corruption.kind == kGamma) {
    constexpr double kMost = 100.0;
    return corruption.strength >= 1.0 / kMost && corruption.strength <= kMost
               ? ""
               : "an exponent from 0.01 to 100";
  }
  if (is_shuffle(corruption.kind)) {
    return is_whole(corruption.strength, 1, kLargestGrid) ? "" : "1 to 16 tiles along each side";
  }
  return is_whole(corruption.strength, 1, kSeverities) ? "" : "a severity from 1 to 5";
}

// One operation that is always applied.
Pipeline operation_of(const ImageCorruption& corruption) {
  const std::string op = corruption.kind == kGamma ? "gamma" : "tile_shuffle";
  ConfigSource settings;
  settings.set("probability", "1", op);
  if (corruption.kind == kGamma) {
    settings.set("gamma_min", fmt::format("{}", corruption.strength), op);
    settings.set("gamma_max", fmt::format("{}", corruption.strength), op);
  } else {
    settings.set("grid", fmt::format("{:.0f}", corruption.strength), op);
    settings.set("mode", corruption.kind == kGlobal ? "global" : "local", op);
  }
  std::vector<PipelineStep> steps;
  steps.push_back({op, find_augmentation(op).config()});
  read_config(*steps.front().config, settings);
  return Pipeline(steps);
}

void check_grid(const Image& image, const ImageCorruption& corruption) {
  const auto grid = static_cast<int>(corruption.strength);
  if (image.height() % grid != 0 || image.width() % grid != 0) {
    throw DataError(fmt::format(
        "{} x {} pixels cannot be cut into {} x {} tiles of equal size (resize the images, or take "
        "another grid)",
        image.height(), image.width(), grid, grid));
  }
}

Image apply(const Pipeline& pipeline, const Image& image, const RngKey& key) {
  Canvas canvas;
  canvas.start(image);
  const auto records = pipeline.sample(key, {image.height(), image.width()});
  pipeline.apply(records, canvas);
  return canvas.image();
}

}  // namespace

ImageCorruption parse_image_corruption(std::string_view text, std::string_view key) {
  const auto colon = text.find(':');
  ImageCorruption corruption{.kind = std::string(text.substr(0, colon))};
  if (corruption.kind != kGamma && !is_shuffle(corruption.kind)) {
    try {
      (void)find_corruption(corruption.kind);
    } catch (const UsageError& error) {
      throw UsageError(
          fmt::format("{}: {} (or gamma, global_shuffle, local_shuffle)", key, error.what()));
    }
  }
  const std::string number(colon == std::string_view::npos ? "" : text.substr(colon + 1));
  std::size_t read = 0;
  try {
    corruption.strength = std::stod(number, &read);
  } catch (const std::exception&) {
    read = 0;
  }
  const bool is_number = read > 0 && read == number.size() && std::isfinite(corruption.strength);
  const auto wanted = wanted_strength(corruption);
  if (!is_number || !wanted.empty()) {
    corruption.strength = 0.0;
    throw UsageError(fmt::format("{}: \"{}\" must be {}:STRENGTH with {}", key, text,
                                 corruption.kind, wanted_strength(corruption)));
  }
  return corruption;
}

std::shared_ptr<const Dataset> corrupt_images(std::shared_ptr<const Dataset> base,
                                              const ImageCorruption& corruption,
                                              std::uint64_t seed) {
  check(wanted_strength(corruption).empty(), "the strength suits the kind");
  std::shared_ptr<const Pipeline> pipeline;  // null: a common corruption
  if (corruption.kind == kGamma || is_shuffle(corruption.kind)) {
    pipeline = std::make_shared<const Pipeline>(operation_of(corruption));
  }
  const auto change = [=](const Image& image, std::size_t index) {
    const RngKey key{.seed = seed,
                     .stream = "corruption",
                     .sample = corruption.fixed ? 0U : static_cast<std::uint32_t>(index)};
    if (is_shuffle(corruption.kind)) {
      check_grid(image, corruption);
    }
    return pipeline ? apply(*pipeline, image, key)
                    : corrupt(image, corruption.kind, static_cast<int>(corruption.strength), key);
  };
  const Dataset* images = base.get();  // lives as long as what is made of it
  return make_changed(std::move(base), [images, change](const Image& image, std::size_t index) {
    try {
      return change(image, index);
    } catch (const Error& error) {
      throw DataError(fmt::format("{}: {}", images->name(index), error.what()));
    }
  });
}

}  // namespace viewfold
