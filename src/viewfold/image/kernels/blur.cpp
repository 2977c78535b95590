// Implements the Gaussian blur as two passes of one-dimensional convolutions, once for every
// instruction set.
#include "viewfold/image/kernels/blur.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "viewfold/image/pixel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/blur.cpp"
#include <hwy/foreach_target.h>

#include "viewfold/image/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

// taps[0] * from[i] + sum over k of taps[k] * (from[i - k * step] + from[i + k * step]), from i = 0
// on.
HWY_INLINE VF convolved(std::span<const float> taps, const float* from, std::size_t step) {
  const DF d;
  auto sum = hn::Mul(hn::Set(d, taps[0]), hn::LoadU(d, from));
  for (std::size_t k = 1; k < taps.size(); ++k) {
    const auto pair = hn::Add(hn::LoadU(d, from - k * step), hn::LoadU(d, from + k * step));
    sum = hn::MulAdd(hn::Set(d, taps[k]), pair, sum);
  }
  return sum;
}

template <class T>
void convolve(std::span<const float> taps, const float* from, std::size_t step, std::span<T> to) {
  const DF d;
  const auto sum_at = [&](std::size_t i) HWY_ATTR { return convolved(taps, from + i, step); };
  for_vectors(
      to.size(), hn::Lanes(d), [&](std::size_t i) HWY_ATTR { store_pixels(d, sum_at(i), &to[i]); },
      [&](std::size_t i, std::size_t count) HWY_ATTR {
        // There is room behind the rows, so that a whole vector can be read.
        HWY_ALIGN T out[hn::MaxLanes(d)];
        store_pixels(d, sum_at(i), out);
        std::memcpy(&to[i], out, count * sizeof(T));
      });
}

// The same without limits: a row on its way.
void convolve_row(std::span<const float> taps,
                  const float* from,
                  std::size_t step,
                  std::span<float> to) {
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i < to.size(); i += lanes) {  // there is room behind `to`
    hn::StoreU(convolved(taps, from + i, step), d, &to[i]);
  }
}

void convolve_u8(std::span<const float> taps,
                 const float* from,
                 std::size_t step,
                 std::span<std::uint8_t> to) {
  convolve(taps, from, step, to);
}

void convolve_u16(std::span<const float> taps,
                  const float* from,
                  std::size_t step,
                  std::span<std::uint16_t> to) {
  convolve(taps, from, step, to);
}

void convolve_f32(std::span<const float> taps,
                  const float* from,
                  std::size_t step,
                  std::span<float> to) {
  convolve(taps, from, step, to);
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "viewfold/image/kernels/resample_rows.hpp"

namespace viewfold {
namespace {

HWY_EXPORT(convolve_row);
HWY_EXPORT(convolve_u8);
HWY_EXPORT(convolve_u16);
HWY_EXPORT(convolve_f32);

enum Slot : std::size_t { kTaps, kPaddedRow, kRows };

// The middle tap and those on one side of it, of a normalised Gaussian cut to 2 * radius + 1 taps.
// What lies further out and together weighs less than 1/2048 (an eighth of a grey level) is left
// out.
std::span<const float> gaussian_taps(int radius, double sigma, Scratch& scratch) {
  const auto taps = scratch.get<float>(kTaps, static_cast<std::size_t>(radius) + 1);
  const auto weight = [sigma](std::size_t k) {
    const double distance = static_cast<double>(k) / sigma;
    return std::exp(-0.5 * distance * distance);
  };
  double sum = 1.0;
  for (std::size_t k = 1; k < taps.size(); ++k) {
    taps[k] = static_cast<float>(weight(k));
    sum += 2.0 * static_cast<double>(taps[k]);
  }
  taps[0] = 1.0F;
  constexpr double kNegligible = 1.0 / 2048.0;
  std::size_t used = taps.size();
  double tail = 0.0;
  while (used > 1 && tail + 2.0 * static_cast<double>(taps[used - 1]) < kNegligible * sum) {
    tail += 2.0 * static_cast<double>(taps[used - 1]);
    --used;
  }
  const auto factor = static_cast<float>(1.0 / (sum - tail));
  for (float& tap : taps) {
    tap *= factor;
  }
  return taps.first(used);
}

// Index i of an axis of n pixels, mirrored at both ends as often as needed: 2 1 0 1 2 1 0 1 2.
std::size_t reflect(int i, int n) {
  if (n == 1) {
    return 0;
  }
  const int period = 2 * (n - 1);
  i = ((i % period) + period) % period;
  return static_cast<std::size_t>(i < n ? i : period - i);
}

// Copies pixels to the left and to the right of the row in the middle of `padded`.
void reflect_ends(std::span<float> padded, int radius, int width, std::size_t bands) {
  float* row = padded.data() + static_cast<std::size_t>(radius) * bands;
  for (int x = 1; x <= radius; ++x) {
    const float* left = row + reflect(-x, width) * bands;
    std::copy(left, left + bands, row - static_cast<std::size_t>(x) * bands);
    const float* right = row + reflect(width - 1 + x, width) * bands;
    std::copy(right, right + bands, row + static_cast<std::size_t>(width - 1 + x) * bands);
  }
}

template <class T>
void blur(Image& image, Scratch& scratch, std::span<const float> taps) {
  const int radius = static_cast<int>(taps.size()) - 1;
  const auto margin = static_cast<std::size_t>(radius);
  const auto bands = static_cast<std::size_t>(image.bands());
  const auto height = static_cast<std::size_t>(image.height());
  const std::size_t stride = static_cast<std::size_t>(image.width()) * bands;
  // Room for a vector that starts at the last value.
  constexpr std::size_t kRoom = 64;
  const auto padded = scratch.get<float>(kPaddedRow, stride + 2 * margin * bands + kRoom);
  const auto rows = scratch.get<float>(kRows, (height + 2 * margin) * stride + kRoom);
  const auto pixels = image.values<T>();
  for (std::size_t y = 0; y < height; ++y) {
    to_floats(&pixels[y * stride], &padded[margin * bands], stride);
    reflect_ends(padded, radius, image.width(), bands);
    // Rows are written one after the other: what goes beyond one is overwritten by the next.
    HWY_DYNAMIC_DISPATCH(convolve_row)
    (taps, &padded[margin * bands], bands, rows.subspan((margin + y) * stride, stride));
  }
  for (int y = 1; y <= radius; ++y) {
    const auto copy_row = [&](std::size_t from, std::size_t to) {
      std::copy_n(&rows[(margin + from) * stride], stride, &rows[to * stride]);
    };
    copy_row(reflect(-y, image.height()), margin - static_cast<std::size_t>(y));
    copy_row(reflect(image.height() - 1 + y, image.height()),
             margin + height - 1 + static_cast<std::size_t>(y));
  }
  for (std::size_t y = 0; y < height; ++y) {
    const float* from = &rows[(margin + y) * stride];
    const auto to = pixels.subspan(y * stride, stride);
    if constexpr (std::is_same_v<T, std::uint8_t>) {
      HWY_DYNAMIC_DISPATCH(convolve_u8)(taps, from, stride, to);
    } else if constexpr (std::is_same_v<T, std::uint16_t>) {
      HWY_DYNAMIC_DISPATCH(convolve_u16)(taps, from, stride, to);
    } else {
      HWY_DYNAMIC_DISPATCH(convolve_f32)(taps, from, stride, to);
    }
  }
}

}  // namespace

void gaussian_blur(Image& image, Scratch& scratch, int radius, double sigma) {
  check(sigma > 0.0 && radius >= 0, "a blur needs sigma > 0 and a radius of at least 0");
  const auto taps = gaussian_taps(radius, sigma, scratch);
  if (taps.size() > 1) {
    with_pixel_type(image.type(), [&]<class T>() { blur<T>(image, scratch, taps); });
  }
}

}  // namespace viewfold
#endif  // HWY_ONCE
