// Samples of a manifold, made once: S images for each image of a data set, in a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "viewfold/core/files.hpp"
#include "viewfold/image/image.hpp"
#include "viewfold/manifold/manifold.hpp"

namespace viewfold {

/// Images of uint8, read from a file that is mapped into memory: sample s of image i. The file is
/// a line of JSON, filled with spaces to 4096 bytes, and the pixels in the order of i, then s.
class SampleCache {
 public:
  /// Opens the file at `path` where it is whole and was made for `key`; null otherwise.
  /// key  everything that its pixels depend on, as text
  [[nodiscard]] static std::shared_ptr<const SampleCache> open(const std::filesystem::path& path,
                                                               const std::string& key);

  ~SampleCache();
  SampleCache(const SampleCache&) = delete;
  SampleCache& operator=(const SampleCache&) = delete;
  SampleCache(SampleCache&&) = delete;
  SampleCache& operator=(SampleCache&&) = delete;

  [[nodiscard]] std::int64_t images() const { return images_; }
  [[nodiscard]] std::int64_t samples_each() const { return samples_each_; }

  /// Copies sample `sample` of image `image` to `out`.
  void read(std::int64_t image, std::int64_t sample, Image& out) const;

 private:
  SampleCache() = default;

  FileHandle file_;
  const std::byte* bytes_ = nullptr;
  std::size_t size_ = 0;
  std::int64_t images_ = 0;
  std::int64_t samples_each_ = 0;
  int height_ = 0;
  int width_ = 0;
  int bands_ = 0;
};

/// How samples are made ahead.
struct SampleCacheOptions {
  std::filesystem::path path;
  std::string key;
  std::int64_t images = 0;
  std::int64_t samples_each = 10;
  std::uint64_t seed = 0;
  std::function<bool()> stop_requested = [] { return false; };
};

/// Draws S samples of each image into a new file, which replaces the old one, and opens it. Throws
/// WriteError when it cannot be written, Interrupted when asked to stop; nothing is left then.
[[nodiscard]] std::shared_ptr<const SampleCache> write_sample_cache(
    const Manifold& manifold, const SampleCacheOptions& options);

}  // namespace viewfold
