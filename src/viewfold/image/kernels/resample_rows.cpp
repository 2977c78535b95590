// Implements the two passes of a resize, once for every instruction set.
#include "viewfold/image/kernels/resample_rows.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/resample_rows.cpp"
#include <hwy/foreach_target.h>

#include "viewfold/image/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

template <class T>
void floats_of(const T* from, float* to, std::size_t n) {
  const DF d;
  for_vectors(
      n, hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR { hn::StoreU(load_floats(d, from + i), d, to + i); },
      [&](std::size_t i, std::size_t count) {
        for (std::size_t k = i; k < i + count; ++k) {
          to[k] = static_cast<float>(from[k]);
        }
      });
}

void floats_of_u8(const std::uint8_t* from, float* to, std::size_t n) {
  floats_of(from, to, n);
}
void floats_of_u16(const std::uint16_t* from, float* to, std::size_t n) {
  floats_of(from, to, n);
}

// One row of pixels filtered along the columns, four bands of a pixel at a time: what lies beyond
// the last band belongs to the next pixel, and is written again with it.
HWY_NOINLINE void filter_columns(const AxisTaps& axis,
                                 std::size_t bands,
                                 const float* HWY_RESTRICT from,
                                 float* HWY_RESTRICT to) {
  const hn::CappedTag<float, 4> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t targets = axis.first.size();
  for (std::size_t i = 0; i < targets; ++i, to += bands) {
    const float* HWY_RESTRICT weights = &axis.weights[i * axis.taps];
    const auto count = static_cast<std::size_t>(axis.count[i]);
    const float* pixel = from + static_cast<std::size_t>(axis.first[i]) * bands;
    for (std::size_t band = 0; band < bands; band += lanes) {
      auto sum = hn::Mul(hn::Set(d, weights[0]), hn::LoadU(d, pixel + band));
      for (std::size_t k = 1; k < count; ++k) {
        sum = hn::MulAdd(hn::Set(d, weights[k]), hn::LoadU(d, pixel + k * bands + band), sum);
      }
      hn::StoreU(sum, d, to + band);
    }
  }
}

// A row of n values as the weighted sum of rows: row k starts at from + k * n. There is room behind
// the rows, so that a whole vector can be read.
template <class T>
HWY_NOINLINE void mix_rows(std::span<const float> weights,
                           const float* HWY_RESTRICT from,
                           std::size_t n,
                           T* HWY_RESTRICT to) {
  const DF d;
  const auto sum_at = [&](std::size_t i) HWY_ATTR {
    auto sum = hn::Mul(hn::Set(d, weights[0]), hn::LoadU(d, from + i));
    for (std::size_t k = 1; k < weights.size(); ++k) {
      sum = hn::MulAdd(hn::Set(d, weights[k]), hn::LoadU(d, from + k * n + i), sum);
    }
    return sum;
  };
  for_vectors(
      n, hn::Lanes(d), [&](std::size_t i) HWY_ATTR { store_pixels(d, sum_at(i), to + i); },
      [&](std::size_t i, std::size_t count) HWY_ATTR {
        HWY_ALIGN T out[hn::MaxLanes(d)];
        store_pixels(d, sum_at(i), out);
        std::memcpy(to + i, out, count * sizeof(T));
      });
}

// A row of n values between black and white; up to a vector of what is behind it as well.
template <class T>
HWY_INLINE void limit_row(float* row, std::size_t n) {
  const DF d;
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    hn::StoreU(limit_floats<T>(d, hn::LoadU(d, row + i)), d, row + i);
  }
}

template <class T>
void run(const ResampleJob<T>& job) {
  const std::size_t n = job.columns.first.size() * job.bands;
  const T* from = job.from;
  float* filtered = job.filtered;
  for (std::size_t y = 0; y < job.rows; ++y, from += job.stride, filtered += n) {
    floats_of(from, job.row, job.length * job.bands);
    filter_columns(job.columns, job.bands, job.row, filtered);
    if (job.limited) {
      limit_row<T>(filtered, n);
    }
  }
  const AxisTaps& lines = job.lines;
  T* to = job.to;
  for (std::size_t i = 0; i < lines.first.size(); ++i, to += n) {
    mix_rows(lines.weights.subspan(i * lines.taps, static_cast<std::size_t>(lines.count[i])),
             job.filtered + static_cast<std::size_t>(lines.first[i]) * n, n, to);
  }
}

void run_u8(const ResampleJob<std::uint8_t>& job) {
  run(job);
}
void run_u16(const ResampleJob<std::uint16_t>& job) {
  run(job);
}
void run_f32(const ResampleJob<float>& job) {
  run(job);
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(floats_of_u8);
HWY_EXPORT(floats_of_u16);
HWY_EXPORT(run_u8);
HWY_EXPORT(run_u16);
HWY_EXPORT(run_f32);

}  // namespace

void to_floats(const std::uint8_t* from, float* to, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(floats_of_u8)(from, to, n);
}

void to_floats(const std::uint16_t* from, float* to, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(floats_of_u16)(from, to, n);
}

void to_floats(const float* from, float* to, std::size_t n) {
  std::memcpy(to, from, n * sizeof(float));
}

void resample(const ResampleJob<std::uint8_t>& job) {
  HWY_DYNAMIC_DISPATCH(run_u8)(job);
}

void resample(const ResampleJob<std::uint16_t>& job) {
  HWY_DYNAMIC_DISPATCH(run_u16)(job);
}

void resample(const ResampleJob<float>& job) {
  HWY_DYNAMIC_DISPATCH(run_f32)(job);
}

}  // namespace viewfold
#endif  // HWY_ONCE
