// Implements the sharpening, once for every instruction set.
#include "viewfold/image/kernels/stencil.hpp"

#include <algorithm>
#include <span>

#include "viewfold/image/pixel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/stencil.cpp"
#include <hwy/foreach_target.h>

#include "viewfold/image/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

// A row of pixels with the rows above and below it: `size` values each, `stride` apart.
template <class T>
struct Rows {
  const T* middle;
  std::size_t stride;
};

// The sums of three pixels on top of each other, for the whole row.
template <class T>
void sum_columns(const Rows<T>& rows, float* sums) {
  const DF d;
  const T* above = rows.middle - rows.stride;
  const T* below = rows.middle + rows.stride;
  for_vectors(
      rows.stride, hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR {
        const auto ends = hn::Add(load_floats(d, above + i), load_floats(d, below + i));
        hn::StoreU(hn::Add(ends, load_floats(d, rows.middle + i)), d, sums + i);
      },
      [&](std::size_t i, std::size_t count) {
        for (std::size_t k = i; k < i + count; ++k) {
          sums[k] = static_cast<float>(above[k]) + static_cast<float>(below[k]) +
                    static_cast<float>(rows.middle[k]);
        }
      });
}

// Factors of a pixel itself and of the sum over its 3 x 3 neighbourhood.
struct Blend {
  float own;
  float all;
};

// to = own * value + all * (sum over the 3 x 3 neighbours), for the pixels inside a row.
template <class T>
void sharpen_row(const Rows<T>& rows, std::size_t bands, const Blend& blend, float* sums, T* to) {
  const DF d;
  sum_columns(rows, sums);
  const auto result = [&](auto value, std::size_t i) HWY_ATTR {
    const auto sides = hn::Add(hn::LoadU(d, sums + i - bands), hn::LoadU(d, sums + i + bands));
    const auto sum = hn::Add(hn::LoadU(d, sums + i), sides);
    return hn::MulAdd(hn::Set(d, blend.all), sum, hn::Mul(hn::Set(d, blend.own), value));
  };
  std::copy_n(rows.middle, bands, to);
  std::copy_n(rows.middle + rows.stride - bands, bands, to + rows.stride - bands);
  for_vectors(
      rows.stride - 2 * bands, hn::Lanes(d),
      [&](std::size_t k) HWY_ATTR {
        const std::size_t i = bands + k;
        store_pixels(d, result(load_floats(d, rows.middle + i), i), to + i);
      },
      [&](std::size_t k, std::size_t count) HWY_ATTR {
        const std::size_t i = bands + k;
        HWY_ALIGN T rest[hn::MaxLanes(d)] = {};
        std::memcpy(rest, rows.middle + i, count * sizeof(T));
        store_pixels(d, result(load_floats(d, rest), i), rest);
        std::memcpy(to + i, rest, count * sizeof(T));
      });
}

void sharpen_image(const Image& image, float factor, float* sums, Image& out) {
  const auto bands = static_cast<std::size_t>(image.bands());
  const auto height = static_cast<std::size_t>(image.height());
  const std::size_t stride = static_cast<std::size_t>(image.width()) * bands;
  // factor * value + (1 - factor) * (sum + 4 * value) / 13.
  const float all = (1.0F - factor) / 13.0F;
  const Blend blend{.own = factor + 4.0F * all, .all = all};
  with_pixel_type(image.type(), [&]<class T>() HWY_ATTR {
    const T* from = image.values<T>().data();
    T* to = out.values<T>().data();
    std::copy_n(from, stride, to);
    for (std::size_t y = 1; y + 1 < height; ++y) {
      sharpen_row<T>({from + y * stride, stride}, bands, blend, sums, to + y * stride);
    }
    std::copy_n(from + (height - 1) * stride, stride, to + (height - 1) * stride);
  });
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(sharpen_image);

}  // namespace

void sharpen(const Image& image, float factor, Scratch& scratch, Image& out) {
  check(image.height() == out.height() && image.width() == out.width() &&
            image.bands() == out.bands() && image.type() == out.type() && &image != &out,
        "the output must be another image of the same size, bands and type");
  check(factor >= 0.0F, "a factor of sharpness is not negative");
  if (image.height() <= 2 || image.width() <= 2) {
    std::copy(image.bytes().begin(), image.bytes().end(), out.bytes().begin());
    return;
  }
  constexpr std::size_t kRoom = 64;  // for a vector that starts at the last value
  const std::size_t stride = image.value_count() / static_cast<std::size_t>(image.height());
  HWY_DYNAMIC_DISPATCH(sharpen_image)
  (image, factor, scratch.get<float>(0, stride + kRoom).data(), out);
}

}  // namespace viewfold
#endif  // HWY_ONCE
