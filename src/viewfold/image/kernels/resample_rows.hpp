// The two passes of a separable resize.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace viewfold {

/// Which source pixels make up each target pixel along one axis: those from first[i] on, with
/// weights[i * taps .. (i + 1) * taps), of which only the first count[i] matter.
struct AxisTaps {
  std::span<const std::int32_t> first;
  std::span<const std::int32_t> count;
  std::span<const float> weights;
  std::size_t taps = 0;  // room for each
};

/// Writes n pixels as floats.
void to_floats(const std::uint8_t* from, float* to, std::size_t n);
void to_floats(const std::uint16_t* from, float* to, std::size_t n);
void to_floats(const float* from, float* to, std::size_t n);

/// One row of pixels, filtered along the columns. Reads and writes up to 3 floats more than there
/// are, which have to exist.
void filter_columns(const AxisTaps& axis, std::size_t bands, const float* from, float* to);

/// A target row as the weighted sum of source rows: source row k starts at from + k * stride.
/// Values are limited to black .. white and rounded.
void filter_rows(std::span<const float> weights,
                 const float* from,
                 std::size_t stride,
                 std::span<std::uint8_t> to);
void filter_rows(std::span<const float> weights,
                 const float* from,
                 std::size_t stride,
                 std::span<std::uint16_t> to);
void filter_rows(std::span<const float> weights,
                 const float* from,
                 std::size_t stride,
                 std::span<float> to);

/// Limits floats to [0, high], in place.
void limit_floats(std::span<float> values, float high);

}  // namespace viewfold
