// Implements the colour changes, once for every instruction set.
#include "viewfold/image/kernels/color.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "viewfold/image/pixel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/color.cpp"
#include <hwy/foreach_target.h>

#include "viewfold/image/kernels/simd-inl.h"

#ifndef VIEWFOLD_IMAGE_KERNELS_COLOR_ONCE
#define VIEWFOLD_IMAGE_KERNELS_COLOR_ONCE
namespace viewfold {
namespace {

// ITU-R 601; torchvision's tensor back end writes 0.2989, Pillow and the standard 0.299.
constexpr float kRed = 0.299F;
constexpr float kGreen = 0.587F;
constexpr float kBlue = 0.114F;

// The same in 1/65536, as Pillow has them (src/libImaging/Convert.c).
constexpr std::uint16_t kRed16 = 19595;
constexpr std::uint16_t kGreen16 = 38470;
constexpr std::uint16_t kBlue16 = 7471;

// The steps of a change that do something, in their order.
struct ColorSteps {
  std::array<ColorStep, 4> step{};
  std::size_t count = 0;
};

// Steps [first, last) of a change, and the mean luma for a contrast among them.
struct StepRange {
  std::size_t first;
  std::size_t last;
  float mean_luma;
};

// Pixels of three bands, and where their changed copy goes.
template <class T>
struct RgbCopy {
  const T* from;
  T* to;
  std::size_t count;  // pixels
};

// How far a factor moves a value away from a middle or, below 1, towards it: by so many times its
// distance and a part of it in 1/65536.
struct Stretch {
  bool away;
  int times;
  std::uint16_t part;
};

Stretch stretch_of(float factor) {
  constexpr float kMost = 255.0F;  // nothing but black, middle and white is left
  const float share = std::abs(factor - 1.0F);
  const float times = std::min(std::floor(share), kMost);
  const float part = std::min((share - times) * 65536.0F + 0.5F, 65535.0F);
  return {factor > 1.0F, static_cast<int>(times), static_cast<std::uint16_t>(part)};
}

}  // namespace
}  // namespace viewfold
#endif

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

struct Rgb {
  VF red;
  VF green;
  VF blue;
};

template <class T>
HWY_INLINE Rgb load_rgb(const T* from) {
  const DF d;
  if constexpr (std::is_same_v<T, float>) {
    Rgb rgb;
    hn::LoadInterleaved3(d, from, rgb.red, rgb.green, rgb.blue);
    return rgb;
  } else {
    const hn::Rebind<T, DF> dt;
    const DI di;
    hn::Vec<decltype(dt)> red;
    hn::Vec<decltype(dt)> green;
    hn::Vec<decltype(dt)> blue;
    hn::LoadInterleaved3(dt, from, red, green, blue);
    return {hn::ConvertTo(d, hn::PromoteTo(di, red)), hn::ConvertTo(d, hn::PromoteTo(di, green)),
            hn::ConvertTo(d, hn::PromoteTo(di, blue))};
  }
}

template <class T>
HWY_INLINE auto to_pixels(VF values) {
  const DF d;
  values = limit_floats<T>(d, values);
  if constexpr (std::is_same_v<T, float>) {
    return values;
  } else {
    const hn::Rebind<T, DF> dt;
    const DI di;
    return hn::DemoteTo(dt, hn::ConvertTo(di, hn::Add(values, hn::Set(d, 0.5F))));
  }
}

template <class T>
HWY_INLINE void store_rgb(const Rgb& rgb, T* to) {
  const hn::Rebind<T, DF> dt;
  hn::StoreInterleaved3(to_pixels<T>(rgb.red), to_pixels<T>(rgb.green), to_pixels<T>(rgb.blue), dt,
                        to);
}

HWY_INLINE VF luma_of(const Rgb& rgb) {
  const DF d;
  return hn::MulAdd(
      hn::Set(d, kRed), rgb.red,
      hn::MulAdd(hn::Set(d, kGreen), rgb.green, hn::Mul(hn::Set(d, kBlue), rgb.blue)));
}

// The band whose peak is `offset` sixths of a turn from red, at hue `sixths` in [0, 6): the value
// falls from `top` by `chroma` where the hue is far away. HSV to RGB without a case per sextant.
HWY_INLINE VF band_at(VF sixths, float offset, VF top, VF chroma) {
  const DF d;
  const auto six = hn::Set(d, 6.0F);
  auto k = hn::Add(sixths, hn::Set(d, offset));
  k = hn::IfThenElse(hn::Ge(k, six), hn::Sub(k, six), k);
  auto distance = hn::Min(k, hn::Sub(hn::Set(d, 4.0F), k));
  distance = hn::Min(hn::Max(distance, hn::Zero(d)), hn::Set(d, 1.0F));
  return hn::NegMulAdd(chroma, distance, top);
}

HWY_INLINE void turn_hue(Rgb& rgb, float turns) {
  const DF d;
  const auto six = hn::Set(d, 6.0F);
  const auto top = hn::Max(rgb.red, hn::Max(rgb.green, rgb.blue));
  const auto chroma = hn::Sub(top, hn::Min(rgb.red, hn::Min(rgb.green, rgb.blue)));
  const auto one = hn::Set(d, 1.0F);
  const auto scale = hn::Div(one, hn::IfThenElse(hn::Gt(chroma, hn::Zero(d)), chroma, one));
  const auto from_red = hn::Mul(hn::Sub(rgb.green, rgb.blue), scale);
  const auto from_green = hn::MulAdd(hn::Sub(rgb.blue, rgb.red), scale, hn::Set(d, 2.0F));
  const auto from_blue = hn::MulAdd(hn::Sub(rgb.red, rgb.green), scale, hn::Set(d, 4.0F));
  auto sixths = hn::IfThenElse(hn::Eq(top, rgb.green), from_green, from_blue);
  sixths = hn::IfThenElse(hn::Eq(top, rgb.red), from_red, sixths);
  sixths = hn::Add(sixths, hn::Set(d, 6.0F * turns));  // [-4, 8]
  sixths = hn::IfThenElse(hn::Lt(sixths, hn::Zero(d)), hn::Add(sixths, six), sixths);
  sixths = hn::IfThenElse(hn::Ge(sixths, six), hn::Sub(sixths, six), sixths);
  rgb.red = band_at(sixths, 5.0F, top, chroma);
  rgb.green = band_at(sixths, 3.0F, top, chroma);
  rgb.blue = band_at(sixths, 1.0F, top, chroma);
}

// Sums of luma, in double after every few vectors: exact enough for images of many megapixels.
struct LumaSum {
  VF partial;
  std::size_t added;
  double total;

  static HWY_INLINE LumaSum none() { return {hn::Zero(DF()), 0, 0.0}; }
  HWY_INLINE void add(VF luma) {
    partial = hn::Add(partial, luma);
    if (++added == 64) {
      flush();
    }
  }
  HWY_INLINE void flush() {
    const DF d;
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, partial)));
    partial = hn::Zero(d);
    added = 0;
  }
  HWY_INLINE float mean(std::size_t count) {
    flush();
    return static_cast<float>(total / static_cast<double>(count));
  }
};

// Pixels as floats: exact for every type. Bytes take this way only where there are no vectors;
// their luma are then whole grey levels, as on the other way.
template <class T>
struct FloatPath {
  using Value = T;
  using Pixels = Rgb;
  using Kept = float;
  using Sum = LumaSum;
  static constexpr bool kWhole = std::is_same_v<T, std::uint8_t>;

  static HWY_INLINE std::size_t lanes() { return hn::Lanes(DF()); }
  static HWY_INLINE Rgb load(const T* from) { return load_rgb(from); }
  static HWY_INLINE void store(const Rgb& rgb, T* to) { store_rgb(rgb, to); }

  static HWY_INLINE void keep(const Rgb& rgb, float* to) {
    const DF d;
    hn::Store(rgb.red, d, to);
    hn::Store(rgb.green, d, to + lanes());
    hn::Store(rgb.blue, d, to + 2 * lanes());
  }
  static HWY_INLINE Rgb kept(const float* from) {
    const DF d;
    return {hn::Load(d, from), hn::Load(d, from + lanes()), hn::Load(d, from + 2 * lanes())};
  }

  static HWY_INLINE VF luma(const Rgb& rgb) {
    const DF d;
    const auto exact = luma_of(rgb);
    return kWhole ? hn::Floor(hn::Add(exact, hn::Set(d, 0.5F))) : exact;
  }
  static HWY_INLINE Rgb gray(const Rgb& rgb) {
    const auto grey = luma(rgb);
    return {grey, grey, grey};
  }

  // Every value becomes factor * value + (1 - factor) * middle, within black .. white.
  static HWY_INLINE void blend(Rgb& rgb, VF middle, float factor) {
    const DF d;
    const auto scale = hn::Set(d, factor);
    const auto shift = hn::Mul(hn::Set(d, 1.0F - factor), middle);
    rgb.red = limit_floats<T>(d, hn::MulAdd(scale, rgb.red, shift));
    rgb.green = limit_floats<T>(d, hn::MulAdd(scale, rgb.green, shift));
    rgb.blue = limit_floats<T>(d, hn::MulAdd(scale, rgb.blue, shift));
  }
  static HWY_INLINE void brighten(Rgb& rgb, float factor) { blend(rgb, hn::Zero(DF()), factor); }
  static HWY_INLINE void contrast(Rgb& rgb, float mean, float factor) {
    blend(rgb, hn::Set(DF(), kWhole ? std::floor(mean + 0.5F) : mean), factor);
  }
  static HWY_INLINE void saturate(Rgb& rgb, float factor) { blend(rgb, luma(rgb), factor); }
  static HWY_INLINE void turn(Rgb& rgb, float turns) { turn_hue(rgb, turns); }
};

#if HWY_TARGET == HWY_SCALAR
using BytePath = FloatPath<std::uint8_t>;
#else
using D8 = hn::ScalableTag<std::uint8_t>;
using D16 = hn::Repartition<std::uint16_t, D8>;
using V8 = hn::Vec<D8>;
using V16 = hn::Vec<D16>;

// Values of one band in 1/256 grey levels: those at even and those at odd places, so that bytes
// become levels, and levels bytes, where they are.
struct Levels {
  V16 even;
  V16 odd;
};

struct RgbLevels {
  Levels red;
  Levels green;
  Levels blue;
};

HWY_INLINE V16 whole_levels(V16 levels) {
  return hn::And(levels, hn::Set(D16(), 0xFF00));
}

HWY_INLINE Levels levels_of(V8 bytes) {
  const auto pairs = hn::BitCast(D16(), bytes);
  return {hn::ShiftLeft<8>(pairs), whole_levels(pairs)};
}

HWY_INLINE V8 bytes_of_whole(const Levels& levels) {
  return hn::BitCast(D8(), hn::Or(hn::ShiftRight<8>(levels.even), levels.odd));
}

HWY_INLINE V16 rounded(V16 levels) {
  return whole_levels(hn::SaturatedAdd(levels, hn::Set(D16(), 0x80)));
}

HWY_INLINE V8 bytes_of(const Levels& levels) {
  return bytes_of_whole({rounded(levels.even), rounded(levels.odd)});
}

// Pillow's luma, to the last bit where pixels are whole levels: products have 32 bits, of which the
// lower 16 (14 of them, as there are three to add up) give the carry.
HWY_INLINE V16 luma16(V16 red, V16 green, V16 blue) {
  const D16 d;
  const auto r = hn::Set(d, kRed16);
  const auto g = hn::Set(d, kGreen16);
  const auto b = hn::Set(d, kBlue16);
  const auto high =
      hn::Add(hn::Add(hn::MulHigh(red, r), hn::MulHigh(green, g)), hn::MulHigh(blue, b));
  const auto low =
      hn::Add(hn::Add(hn::ShiftRight<2>(hn::Mul(red, r)), hn::ShiftRight<2>(hn::Mul(green, g))),
              hn::ShiftRight<2>(hn::Mul(blue, b)));
  return rounded(hn::Add(high, hn::ShiftRight<14>(low)));
}

HWY_INLINE V16 stretched(V16 distance, const Stretch& stretch) {
  auto moved = hn::MulHigh(distance, hn::Set(D16(), stretch.part));
  for (int i = 0; i < stretch.times; ++i) {
    moved = hn::SaturatedAdd(moved, distance);
  }
  return moved;
}

// Away from the middle or towards it, within black .. white. One of the two distances is 0.
HWY_INLINE V16 blended(V16 value, V16 middle, const Stretch& stretch) {
  const auto above = stretched(hn::SaturatedSub(value, middle), stretch);
  const auto below = stretched(hn::SaturatedSub(middle, value), stretch);
  if (stretch.away) {
    return hn::Min(hn::SaturatedSub(hn::SaturatedAdd(value, above), below), hn::Set(D16(), 0xFF00));
  }
  return hn::SaturatedAdd(hn::SaturatedSub(value, above), below);
}

HWY_INLINE void blend_levels(Levels& levels, const Levels& middle, const Stretch& stretch) {
  levels.even = blended(levels.even, middle.even, stretch);
  levels.odd = blended(levels.odd, middle.odd, stretch);
}

HWY_INLINE Levels same_levels(float grey_level) {
  const auto level = hn::Set(D16(), static_cast<std::uint16_t>(grey_level * 256.0F));
  return {level, level};
}

using D16Half = hn::Half<D16>;

HWY_INLINE VF floats_of(hn::Vec<D16Half> levels) {
  return hn::ConvertTo(DF(), hn::PromoteTo(DI(), levels));
}

HWY_INLINE hn::Vec<D16Half> levels_of_floats(VF values) {
  return hn::DemoteTo(D16Half(), hn::ConvertTo(DI(), values));
}

HWY_INLINE void turn_levels(V16& red, V16& green, V16& blue, float turns) {
  const D16 d;
  const D16Half half;
  Rgb low{floats_of(hn::LowerHalf(half, red)), floats_of(hn::LowerHalf(half, green)),
          floats_of(hn::LowerHalf(half, blue))};
  Rgb high{floats_of(hn::UpperHalf(half, red)), floats_of(hn::UpperHalf(half, green)),
           floats_of(hn::UpperHalf(half, blue))};
  turn_hue(low, turns);
  turn_hue(high, turns);
  red = hn::Combine(d, levels_of_floats(high.red), levels_of_floats(low.red));
  green = hn::Combine(d, levels_of_floats(high.green), levels_of_floats(low.green));
  blue = hn::Combine(d, levels_of_floats(high.blue), levels_of_floats(low.blue));
}

// The sum of whole luma, and its mean in whole grey levels, as Pillow's.
struct LevelSum {
  using D64 = hn::Repartition<std::uint64_t, D8>;
  hn::Vec<D64> total;

  static HWY_INLINE LevelSum none() { return {hn::Zero(D64())}; }
  HWY_INLINE void add(const Levels& luma) {
    total = hn::Add(total, hn::SumsOf8(bytes_of_whole(luma)));
  }
  HWY_INLINE float mean(std::size_t count) const {
    const auto sum = hn::GetLane(hn::SumOfLanes(D64(), total));
    const std::uint64_t rounded_mean = (2 * sum + count) / (2 * count);
    return static_cast<float>(rounded_mean);
  }
};

// Bytes as levels of 16 bits: twice as many at a time as floats, and no conversions but for hue.
struct BytePath {
  using Value = std::uint8_t;
  using Pixels = RgbLevels;
  using Kept = std::uint16_t;
  using Sum = LevelSum;

  static HWY_INLINE std::size_t lanes() { return hn::Lanes(D8()); }
  static HWY_INLINE RgbLevels load(const std::uint8_t* from) {
    V8 red;
    V8 green;
    V8 blue;
    hn::LoadInterleaved3(D8(), from, red, green, blue);
    return {levels_of(red), levels_of(green), levels_of(blue)};
  }
  static HWY_INLINE void store(const RgbLevels& rgb, std::uint8_t* to) {
    hn::StoreInterleaved3(bytes_of(rgb.red), bytes_of(rgb.green), bytes_of(rgb.blue), D8(), to);
  }

  static HWY_INLINE void keep(const RgbLevels& rgb, std::uint16_t* to) {
    const D16 d;
    const auto put = [&](const Levels& band, std::size_t i) HWY_ATTR {
      hn::Store(band.even, d, to + i * lanes());
      hn::Store(band.odd, d, to + i * lanes() + hn::Lanes(d));
    };
    put(rgb.red, 0);
    put(rgb.green, 1);
    put(rgb.blue, 2);
  }
  static HWY_INLINE RgbLevels kept(const std::uint16_t* from) {
    const D16 d;
    const auto band = [&](std::size_t i) HWY_ATTR {
      return Levels{hn::Load(d, from + i * lanes()),
                    hn::Load(d, from + i * lanes() + hn::Lanes(d))};
    };
    return {band(0), band(1), band(2)};
  }

  static HWY_INLINE Levels luma(const RgbLevels& rgb) {
    return {luma16(rgb.red.even, rgb.green.even, rgb.blue.even),
            luma16(rgb.red.odd, rgb.green.odd, rgb.blue.odd)};
  }
  static HWY_INLINE RgbLevels gray(const RgbLevels& rgb) {
    const auto grey = luma(rgb);
    return {grey, grey, grey};
  }

  static HWY_INLINE void blend(RgbLevels& rgb, const Levels& middle, float factor) {
    const Stretch stretch = stretch_of(factor);
    blend_levels(rgb.red, middle, stretch);
    blend_levels(rgb.green, middle, stretch);
    blend_levels(rgb.blue, middle, stretch);
  }
  static HWY_INLINE void brighten(RgbLevels& rgb, float factor) {
    blend(rgb, same_levels(0.0F), factor);
  }
  static HWY_INLINE void contrast(RgbLevels& rgb, float mean, float factor) {
    blend(rgb, same_levels(mean), factor);
  }
  static HWY_INLINE void saturate(RgbLevels& rgb, float factor) { blend(rgb, luma(rgb), factor); }
  static HWY_INLINE void turn(RgbLevels& rgb, float turns) {
    turn_levels(rgb.red.even, rgb.green.even, rgb.blue.even, turns);
    turn_levels(rgb.red.odd, rgb.green.odd, rgb.blue.odd, turns);
  }
};
#endif

template <class Path>
HWY_INLINE void run_steps(const ColorChange& change,
                          const ColorSteps& steps,
                          const StepRange& range,
                          typename Path::Pixels& pixels) {
  for (std::size_t i = range.first; i < range.last; ++i) {
    switch (steps.step[i]) {
      case ColorStep::kBrightness:
        Path::brighten(pixels, change.brightness);
        break;
      case ColorStep::kContrast:
        Path::contrast(pixels, range.mean_luma, change.contrast);
        break;
      case ColorStep::kSaturation:
        Path::saturate(pixels, change.saturation);
        break;
      case ColorStep::kHue:
        Path::turn(pixels, change.hue);
        break;
    }
  }
}

// Calls visit(i, n) for the first pixel and the number of pixels of each vector.
template <class Path, class Visit>
HWY_INLINE void for_pixels(std::size_t count, const Visit& visit) {
  for (std::size_t i = 0; i < count; i += Path::lanes()) {
    visit(i, std::min(Path::lanes(), count - i));
  }
}

// The last vector is filled up with black, and goes through a buffer.
template <class Path>
HWY_INLINE typename Path::Pixels load_some(const typename Path::Value* from, std::size_t n) {
  if (n == Path::lanes()) {
    return Path::load(from);
  }
  HWY_ALIGN typename Path::Value padded[3 * hn::MaxLanes(hn::ScalableTag<std::uint8_t>())] = {};
  std::memcpy(padded, from, 3 * n * sizeof(*from));
  return Path::load(padded);
}

template <class Path>
HWY_INLINE void store_some(const typename Path::Pixels& pixels,
                           typename Path::Value* to,
                           std::size_t n) {
  if (n == Path::lanes()) {
    return Path::store(pixels, to);
  }
  HWY_ALIGN typename Path::Value padded[3 * hn::MaxLanes(hn::ScalableTag<std::uint8_t>())];
  Path::store(pixels, padded);
  std::memcpy(to, padded, 3 * n * sizeof(*to));
}

// A contrast needs the mean luma of what the steps before it made: those run first, into `kept`
// (3 values per pixel and a vector of room), and the rest on their results.
template <class Path>
void change_rgb(const RgbCopy<typename Path::Value>& copy,
                const ColorChange& change,
                const ColorSteps& steps,
                typename Path::Kept* kept) {
  const auto* end = steps.step.begin() + steps.count;
  const auto contrast = static_cast<std::size_t>(
      std::find(steps.step.begin(), end, ColorStep::kContrast) - steps.step.begin());
  StepRange rest{0, steps.count, 0.0F};
  if (contrast < steps.count) {
    auto luma = Path::Sum::none();
    for_pixels<Path>(copy.count, [&](std::size_t i, std::size_t n) HWY_ATTR {
      auto pixels = load_some<Path>(copy.from + 3 * i, n);
      if (contrast > 0) {
        run_steps<Path>(change, steps, {0, contrast, 0.0F}, pixels);
        Path::keep(pixels, kept + 3 * i);
      }
      luma.add(Path::luma(pixels));
    });
    rest = {contrast, steps.count, luma.mean(copy.count)};
  }
  for_pixels<Path>(copy.count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    auto pixels = rest.first > 0 ? Path::kept(kept + 3 * i) : load_some<Path>(copy.from + 3 * i, n);
    run_steps<Path>(change, steps, rest, pixels);
    store_some<Path>(pixels, copy.to + 3 * i, n);
  });
}

void change_rgb_u8(const RgbCopy<std::uint8_t>& copy,
                   const ColorChange& change,
                   const ColorSteps& steps,
                   float* kept) {
  change_rgb<BytePath>(copy, change, steps, reinterpret_cast<BytePath::Kept*>(kept));
}

void change_rgb_u16(const RgbCopy<std::uint16_t>& copy,
                    const ColorChange& change,
                    const ColorSteps& steps,
                    float* kept) {
  change_rgb<FloatPath<std::uint16_t>>(copy, change, steps, kept);
}

void change_rgb_f32(const RgbCopy<float>& copy,
                    const ColorChange& change,
                    const ColorSteps& steps,
                    float* kept) {
  change_rgb<FloatPath<float>>(copy, change, steps, kept);
}

template <class Path>
void gray(const RgbCopy<typename Path::Value>& copy) {
  for_pixels<Path>(copy.count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    store_some<Path>(Path::gray(load_some<Path>(copy.from + 3 * i, n)), copy.to + 3 * i, n);
  });
}

void gray_u8(const RgbCopy<std::uint8_t>& copy) {
  gray<BytePath>(copy);
}
void gray_u16(const RgbCopy<std::uint16_t>& copy) {
  gray<FloatPath<std::uint16_t>>(copy);
}
void gray_f32(const RgbCopy<float>& copy) {
  gray<FloatPath<float>>(copy);
}

// Bytes become what is `factor` times as far from `middle`, whatever band they belong to.
void blend_bytes(
    const std::uint8_t* from, std::uint8_t* to, std::size_t count, float middle, float factor) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < count; ++i) {
    to[i] = to_pixel<std::uint8_t>(middle + factor * (static_cast<float>(from[i]) - middle));
  }
#else
  const D8 d;
  const auto stretch = stretch_of(factor);
  const auto levels_of_middle = same_levels(middle);
  const auto blend = [&](V8 bytes) HWY_ATTR {
    auto levels = levels_of(bytes);
    blend_levels(levels, levels_of_middle, stretch);
    return bytes_of(levels);
  };
  for_vectors(
      count, hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR { hn::StoreU(blend(hn::LoadU(d, from + i)), d, to + i); },
      [&](std::size_t i, std::size_t rest) HWY_ATTR {
        HWY_ALIGN std::uint8_t padded[hn::MaxLanes(d)] = {};
        std::memcpy(padded, from + i, rest);
        hn::Store(blend(hn::Load(d, padded)), d, padded);
        std::memcpy(to + i, padded, rest);
      });
#endif
}

// Whole grey levels.
float mean_luma_u8(const std::uint8_t* pixels, std::size_t count) {
  auto luma = BytePath::Sum::none();
  for_pixels<BytePath>(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    luma.add(BytePath::luma(load_some<BytePath>(pixels + 3 * i, n)));
  });
  return luma.mean(count);
}

// Each value becomes factor * value + shift of its band; `shifts` repeats those of the bands over a
// number of values that every vector length divides.
template <class T>
void blend_bands(std::span<const T> from, float factor, std::span<const float> shifts, T* to) {
  const DF d;
  const auto scale = hn::Set(d, factor);
  std::size_t phase = 0;
  for_vectors(
      from.size(), hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR {
        const auto shift = hn::LoadU(d, &shifts[phase]);
        store_pixels(d, hn::MulAdd(scale, load_floats(d, &from[i]), shift), to + i);
        phase += hn::Lanes(d);
        phase = phase == shifts.size() ? 0 : phase;
      },
      [&](std::size_t i, std::size_t count) {
        for (std::size_t k = 0; k < count; ++k) {
          to[i + k] = to_pixel<T>(factor * static_cast<float>(from[i + k]) + shifts[phase + k]);
        }
      });
}

void blend_bands_u8(std::span<const std::uint8_t> from,
                    float factor,
                    std::span<const float> shifts,
                    std::uint8_t* to) {
  blend_bands(from, factor, shifts, to);
}

void blend_bands_u16(std::span<const std::uint16_t> from,
                     float factor,
                     std::span<const float> shifts,
                     std::uint16_t* to) {
  blend_bands(from, factor, shifts, to);
}

void blend_bands_f32(std::span<const float> from,
                     float factor,
                     std::span<const float> shifts,
                     float* to) {
  blend_bands(from, factor, shifts, to);
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(change_rgb_u8);
HWY_EXPORT(change_rgb_u16);
HWY_EXPORT(change_rgb_f32);
HWY_EXPORT(gray_u8);
HWY_EXPORT(gray_u16);
HWY_EXPORT(gray_f32);
HWY_EXPORT(blend_bytes);
HWY_EXPORT(mean_luma_u8);
HWY_EXPORT(blend_bands_u8);
HWY_EXPORT(blend_bands_u16);
HWY_EXPORT(blend_bands_f32);

ColorSteps steps_of(const ColorChange& change) {
  ColorSteps steps;
  for (const auto step : change.order) {
    const bool acts = (step == ColorStep::kBrightness && change.brightness != 1.0F) ||
                      (step == ColorStep::kContrast && change.contrast != 1.0F) ||
                      (step == ColorStep::kSaturation && change.saturation != 1.0F) ||
                      (step == ColorStep::kHue && change.hue != 0.0F);
    if (acts) {
      steps.step[steps.count++] = step;
    }
  }
  return steps;
}

void copy_values(const Image& from, Image& to) {
  if (&from != &to) {
    std::ranges::copy(from.bytes(), to.bytes().begin());
  }
}

template <class T>
RgbCopy<T> rgb_copy(const Image& from, Image& to) {
  return {from.values<T>().data(), to.values<T>().data(), from.value_count() / 3};
}

// Brightness and contrast move all bands alike: where one of them is the only step, bytes need not
// be sorted by band.
bool change_bytes_alike(const Image& from,
                        const ColorChange& change,
                        const ColorSteps& steps,
                        Image& to) {
  const bool contrast = steps.step[0] == ColorStep::kContrast;
  if (from.type() != PixelType::kUint8 || steps.count != 1 ||
      (steps.step[0] != ColorStep::kBrightness && !contrast)) {
    return false;
  }
  const auto [pixels, target, count] = rgb_copy<std::uint8_t>(from, to);
  const float mean = contrast ? HWY_DYNAMIC_DISPATCH(mean_luma_u8)(pixels, count) : 0.0F;
  const float middle = std::floor(mean + 0.5F);
  HWY_DYNAMIC_DISPATCH(blend_bytes)
  (pixels, target, 3 * count, middle, contrast ? change.contrast : change.brightness);
  return true;
}

void change_three(const Image& from, Scratch& scratch, const ColorChange& change, Image& to) {
  const auto steps = steps_of(change);
  if (steps.count == 0) {
    return copy_values(from, to);
  }
  if (change_bytes_alike(from, change, steps, to)) {
    return;
  }
  constexpr std::size_t kMostLanes = 256;
  float* kept = scratch.get<float>(0, from.value_count() + 3 * kMostLanes).data();
  switch (from.type()) {
    case PixelType::kUint8:
      return HWY_DYNAMIC_DISPATCH(change_rgb_u8)(rgb_copy<std::uint8_t>(from, to), change, steps,
                                                 kept);
    case PixelType::kUint16:
      return HWY_DYNAMIC_DISPATCH(change_rgb_u16)(rgb_copy<std::uint16_t>(from, to), change, steps,
                                                  kept);
    case PixelType::kFloat32:
      return HWY_DYNAMIC_DISPATCH(change_rgb_f32)(rgb_copy<float>(from, to), change, steps, kept);
  }
}

void blend_each_band(const Image& from, float factor, std::span<const float> shifts, Image& to) {
  switch (from.type()) {
    case PixelType::kUint8:
      return HWY_DYNAMIC_DISPATCH(blend_bands_u8)(from.values<std::uint8_t>(), factor, shifts,
                                                  to.values<std::uint8_t>().data());
    case PixelType::kUint16:
      return HWY_DYNAMIC_DISPATCH(blend_bands_u16)(from.values<std::uint16_t>(), factor, shifts,
                                                   to.values<std::uint16_t>().data());
    case PixelType::kFloat32:
      return HWY_DYNAMIC_DISPATCH(blend_bands_f32)(from.values<float>(), factor, shifts,
                                                   to.values<float>().data());
  }
}

// The sum of every band.
void sum_bands(const Image& image, std::span<double> sums) {
  std::fill(sums.begin(), sums.end(), 0.0);
  with_pixel_type(image.type(), [&]<class T>() {
    const T* pixel = image.values<T>().data();
    const T* end = pixel + image.value_count();
    for (; pixel != end; pixel += sums.size()) {
      for (std::size_t band = 0; band < sums.size(); ++band) {
        sums[band] += static_cast<double>(pixel[band]);
      }
    }
  });
}

// Brightness and contrast, in their order, of an image that has no colours in the sense of red,
// green and blue.
void change_bands(const Image& from, Scratch& scratch, const ColorChange& change, Image& to) {
  constexpr std::size_t kRepeats = 64;  // every vector length divides it
  const auto bands = static_cast<std::size_t>(from.bands());
  const auto shifts = scratch.get<float>(0, bands * kRepeats);
  const Image* current = &from;
  for (const auto step : change.order) {
    if (step == ColorStep::kBrightness && change.brightness != 1.0F) {
      std::fill(shifts.begin(), shifts.end(), 0.0F);
      blend_each_band(*current, change.brightness, shifts, to);
      current = &to;
    } else if (step == ColorStep::kContrast && change.contrast != 1.0F) {
      const auto sums = scratch.get<double>(1, bands);
      sum_bands(*current, sums);
      const double pixels = static_cast<double>(from.value_count()) / static_cast<double>(bands);
      for (std::size_t i = 0; i < shifts.size(); ++i) {
        shifts[i] = (1.0F - change.contrast) * static_cast<float>(sums[i % bands] / pixels);
      }
      blend_each_band(*current, change.contrast, shifts, to);
      current = &to;
    }
  }
  copy_values(*current, to);
}

void check_shape(const Image& from, const Image& to) {
  check(from.type() == to.type() && from.bands() == to.bands() &&
            from.value_count() == to.value_count(),
        "the output must have the size, bands and type of the image");
}

}  // namespace

void change_colors(const Image& image, Scratch& scratch, const ColorChange& change, Image& out) {
  check_shape(image, out);
  if (image.bands() == 3) {
    change_three(image, scratch, change, out);
  } else {
    change_bands(image, scratch, change, out);
  }
}

void remove_color(const Image& image, Image& out) {
  check_shape(image, out);
  if (image.bands() != 3) {
    return copy_values(image, out);
  }
  switch (image.type()) {
    case PixelType::kUint8:
      return HWY_DYNAMIC_DISPATCH(gray_u8)(rgb_copy<std::uint8_t>(image, out));
    case PixelType::kUint16:
      return HWY_DYNAMIC_DISPATCH(gray_u16)(rgb_copy<std::uint16_t>(image, out));
    case PixelType::kFloat32:
      return HWY_DYNAMIC_DISPATCH(gray_f32)(rgb_copy<float>(image, out));
  }
}

}  // namespace viewfold
#endif  // HWY_ONCE
