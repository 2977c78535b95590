// Arithmetic on single pixel values, shared by all kernels.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "viewfold/core/error.hpp"
#include "viewfold/image/image.hpp"

namespace viewfold {

/// The value that stands for white.
template <class T>
[[nodiscard]] constexpr float full_scale() {
  if constexpr (std::is_same_v<T, float>) {
    return 1.0F;
  } else {
    return static_cast<float>(std::numeric_limits<T>::max());
  }
}

/// `value` limited to [0, high]. Written with comparisons so that loops over it vectorise; NaN
/// becomes 0.
[[nodiscard]] constexpr float limit(float value, float high) {
  const float positive = value > 0.0F ? value : 0.0F;
  return positive < high ? positive : high;
}

/// `value` limited to black .. white and, for integer types, rounded to nearest.
template <class T>
[[nodiscard]] constexpr T to_pixel(float value) {
  const float inside = limit(value, full_scale<T>());
  if constexpr (std::is_same_v<T, float>) {
    return inside;
  } else {
    // Through int: SSE2 converts four floats to ints at once, but has no unsigned conversion.
    // NOLINTNEXTLINE(bugprone-incorrect-roundings): never negative, and lround does not vectorise
    return static_cast<T>(static_cast<int>(inside + 0.5F));
  }
}

/// Calls `f.template operator()<T>()` with the C++ type of the pixels: the one place where the type
/// of an image is looked at, outside all loops.
template <class F>
auto with_pixel_type(PixelType type, F&& f) {
  switch (type) {
    case PixelType::kUint8:
      return f.template operator()<std::uint8_t>();
    case PixelType::kUint16:
      return f.template operator()<std::uint16_t>();
    case PixelType::kFloat32:
      return f.template operator()<float>();
  }
  throw ContractViolation("unknown pixel type");
}

}  // namespace viewfold
