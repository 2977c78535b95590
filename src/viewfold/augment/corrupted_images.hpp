// A data set whose images are corrupted before anything else sees them: what an encoder may have
// been trained on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "viewfold/data/dataset.hpp"

namespace viewfold {

/// Which corruption, how strong, and whether all images get the same.
struct ImageCorruption {
  std::string kind;       // "gamma", "global_shuffle", "local_shuffle", or a row of corruptions()
  double strength = 0.0;  // exponent, tiles along each side, or severity
  bool fixed = false;     // one draw for all images, else one for each
};

/// Reads "KIND:STRENGTH": "gamma:0.2", "global_shuffle:8" (the tiles of an 8 x 8 grid change
/// places), "local_shuffle:4" (the pixels inside each tile of a 4 x 4 grid do), or a common
/// corruption with its severity, "fog:3". The first three are those of arXiv:2206.05259. Throws
/// UsageError on any other text, naming `key`.
[[nodiscard]] ImageCorruption parse_image_corruption(std::string_view text, std::string_view key);

/// The images of `base`, each corrupted when it is read: what is drawn depends on the seed and the
/// index of the image, not on the epoch. Reading throws DataError naming the image when a grid
/// does not divide its sides, or when the corruption is not for such an image (bands, type).
[[nodiscard]] std::shared_ptr<const Dataset> corrupt_images(std::shared_ptr<const Dataset> base,
                                                            const ImageCorruption& corruption,
                                                            std::uint64_t seed);

}  // namespace viewfold
