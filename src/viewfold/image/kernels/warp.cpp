// Implements affine warps, once for every instruction set. The picture is framed with zeros first,
// and positions are limited to it and its frame: nothing outside needs a case of its own.
#include "viewfold/image/kernels/warp.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "viewfold/image/pixel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/warp.cpp"
#include <hwy/foreach_target.h>

#include "viewfold/image/kernels/simd-inl.h"

#ifndef VIEWFOLD_IMAGE_KERNELS_WARP_ONCE
#define VIEWFOLD_IMAGE_KERNELS_WARP_ONCE
namespace viewfold {
namespace {

// The picture, and what is made of it: pixel (x, y) of `to` is the one at index position
// map(x, y), where whole numbers are the pixels of the picture. They reach from -1 to its size
// inclusive; one more pixel to the right of and below a position can be read.
template <class T>
struct WarpJob {
  const T* pixels = nullptr;  // the first of the picture itself, inside the frame
  std::size_t stride = 0;     // values of a framed row
  std::size_t bands = 0;
  int width = 0;
  int height = 0;
  AffineMap map;
  int to_width = 0;
  int to_height = 0;
  T* to = nullptr;
};

// A value of an integer type rounded to nearest, half to even as torch.round; never negative.
template <class T>
T round_half_even(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    // Floats of this size have no fraction: adding it rounds, in the default rounding mode.
    constexpr float kNoFraction = 8388608.0F;  // 2^23
    return static_cast<T>(static_cast<int>((value + kNoFraction) - kNoFraction));
  }
}

}  // namespace
}  // namespace viewfold
#endif

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

// Every vector length divides it.
constexpr int kBlock = 64;

// Positions of some pixels along one axis: whole parts, and how far they are beyond them.
struct Positions {
  HWY_ALIGN std::int32_t whole[kBlock];
  HWY_ALIGN float rest[kBlock];
};

// A block of pixels of one row: where they come from, how many they are, where they go.
template <class T>
struct Block {
  Positions x;
  Positions y;
  std::size_t count = 0;
  T* to = nullptr;
};

// start + i * step for i < count (and up to a whole vector), limited to [-1, size].
HWY_INLINE void find_positions(
    double start, double step, int size, std::size_t count, Positions& positions) {
  const DF d;
  const DI di;
  constexpr double kHuge = 1e30;  // beyond any picture, and finite as a float when multiplied
  const double base = std::clamp(std::floor(start), -1.0, static_cast<double>(size));
  // Only the distance from the base is a float: positions in large pictures are as exact.
  const auto first = hn::Set(d, static_cast<float>(std::clamp(start - base, -kHuge, kHuge)));
  const auto slope = hn::Set(d, static_cast<float>(std::clamp(step, -kHuge, kHuge)));
  const auto low = hn::Set(d, static_cast<float>(-1.0 - base));
  const auto high = hn::Set(d, static_cast<float>(size - base));
  const auto offset = hn::Set(di, static_cast<std::int32_t>(base));
  for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
    const auto position = hn::MulAdd(hn::Iota(d, static_cast<float>(i)), slope, first);
    const auto limited = hn::Min(hn::Max(position, low), high);
    const auto floor = hn::Floor(limited);
    // Limited again: of sizes above 2^24 not every one is a float.
    const auto index = hn::Add(hn::ConvertTo(di, floor), offset);
    hn::Store(hn::Min(hn::Max(index, hn::Set(di, -1)), hn::Set(di, size)), di, positions.whole + i);
    hn::Store(hn::Sub(limited, floor), d, positions.rest + i);
  }
}

// Calls take(block) for blocks that make up the result.
template <class T, class Take>
HWY_INLINE void for_blocks(const WarpJob<T>& job, const Take& take) {
  const auto& map = job.map;
  Block<T> block;
  block.to = job.to;
  for (int y = 0; y < job.to_height; ++y) {
    for (int x = 0; x < job.to_width; x += kBlock) {
      block.count = static_cast<std::size_t>(std::min(kBlock, job.to_width - x));
      find_positions(x * map.xx + y * map.xy + map.x0, map.xx, job.width, block.count, block.x);
      find_positions(x * map.yx + y * map.yy + map.y0, map.yx, job.height, block.count, block.y);
      take(block);
      block.to += block.count * job.bands;
    }
  }
}

// The pixel at the whole part of position i.
template <class T>
HWY_INLINE const T* pixel_at(const WarpJob<T>& job, const Block<T>& block, std::size_t i) {
  return job.pixels + static_cast<std::ptrdiff_t>(job.stride) * block.y.whole[i] +
         static_cast<std::ptrdiff_t>(job.bands) * block.x.whole[i];
}

// Calls body(bands) with the number of bands, a constant where it is a common one.
template <class Body>
void with_bands(std::size_t bands, const Body& body) {
  if (bands == 1) {
    body(std::integral_constant<std::size_t, 1>());
  } else if (bands == 3) {
    body(std::integral_constant<std::size_t, 3>());
  } else {
    body(bands);
  }
}

template <class T>
void bilinear(const WarpJob<T>& job) {
  const auto mix_block = [&](auto bands, const Block<T>& block) {
    T* to = block.to;
    for (std::size_t i = 0; i < block.count; ++i, to += bands) {
      const T* above = pixel_at(job, block, i);
      const T* below = above + job.stride;
      const float right = block.x.rest[i];
      const float down = block.y.rest[i];
      const auto mix = [&](const T* pair, std::size_t band) {
        const auto left = static_cast<float>(pair[band]);
        return left + right * (static_cast<float>(pair[band + bands]) - left);
      };
      for (std::size_t band = 0; band < bands; ++band) {
        const float top = mix(above, band);
        to[band] = round_half_even<T>(top + down * (mix(below, band) - top));
      }
    }
  };
  with_bands(job.bands, [&](auto bands) {
    for_blocks(job, [&](const Block<T>& block) { mix_block(bands, block); });
  });
}

void bilinear_u8(const WarpJob<std::uint8_t>& job) {
  bilinear(job);
}
void bilinear_u16(const WarpJob<std::uint16_t>& job) {
  bilinear(job);
}
void bilinear_f32(const WarpJob<float>& job) {
  bilinear(job);
}

struct Rgb {
  VF red;
  VF green;
  VF blue;
};

using DU = hn::RebindToUnsigned<DI>;

template <int kShift>
HWY_INLINE VF byte_of(hn::Vec<DU> words) {
  const DF d;
  const DI di;
  const DU du;
  const auto byte = hn::And(hn::ShiftRight<kShift>(words), hn::Set(du, 0xFF));
  return hn::ConvertTo(d, hn::BitCast(di, byte));
}

HWY_INLINE VF between(VF from, VF to, VF share) {
  return hn::MulAdd(share, hn::Sub(to, from), from);
}

// Mixes pairs of neighbours in a row, each in two words of four bytes: r g b r, g b - -.
HWY_INLINE Rgb mix_pairs(const std::uint32_t* pairs, VF right) {
  const DU du;
  hn::Vec<DU> low;
  hn::Vec<DU> high;
  hn::LoadInterleaved2(du, pairs, low, high);
  return {between(byte_of<0>(low), byte_of<24>(low), right),
          between(byte_of<8>(low), byte_of<0>(high), right),
          between(byte_of<16>(low), byte_of<8>(high), right)};
}

HWY_INLINE auto to_byte(VF value) {
  const hn::Rebind<std::uint8_t, DF> d8;
  return hn::DemoteTo(d8, hn::NearestInt(value));
}

// The eight bytes of a pair of neighbours reach two bytes beyond it: there is room behind the
// frame.
void bilinear_rgb8(const WarpJob<std::uint8_t>& job) {
  static_assert(std::endian::native == std::endian::little);
  const DF d;
  const hn::Rebind<std::uint8_t, DF> d8;
  HWY_ALIGN std::uint32_t above[2 * kBlock] = {};
  HWY_ALIGN std::uint32_t below[2 * kBlock] = {};
  for_blocks(job, [&](const Block<std::uint8_t>& block) HWY_ATTR {
    for (std::size_t i = 0; i < block.count; ++i) {
      const std::uint8_t* from = pixel_at(job, block, i);
      std::memcpy(&above[2 * i], from, 8);
      std::memcpy(&below[2 * i], from + job.stride, 8);
    }
    const auto mix_into = [&](std::size_t i, std::uint8_t* rgb) HWY_ATTR {
      const auto right = hn::Load(d, block.x.rest + i);
      const auto down = hn::Load(d, block.y.rest + i);
      const auto top = mix_pairs(&above[2 * i], right);
      const auto bottom = mix_pairs(&below[2 * i], right);
      hn::StoreInterleaved3(to_byte(between(top.red, bottom.red, down)),
                            to_byte(between(top.green, bottom.green, down)),
                            to_byte(between(top.blue, bottom.blue, down)), d8, rgb);
    };
    for_vectors(
        block.count, hn::Lanes(d), [&](std::size_t i) HWY_ATTR { mix_into(i, block.to + 3 * i); },
        [&](std::size_t i, std::size_t rest) HWY_ATTR {
          HWY_ALIGN std::uint8_t rgb[3 * hn::MaxLanes(d)];
          mix_into(i, rgb);
          std::memcpy(block.to + 3 * i, rgb, 3 * rest);
        });
  });
}

template <class Bands, class T>
void copy_block(Bands bands, const WarpJob<T>& job, const Block<T>& block) {
  T* to = block.to;
  for (std::size_t i = 0; i < block.count; ++i, to += bands) {
    const T* from = pixel_at(job, block, i);
    for (std::size_t band = 0; band < bands; ++band) {
      to[band] = from[band];
    }
  }
}

template <class T>
void nearest(const WarpJob<T>& job) {
  with_bands(job.bands, [&](auto bands) {
    for_blocks(job, [&](const Block<T>& block) { copy_block(bands, job, block); });
  });
}

void nearest_u8(const WarpJob<std::uint8_t>& job) {
  nearest(job);
}
void nearest_u16(const WarpJob<std::uint16_t>& job) {
  nearest(job);
}
void nearest_f32(const WarpJob<float>& job) {
  nearest(job);
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(bilinear_u8);
HWY_EXPORT(bilinear_u16);
HWY_EXPORT(bilinear_f32);
HWY_EXPORT(bilinear_rgb8);
HWY_EXPORT(nearest_u8);
HWY_EXPORT(nearest_u16);
HWY_EXPORT(nearest_f32);

template <class T>
void run_bilinear(const WarpJob<T>& job) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return job.bands == 3 ? HWY_DYNAMIC_DISPATCH(bilinear_rgb8)(job)
                          : HWY_DYNAMIC_DISPATCH(bilinear_u8)(job);
  } else if constexpr (std::is_same_v<T, std::uint16_t>) {
    return HWY_DYNAMIC_DISPATCH(bilinear_u16)(job);
  } else {
    return HWY_DYNAMIC_DISPATCH(bilinear_f32)(job);
  }
}

template <class T>
void run_nearest(const WarpJob<T>& job) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return HWY_DYNAMIC_DISPATCH(nearest_u8)(job);
  } else if constexpr (std::is_same_v<T, std::uint16_t>) {
    return HWY_DYNAMIC_DISPATCH(nearest_u16)(job);
  } else {
    return HWY_DYNAMIC_DISPATCH(nearest_f32)(job);
  }
}

// What surrounds a picture: one pixel on the left and above, two on the right and below.
constexpr std::size_t kBefore = 1;
constexpr std::size_t kAround = 3;

// Copies the picture into scratch memory with zeros around it, and describes both.
template <class T>
WarpJob<T> frame(const Image& image, Scratch& scratch) {
  WarpJob<T> job;
  job.bands = static_cast<std::size_t>(image.bands());
  job.width = image.width();
  job.height = image.height();
  const std::size_t row = static_cast<std::size_t>(job.width) * job.bands;
  const auto rows = static_cast<std::size_t>(job.height);
  job.stride = row + kAround * job.bands;
  const auto framed = scratch.get<T>(0, job.stride * (rows + kAround));
  const T* from = image.values<T>().data();
  T* to = framed.data();
  const std::size_t left = kBefore * job.bands;
  std::fill_n(to, job.stride + left, T{});
  to += kBefore * job.stride + left;
  job.pixels = to;
  for (std::size_t y = 0; y < rows; ++y, from += row, to += job.stride) {
    std::memcpy(to, from, row * sizeof(T));
    std::fill_n(to + row, job.stride - row, T{});  // on the right, and on the left of the next row
  }
  std::fill(to, framed.data() + framed.size(), T{});
  return job;
}

// `map` for index positions, where a pixel is at `origin` beyond the corner that is its number.
AffineMap for_indices(const AffineMap& map, double origin) {
  AffineMap indices = map;
  indices.x0 = 0.5 * map.xx + 0.5 * map.xy + map.x0 - origin;
  indices.y0 = 0.5 * map.yx + 0.5 * map.yy + map.y0 - origin;
  return indices;
}

template <class T>
void aim(WarpJob<T>& job, const AffineMap& map, Image& out) {
  job.map = map;
  job.to_width = out.width();
  job.to_height = out.height();
  job.to = out.values<T>().data();
}

void check_warp(const Image& image, const AffineMap& map, const Image& out) {
  check(!image.empty() && !out.empty() && &image != &out && out.bands() == image.bands() &&
            out.type() == image.type(),
        "a warp needs another image with the bands and the type of the first");
  check(std::isfinite(map.xx) && std::isfinite(map.xy) && std::isfinite(map.x0) &&
            std::isfinite(map.yx) && std::isfinite(map.yy) && std::isfinite(map.y0),
        "a map has finite coefficients");
}

}  // namespace

AffineMap inverse(const AffineMap& map) {
  const double determinant = map.xx * map.yy - map.xy * map.yx;
  check(determinant != 0.0 && std::isfinite(determinant), "this map cannot be inverted");
  const AffineMap linear{.xx = map.yy / determinant,
                         .xy = -map.xy / determinant,
                         .yx = -map.yx / determinant,
                         .yy = map.xx / determinant};
  AffineMap back = linear;
  back.x0 = -(linear.xx * map.x0 + linear.xy * map.y0);
  back.y0 = -(linear.yx * map.x0 + linear.yy * map.y0);
  return back;
}

void warp_bilinear(const Image& image, const AffineMap& map, Scratch& scratch, Image& out) {
  check_warp(image, map, out);
  with_pixel_type(image.type(), [&]<class T>() {
    auto job = frame<T>(image, scratch);
    aim(job, for_indices(map, 0.5), out);
    run_bilinear(job);
  });
}

void warp_nearest(const Image& image, const AffineMap& map, Scratch& scratch, Image& out) {
  check_warp(image, map, out);
  with_pixel_type(image.type(), [&]<class T>() {
    auto job = frame<T>(image, scratch);
    aim(job, for_indices(map, 0.0), out);
    run_nearest(job);
  });
}

}  // namespace viewfold
#endif  // HWY_ONCE
