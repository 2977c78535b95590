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

/// A resize: `rows` rows of `length` pixels of the source, each filtered along the columns, then
/// mixed to the rows of the result.
template <class T>
struct ResampleJob {
  const T* from = nullptr;
  std::size_t stride = 0;  // values from one source row to the next
  std::size_t rows = 0;
  std::size_t length = 0;
  std::size_t bands = 0;
  AxisTaps columns;           // first[] counts from `from`
  AxisTaps lines;             // of the rows of the result; first[] counts filtered rows
  bool limited = false;       // to black .. white between the passes as well
  float* row = nullptr;       // length * bands floats, and 64 bytes of room
  float* filtered = nullptr;  // rows * columns.first.size() * bands floats, and 64 bytes of room
  T* to = nullptr;
};

/// Runs it. The values of the result are limited to black .. white and rounded.
void resample(const ResampleJob<std::uint8_t>& job);
void resample(const ResampleJob<std::uint16_t>& job);
void resample(const ResampleJob<float>& job);

}  // namespace viewfold
