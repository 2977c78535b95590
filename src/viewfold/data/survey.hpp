// What is in a data set: sizes, statistics, bad and identical images; and how part of it is kept
// apart.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "viewfold/data/dataset.hpp"
#include "viewfold/data/subset.hpp"

namespace viewfold {

/// Per-band statistics of pixel values in [0, 1].
struct BandStatistics {
  std::vector<double> mean;
  std::vector<double> std;  // over all pixels of all images; at least 1e-6
};

/// Mean and standard deviation of the pixels of up to max_images images, chosen by `seed`, each
/// converted to `bands` bands. The result does not depend on `threads`. Images that cannot be read
/// are passed over; throws DataError when none can.
[[nodiscard]] BandStatistics band_statistics(
    const Dataset& dataset, int bands, std::size_t max_images, std::uint64_t seed, int threads);

/// 64 lower-case hexadecimal digits that change when images are added, removed, renamed or
/// reordered, and when the content of some of them changes: a hash over all names and the decoded
/// pixels of up to 64 images spread over the data set. Does not depend on the folder in which the
/// data set lies, nor on whether it is held in memory.
[[nodiscard]] std::string data_fingerprint(const Dataset& dataset);

/// 64 lower-case hexadecimal digits that change when images are added, removed, renamed, reordered
/// or written anew: a hash over all names and stamps; nothing is decoded. Does not depend on the
/// folder in which the data set lies. Empty when an image has no stamp.
[[nodiscard]] std::string storage_fingerprint(const Dataset& dataset);

/// Indices kept for training and held out of it, each ascending; together they are 0 .. size - 1.
struct Split {
  std::vector<std::uint32_t> kept;
  std::vector<std::uint32_t> held_out;
};

/// Holds out round(fraction * size) images, chosen by `seed`, without reading labels.
[[nodiscard]] Split hold_out(std::size_t size, double fraction, std::uint64_t seed);

/// Smallest, largest and median of the heights or widths.
struct SideRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::int64_t median = 0;
};

/// Bands and pixel type of an image as it is stored.
struct PixelKind {
  int bands = 0;
  std::string type;  // "uint8", "uint16", "float32"
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 sees a null pointer in any default order
  friend auto operator<=>(const PixelKind&, const PixelKind&) = default;
};

/// Everything `viewfold data` tells.
struct DataSurvey {
  std::size_t count = 0;  // with the unreadable ones
  SideRange height;
  SideRange width;
  std::map<PixelKind, std::size_t> kinds;
  BandStatistics statistics;  // of the images with the most common number of bands
  std::vector<std::pair<std::string, std::size_t>> class_counts;  // empty without labels
  std::vector<BadImage> unreadable;
  std::vector<std::vector<std::string>> duplicates;  // names of images with equal pixels
};

/// Decodes every image once. Never throws on unreadable images.
[[nodiscard]] DataSurvey survey(const Dataset& dataset, int threads);

}  // namespace viewfold
