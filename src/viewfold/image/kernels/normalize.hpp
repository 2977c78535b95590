// From pixels to the numbers that a network sees.
#pragma once

#include <cstdint>
#include <span>

#include "viewfold/image/image.hpp"

namespace viewfold {

/// A number of bfloat16 in memory: the upper half of a float.
struct Bfloat16 {
  std::uint16_t bits = 0;
};

/// Writes value * scale[band] + shift[band] for every value of `image`, in HWC order; values of
/// integer types count from 0 to 255 or 65535. scale and shift hold one number per band repeated
/// kNormalizeRepeats times, `out` the values of the image. Throws ContractViolation when sizes do
/// not fit.
inline constexpr std::size_t kNormalizeRepeats = 64;  // every vector length divides it
void scale_and_shift(const Image& image,
                     std::span<const float> scale,
                     std::span<const float> shift,
                     std::span<float> out);

/// The same, rounded to the nearest bfloat16 (of two the even one). Values are finite.
void scale_and_shift(const Image& image,
                     std::span<const float> scale,
                     std::span<const float> shift,
                     std::span<Bfloat16> out);

}  // namespace viewfold
