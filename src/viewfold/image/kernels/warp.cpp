// Implements affine warps, once for every instruction set. Each row of the output is cut into what
// comes from outside (filled), the rim (pixel by pixel) and the inside (by vectors, without
// checks).
#include "viewfold/image/kernels/warp.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
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

// Pixels of one row of the output, and where they come from: pixel i from index position
// (x + i * dx, y + i * dy), whose whole part is at least 0 and at most (right, bottom).
template <class T>
struct Run {
  const T* pixels = nullptr;
  std::size_t stride = 0;  // values of a row
  std::size_t bands = 0;
  int right = 0;
  int bottom = 0;
  double x = 0.0;
  double y = 0.0;
  double dx = 0.0;
  double dy = 0.0;
  int count = 0;
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

// Source positions of some pixels: whole parts, and how far they are beyond them.
struct Block {
  HWY_ALIGN std::int32_t x[kBlock];
  HWY_ALIGN std::int32_t y[kBlock];
  HWY_ALIGN float right[kBlock];
  HWY_ALIGN float down[kBlock];
};

// start + i * step for i < count, as whole parts of 0 .. most and rests. The part behind `count`
// repeats the last one up to a whole vector.
HWY_INLINE void split_positions(
    double start, double step, int most, std::span<std::int32_t> whole, float* rest) {
  const DF d;
  const DI di;
  const double base = std::floor(start);
  const auto offset = hn::Set(di, static_cast<std::int32_t>(base));
  // Only the distance from the base is a float: positions in large pictures are as exact.
  const auto first = hn::Set(d, static_cast<float>(start - base));
  const auto slope = hn::Set(d, static_cast<float>(step));
  const auto last = hn::Set(d, static_cast<float>(whole.size() - 1));
  for (std::size_t i = 0; i < whole.size(); i += hn::Lanes(d)) {
    const auto lane = hn::Min(hn::Iota(d, static_cast<float>(i)), last);
    const auto position = hn::MulAdd(lane, slope, first);
    const auto floor = hn::Floor(position);
    // Rounding cannot lead out of the picture by more than a position at its rim.
    const auto index = hn::Min(hn::Max(hn::Add(hn::ConvertTo(di, floor), offset), hn::Zero(di)),
                               hn::Set(di, most));
    hn::StoreU(index, di, whole.data() + i);
    hn::StoreU(hn::Sub(position, floor), d, rest + i);
  }
}

template <class T>
HWY_INLINE void find_positions(const Run<T>& run, int begin, int count, Block& block) {
  const auto n = static_cast<std::size_t>(count);
  split_positions(run.x + begin * run.dx, run.dx, run.right, {block.x, n}, block.right);
  split_positions(run.y + begin * run.dy, run.dy, run.bottom, {block.y, n}, block.down);
}

// Calls body(begin, count, block) for all blocks of a run, with the positions of their pixels.
template <class T, class Body>
HWY_INLINE void for_blocks(const Run<T>& run, const Body& body) {
  Block block;
  for (int begin = 0; begin < run.count; begin += kBlock) {
    const int count = std::min(kBlock, run.count - begin);
    find_positions(run, begin, count, block);
    body(static_cast<std::size_t>(begin), static_cast<std::size_t>(count), block);
  }
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
void bilinear(const Run<T>& run) {
  const auto mix_block = [&](auto bands, std::size_t begin, std::size_t count, const Block& block) {
    T* to = run.to + begin * bands;
    for (std::size_t i = 0; i < count; ++i, to += bands) {
      const T* above = run.pixels + static_cast<std::size_t>(block.y[i]) * run.stride +
                       static_cast<std::size_t>(block.x[i]) * bands;
      const T* below = above + run.stride;
      const float right = block.right[i];
      const float down = block.down[i];
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
  with_bands(run.bands, [&](auto bands) {
    for_blocks(run, [&](std::size_t begin, std::size_t count, const Block& block) {
      mix_block(bands, begin, count, block);
    });
  });
}

void bilinear_u8(const Run<std::uint8_t>& run) {
  bilinear(run);
}
void bilinear_u16(const Run<std::uint16_t>& run) {
  bilinear(run);
}
void bilinear_f32(const Run<float>& run) {
  bilinear(run);
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

// The eight bytes of a pair of neighbours reach two bytes beyond it: run.right leaves room for
// them.
void bilinear_rgb8(const Run<std::uint8_t>& run) {
  static_assert(std::endian::native == std::endian::little);
  const DF d;
  const hn::Rebind<std::uint8_t, DF> d8;
  HWY_ALIGN std::uint32_t above[2 * kBlock] = {};
  HWY_ALIGN std::uint32_t below[2 * kBlock] = {};
  for_blocks(run, [&](std::size_t begin, std::size_t count, const Block& block) HWY_ATTR {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t* from = run.pixels + static_cast<std::size_t>(block.y[i]) * run.stride +
                                 static_cast<std::size_t>(block.x[i]) * 3;
      std::memcpy(&above[2 * i], from, 8);
      std::memcpy(&below[2 * i], from + run.stride, 8);
    }
    std::uint8_t* to = run.to + begin * 3;
    const auto mix_into = [&](std::size_t i, std::uint8_t* rgb) HWY_ATTR {
      const auto right = hn::LoadU(d, block.right + i);
      const auto down = hn::LoadU(d, block.down + i);
      const auto top = mix_pairs(&above[2 * i], right);
      const auto bottom = mix_pairs(&below[2 * i], right);
      hn::StoreInterleaved3(to_byte(between(top.red, bottom.red, down)),
                            to_byte(between(top.green, bottom.green, down)),
                            to_byte(between(top.blue, bottom.blue, down)), d8, rgb);
    };
    for_vectors(
        count, hn::Lanes(d), [&](std::size_t i) HWY_ATTR { mix_into(i, to + 3 * i); },
        [&](std::size_t i, std::size_t rest) HWY_ATTR {
          HWY_ALIGN std::uint8_t rgb[3 * hn::MaxLanes(d)];
          mix_into(i, rgb);
          std::memcpy(to + 3 * i, rgb, 3 * rest);
        });
  });
}

template <class T>
void nearest(const Run<T>& run) {
  const auto copy_block = [&](auto bands, std::size_t begin, std::size_t count,
                              const Block& block) {
    T* to = run.to + begin * bands;
    for (std::size_t i = 0; i < count; ++i, to += bands) {
      const T* from = run.pixels + static_cast<std::size_t>(block.y[i]) * run.stride +
                      static_cast<std::size_t>(block.x[i]) * bands;
      for (std::size_t band = 0; band < bands; ++band) {
        to[band] = from[band];
      }
    }
  };
  with_bands(run.bands, [&](auto bands) {
    for_blocks(run, [&](std::size_t begin, std::size_t count, const Block& block) {
      copy_block(bands, begin, count, block);
    });
  });
}

void nearest_u8(const Run<std::uint8_t>& run) {
  nearest(run);
}
void nearest_u16(const Run<std::uint16_t>& run) {
  nearest(run);
}
void nearest_f32(const Run<float>& run) {
  nearest(run);
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

// How far positions of vectors may be from where they are in double: those of pictures that are
// shrunk a thousand times are exact to a hundredth of a pixel.
double margin_of(double step) {
  return 1e-3 + 1e-5 * std::abs(step);
}

// The pixels [begin, end) of a row.
struct Range {
  int begin = 0;
  int end = 0;
};

Range common(Range a, Range b) {
  const int begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

// The i in [0, n) with low <= start + i * step <= high.
Range where(double start, double step, double low, double high, int n) {
  if (step == 0.0) {
    return {0, start >= low && start <= high ? n : 0};
  }
  double first = (low - start) / step;
  double last = (high - start) / step;
  if (step < 0.0) {
    std::swap(first, last);
  }
  const auto pixel = [most = static_cast<double>(n)](double at) {
    return static_cast<int>(std::clamp(at, 0.0, most));
  };
  const Range range{pixel(std::ceil(first)), pixel(std::floor(last) + 1.0)};
  return low <= high ? common(range, {0, n}) : Range{};
}

// The pixels of a row whose positions are at least `low` and at most (x_high, y_high), with
// `widened` times a margin more on each side.
template <class T>
Range pixels_within(const Run<T>& row, double low, double x_high, double y_high, double widened) {
  const double x_more = widened * margin_of(row.dx);
  const double y_more = widened * margin_of(row.dy);
  return common(where(row.x, row.dx, low - x_more, x_high + x_more, row.count),
                where(row.y, row.dy, low - y_more, y_high + y_more, row.count));
}

// Pixels [range.begin, range.end) of a row.
template <class T>
Run<T> part_of(Run<T> row, Range range) {
  row.x += range.begin * row.dx;
  row.y += range.begin * row.dy;
  row.to += static_cast<std::size_t>(range.begin) * row.bands;
  row.count = range.end - range.begin;
  return row;
}

// Whether a position is at least `low` and below width and height. Asked before it is made an
// integer, which a huge one cannot be.
bool is_within(const Image& image, double x, double y, double low) {
  return x >= low && y >= low && x < image.width() && y < image.height();
}

// A pixel at the rim, mixed from those of its neighbours that are there.
template <class T>
void mix_at(const Image& image, double x, double y, std::span<T> to) {
  if (!is_within(image, x, y, -1.0)) {
    std::fill(to.begin(), to.end(), T{});
    return;
  }
  const auto left = static_cast<int>(std::floor(x));
  const auto top = static_cast<int>(std::floor(y));
  const auto right = static_cast<float>(x - left);
  const auto down = static_cast<float>(y - top);
  const auto value = [&](int row, int column, std::size_t band) {
    const bool inside = row >= 0 && row < image.height() && column >= 0 && column < image.width();
    const auto index = static_cast<std::size_t>(row) * static_cast<std::size_t>(image.width()) +
                       static_cast<std::size_t>(column);
    return inside ? static_cast<float>(image.values<T>()[index * to.size() + band]) : 0.0F;
  };
  for (std::size_t band = 0; band < to.size(); ++band) {
    const float above =
        value(top, left, band) * (1.0F - right) + value(top, left + 1, band) * right;
    const float below =
        value(top + 1, left, band) * (1.0F - right) + value(top + 1, left + 1, band) * right;
    to[band] = round_half_even<T>(above * (1.0F - down) + below * down);
  }
}

// The pixel that a position falls on.
template <class T>
void take_at(const Image& image, double x, double y, std::span<T> to) {
  if (!is_within(image, x, y, 0.0)) {
    std::fill(to.begin(), to.end(), T{});
    return;
  }
  const auto index = static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width()) +
                     static_cast<std::size_t>(x);
  std::copy_n(&image.values<T>()[index * to.size()], to.size(), to.begin());
}

template <class T>
void run_bilinear(const Run<T>& run) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return run.bands == 3 ? HWY_DYNAMIC_DISPATCH(bilinear_rgb8)(run)
                          : HWY_DYNAMIC_DISPATCH(bilinear_u8)(run);
  } else if constexpr (std::is_same_v<T, std::uint16_t>) {
    return HWY_DYNAMIC_DISPATCH(bilinear_u16)(run);
  } else {
    return HWY_DYNAMIC_DISPATCH(bilinear_f32)(run);
  }
}

template <class T>
void run_nearest(const Run<T>& run) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return HWY_DYNAMIC_DISPATCH(nearest_u8)(run);
  } else if constexpr (std::is_same_v<T, std::uint16_t>) {
    return HWY_DYNAMIC_DISPATCH(nearest_u16)(run);
  } else {
    return HWY_DYNAMIC_DISPATCH(nearest_f32)(run);
  }
}

// How the two kinds of sampling differ: index positions are relative to the centre of a pixel or to
// its corner; how many pixels beyond the one at the position are read; how they are read.
template <class T>
struct Sampling {
  double origin = 0.0;
  int reach_right = 0;
  int reach_down = 0;
  void (*inside)(const Run<T>&) = nullptr;
  void (*at_rim)(const Image&, double, double, std::span<T>) = nullptr;
};

template <class T>
void warp_row(const Image& image, const Sampling<T>& sampling, const Run<T>& row) {
  const auto from_outside = [&](Range range) {
    const Run<T> part = part_of(row, range);
    std::fill_n(part.to, static_cast<std::size_t>(part.count) * part.bands, T{});
  };
  const auto at_rim = [&](Range range) {
    for (int i = range.begin; i < range.end; ++i) {
      sampling.at_rim(image, row.x + i * row.dx, row.y + i * row.dy,
                      {row.to + static_cast<std::size_t>(i) * row.bands, row.bands});
    }
  };
  const Range touched = pixels_within(row, -1.0, image.width(), image.height(), 1.0);
  const Range inside =
      common(touched, pixels_within(row, 0.0, row.right + 1.0, row.bottom + 1.0, -1.0));
  from_outside({0, touched.begin});
  at_rim({touched.begin, inside.begin});
  if (inside.begin < inside.end) {
    sampling.inside(part_of(row, inside));
  }
  at_rim({inside.end, touched.end});
  from_outside({touched.end, row.count});
}

template <class T>
void warp(const Image& image, const AffineMap& map, const Sampling<T>& sampling, Image& out) {
  const auto bands = static_cast<std::size_t>(image.bands());
  Run<T> row{.pixels = image.values<T>().data(),
             .stride = static_cast<std::size_t>(image.width()) * bands,
             .bands = bands,
             .right = image.width() - 1 - sampling.reach_right,
             .bottom = image.height() - 1 - sampling.reach_down,
             .dx = map.xx,
             .dy = map.yx,
             .count = out.width(),
             .to = out.values<T>().data()};
  for (int y = 0; y < out.height(); ++y) {
    row.x = 0.5 * map.xx + (y + 0.5) * map.xy + map.x0 - sampling.origin;
    row.y = 0.5 * map.yx + (y + 0.5) * map.yy + map.y0 - sampling.origin;
    warp_row(image, sampling, row);
    row.to += static_cast<std::size_t>(row.count) * bands;
  }
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

void warp_bilinear(const Image& image, const AffineMap& map, Image& out) {
  check_warp(image, map, out);
  with_pixel_type(image.type(), [&]<class T>() {
    // Pairs of RGB bytes are read as eight bytes: two of the pixel behind them.
    const bool rgb8 = std::is_same_v<T, std::uint8_t> && image.bands() == 3;
    warp<T>(image, map,
            {.origin = 0.5,
             .reach_right = rgb8 ? 2 : 1,
             .reach_down = 1,
             .inside = run_bilinear<T>,
             .at_rim = mix_at<T>},
            out);
  });
}

void warp_nearest(const Image& image, const AffineMap& map, Image& out) {
  check_warp(image, map, out);
  with_pixel_type(image.type(), [&]<class T>() {
    warp<T>(image, map,
            {.origin = 0.0,
             .reach_right = 0,
             .reach_down = 0,
             .inside = run_nearest<T>,
             .at_rim = take_at<T>},
            out);
  });
}

}  // namespace viewfold
#endif  // HWY_ONCE
