// The common corruptions of ImageNet-C and CIFAR-10-C (Hendrycks and Dietterich, "Benchmarking
// neural network robustness to common corruptions and perturbations", arXiv:1903.12261): what may
// happen to a picture on its way to an encoder, in five severities.
#pragma once

#include <span>
#include <string_view>

#include "viewfold/core/rng.hpp"
#include "viewfold/image/image.hpp"

namespace viewfold {

/// One kind of corruption.
struct Corruption {
  std::string_view name = {};     // as in the published sets: "gaussian_noise"
  std::string_view group = {};    // "noise", "blur", "weather" or "digital" (fig. 1 of the paper)
  std::string_view summary = {};  // one sentence for help pages
  bool extra = false;             // one of the four published for validation, beside the fifteen
  bool random = false;            // depends on the key
};

/// The fifteen corruptions in the order of the paper, then the four extra ones.
[[nodiscard]] std::span<const Corruption> corruptions();

/// The row called `name`. Throws UsageError with the nearest known name, or all of them.
[[nodiscard]] const Corruption& find_corruption(std::string_view name);

inline constexpr int kSeverities = 5;         // 1 .. 5, as published
inline constexpr int kSmallCorruptions = 64;  // longest shorter side with the constants for 32 px

/// The picture after one corruption; a function of its arguments alone. All severities draw the
/// same numbers under one key, so that they differ in strength only; two corruptions, or two keys,
/// draw different ones.
/// image     uint8, 1 band (gray) or 3 (red, green, blue), of any size; the result is like it
/// severity  1 (weakest) .. 5
/// The constants are those of the authors' repository hendrycks/robustness: of make_cifar_c.py
/// (for 32 px) when the shorter side has at most kSmallCorruptions pixels, else of
/// make_imagenet_c.py (for 224 px). Lengths are pixels at any size, except those of
/// elastic_transform, which are shares of the shorter side. Results are rounded to nearest, where
/// the published sets cut off. Gray pictures take colours (spatter, frost) by their ITU-R 601 luma.
/// Where they differ from the published sets: frost has a texture of our own instead of
/// photographs; motion_blur (also that of snow) follows ImageMagick's definition in code of our
/// own; the water of spatter measures distances exactly; most steps of 8 bits within a corruption
/// are left out. Throws UsageError for an unknown name, a severity outside 1 .. 5, an image that is
/// not uint8 with 1 or 3 bands, and for saturate of a gray one; ContractViolation for an empty
/// image.
[[nodiscard]] Image corrupt(const Image& image,
                            std::string_view name,
                            int severity,
                            const RngKey& key);

}  // namespace viewfold
