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

// Four bands of a pixel at a time: what lies beyond the last band belongs to the next pixel, and is
// written again with it.
void columns(const AxisTaps& axis, std::size_t bands, const float* from, float* to) {
  const hn::CappedTag<float, 4> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t targets = axis.first.size();
  for (std::size_t i = 0; i < targets; ++i) {
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
    to += bands;
  }
}

template <class T>
void rows(std::span<const float> weights, const float* from, std::size_t stride, std::span<T> to) {
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  const auto sum_at = [&](std::size_t i) HWY_ATTR {
    auto sum = hn::Mul(hn::Set(d, weights[0]), hn::LoadU(d, from + i));
    for (std::size_t k = 1; k < weights.size(); ++k) {
      sum = hn::MulAdd(hn::Set(d, weights[k]), hn::LoadU(d, from + k * stride + i), sum);
    }
    return sum;
  };
  for_vectors(
      to.size(), lanes, [&](std::size_t i) HWY_ATTR { store_pixels(d, sum_at(i), &to[i]); },
      [&](std::size_t i, std::size_t count) HWY_ATTR {
        // There is room behind the rows, so that a whole vector can be read.
        HWY_ALIGN T out[hn::MaxLanes(d)];
        store_pixels(d, sum_at(i), out);
        std::memcpy(&to[i], out, count * sizeof(T));
      });
}

void rows_u8(std::span<const float> weights,
             const float* from,
             std::size_t stride,
             std::span<std::uint8_t> to) {
  rows(weights, from, stride, to);
}

void rows_u16(std::span<const float> weights,
              const float* from,
              std::size_t stride,
              std::span<std::uint16_t> to) {
  rows(weights, from, stride, to);
}

void rows_f32(std::span<const float> weights,
              const float* from,
              std::size_t stride,
              std::span<float> to) {
  rows(weights, from, stride, to);
}

void limit_all(std::span<float> values, float high) {
  const DF d;
  const auto top = hn::Set(d, high);
  for_vectors(
      values.size(), hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR {
        hn::StoreU(hn::Min(hn::Max(hn::LoadU(d, &values[i]), hn::Zero(d)), top), d, &values[i]);
      },
      [&](std::size_t i, std::size_t count) {
        for (std::size_t k = i; k < i + count; ++k) {
          values[k] = values[k] > 0.0F ? (values[k] < high ? values[k] : high) : 0.0F;
        }
      });
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(floats_of_u8);
HWY_EXPORT(floats_of_u16);
HWY_EXPORT(columns);
HWY_EXPORT(rows_u8);
HWY_EXPORT(rows_u16);
HWY_EXPORT(rows_f32);
HWY_EXPORT(limit_all);

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

void filter_columns(const AxisTaps& axis, std::size_t bands, const float* from, float* to) {
  HWY_DYNAMIC_DISPATCH(columns)(axis, bands, from, to);
}

void filter_rows(std::span<const float> weights,
                 const float* from,
                 std::size_t stride,
                 std::span<std::uint8_t> to) {
  HWY_DYNAMIC_DISPATCH(rows_u8)(weights, from, stride, to);
}

void filter_rows(std::span<const float> weights,
                 const float* from,
                 std::size_t stride,
                 std::span<std::uint16_t> to) {
  HWY_DYNAMIC_DISPATCH(rows_u16)(weights, from, stride, to);
}

void filter_rows(std::span<const float> weights,
                 const float* from,
                 std::size_t stride,
                 std::span<float> to) {
  HWY_DYNAMIC_DISPATCH(rows_f32)(weights, from, stride, to);
}

void limit_floats(std::span<float> values, float high) {
  HWY_DYNAMIC_DISPATCH(limit_all)(values, high);
}

}  // namespace viewfold
#endif  // HWY_ONCE
