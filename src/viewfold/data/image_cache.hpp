// Decoded images in a file: what does not fit into memory is decoded once, not in every epoch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "viewfold/core/log.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/data/subset.hpp"

namespace viewfold {

/// A data set whose pixels are read from a file that is mapped into memory. Names, labels, images
/// and what cannot be read are those of the data set it was made of.
class ImageCache : public Dataset {
 public:
  /// Images whose pixels in the file are no longer those that were written. They are decoded anew.
  [[nodiscard]] virtual std::size_t damaged() const = 0;

  /// Images that could not be decoded when the file was written, by their index.
  [[nodiscard]] virtual std::vector<BadImage> unreadable() const = 0;
};

struct ImageCacheOptions {
  std::filesystem::path path;   // of the file; its folder is made where it is missing
  int bands = 0;                // of every image; 0: as stored
  std::uint64_t max_bytes = 0;  // never more than half of what is free on the disk; 0: no cache
  int threads = 1;              // that decode
  std::function<bool()> stop_requested = [] { return false; };
};

/// `base` as read from the file at options.path. Null when there is no such file, and when it was
/// made of other images or is damaged, which is logged.
[[nodiscard]] std::shared_ptr<const ImageCache> open_image_cache(
    std::shared_ptr<const Dataset> base, const ImageCacheOptions& options, LogSink& log);

/// Decodes all images of `base` into a new file at options.path, which replaces the old one, and
/// opens it. Null when the images have no stamps, and, which is logged, when they need more than
/// may be taken or cannot be written. One process at a time. Throws Interrupted when asked to stop,
/// and then leaves nothing.
[[nodiscard]] std::shared_ptr<const ImageCache> write_image_cache(
    std::shared_ptr<const Dataset> base, const ImageCacheOptions& options, LogSink& log);

}  // namespace viewfold
