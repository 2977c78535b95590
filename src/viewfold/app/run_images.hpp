// The images of a run, as its settings choose them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "viewfold/app/run_config.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/data/image_cache.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {

/// What a run learns from, and what it keeps apart.
struct RunImages {
  std::shared_ptr<const Dataset> train;     // what the views are made of; its labels are not read
  std::shared_ptr<const Dataset> held_out;  // for evaluation while training; null without labels
  std::int64_t bands = 0;
  std::int64_t typical_size = 0;      // median of the shorter sides
  Normalization normalization;        // of `train`
  std::string fingerprint;            // of `train`
  std::vector<std::string> left_out;  // unreadable images, with reasons

  bool reduce_jpeg = false;                 // read at every access, JPEGs no larger than needed
  bool in_memory = false;                   // else they are decoded, or read from `cache`
  std::shared_ptr<const Dataset> source;    // the images as they are stored
  std::vector<std::uint32_t> readable;      // those of them that `train` and `held_out` divide
  std::shared_ptr<const ImageCache> cache;  // of `source`; null where there is none
};

/// Opens, selects, decodes and measures the images of a run. Pixels are read from the file
/// `cache_file` where it is one of these images. Throws UsageError without a source, DataError as
/// the readers do.
[[nodiscard]] RunImages open_run_images(const DataConfig& config,
                                        std::uint64_t seed,
                                        int threads,
                                        LogSink& log,
                                        const std::filesystem::path& cache_file = {});

/// Decodes the images into a cache file and reads them from there, unless they are in memory, in a
/// cache or raw pixels already, or the file would be too large, which is logged. The images stay
/// the same. Throws as write_image_cache() does, and DataError when some turn out to be unreadable
/// and none may be.
void cache_run_images(RunImages& images,
                      const DataConfig& config,
                      std::uint64_t seed,
                      const ImageCacheOptions& options,
                      LogSink& log);

/// The bands and the median shorter side of up to 64 images spread over the data set.
struct TypicalImage {
  std::int64_t bands = 0;  // the largest seen
  std::int64_t shorter_side = 0;
};
[[nodiscard]] TypicalImage typical_image(const Dataset& dataset);

/// Whether images are better read anew at every access, no larger than needed, than kept whole.
[[nodiscard]] bool reduces_jpeg(const DataConfig& config, const TypicalImage& typical);

/// The default size of views: that of the images, 8 to 96 pixels.
[[nodiscard]] std::int64_t default_view_size(std::int64_t typical_size);

/// Every core, when `configured` is 0.
[[nodiscard]] int thread_count(std::int64_t configured);

}  // namespace viewfold
