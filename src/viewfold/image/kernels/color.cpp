// Implements the colour changes, once for every instruction set.
#include "viewfold/image/kernels/color.hpp"

#include <algorithm>
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

// The steps of a change that do something, in their order.
struct ColorSteps {
  std::array<ColorStep, 4> step{};
  std::size_t count = 0;
};

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

// Every value becomes factor * value + shift, within black .. white.
template <class T>
HWY_INLINE void blend(Rgb& rgb, VF factor, VF shift) {
  const DF d;
  rgb.red = limit_floats<T>(d, hn::MulAdd(factor, rgb.red, shift));
  rgb.green = limit_floats<T>(d, hn::MulAdd(factor, rgb.green, shift));
  rgb.blue = limit_floats<T>(d, hn::MulAdd(factor, rgb.blue, shift));
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

// Steps [first, last) of a change, and the mean luma for a contrast among them.
struct StepRange {
  std::size_t first;
  std::size_t last;
  float mean_luma;
};

template <class T>
HWY_INLINE void run_steps(const ColorChange& change,
                          const ColorSteps& steps,
                          const StepRange& range,
                          Rgb& rgb) {
  const DF d;
  for (std::size_t i = range.first; i < range.last; ++i) {
    switch (steps.step[i]) {
      case ColorStep::kBrightness:
        blend<T>(rgb, hn::Set(d, change.brightness), hn::Zero(d));
        break;
      case ColorStep::kContrast:
        blend<T>(rgb, hn::Set(d, change.contrast),
                 hn::Set(d, (1.0F - change.contrast) * range.mean_luma));
        break;
      case ColorStep::kSaturation:
        blend<T>(rgb, hn::Set(d, change.saturation),
                 hn::Mul(hn::Set(d, 1.0F - change.saturation), luma_of(rgb)));
        break;
      case ColorStep::kHue:
        turn_hue(rgb, change.hue);
        break;
    }
  }
}

// Calls visit(pixels, target, i) for each vector of pixels from i on: loaded, and where they go.
// The last, incomplete vector is filled up with black and goes through a buffer.
template <class T, class Visit>
HWY_INLINE void for_rgb(T* pixels, std::size_t count, const Visit& visit) {
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  for_vectors(
      count, lanes,
      [&](std::size_t i) HWY_ATTR { visit(load_rgb(pixels + 3 * i), pixels + 3 * i, i); },
      [&](std::size_t i, std::size_t rest) HWY_ATTR {
        HWY_ALIGN T padded[3 * hn::MaxLanes(d)] = {};
        std::memcpy(padded, pixels + 3 * i, 3 * rest * sizeof(T));
        visit(load_rgb(padded), padded, i);
        std::memcpy(pixels + 3 * i, padded, 3 * rest * sizeof(T));
      });
}

HWY_INLINE void store_planes(const Rgb& rgb, float* to) {
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  hn::Store(rgb.red, d, to);
  hn::Store(rgb.green, d, to + lanes);
  hn::Store(rgb.blue, d, to + 2 * lanes);
}

HWY_INLINE Rgb load_planes(const float* from) {
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  return {hn::Load(d, from), hn::Load(d, from + lanes), hn::Load(d, from + 2 * lanes)};
}

// Sums of luma, in double after every few vectors: exact enough for images of many megapixels.
struct LumaSum {
  VF partial;  // starts as zero
  std::size_t added;
  double total;

  HWY_INLINE void add(const Rgb& rgb) {
    partial = hn::Add(partial, luma_of(rgb));
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
};

// A contrast needs the mean luma of what the steps before it made: those run first, into `floats`
// (3 floats per pixel and a vector of room), and the rest on their results.
template <class T>
void change_rgb(T* pixels,
                std::size_t count,
                const ColorChange& change,
                const ColorSteps& steps,
                float* floats) {
  const auto* end = steps.step.begin() + steps.count;
  const auto contrast = static_cast<std::size_t>(
      std::find(steps.step.begin(), end, ColorStep::kContrast) - steps.step.begin());
  if (contrast == steps.count) {
    for_rgb(pixels, count, [&](Rgb rgb, T* to, std::size_t) HWY_ATTR {
      run_steps<T>(change, steps, {0, steps.count, 0.0F}, rgb);
      store_rgb(rgb, to);
    });
    return;
  }
  LumaSum luma{hn::Zero(DF()), 0, 0.0};
  for_rgb(pixels, count, [&](Rgb rgb, T*, std::size_t i) HWY_ATTR {
    run_steps<T>(change, steps, {0, contrast, 0.0F}, rgb);
    store_planes(rgb, floats + 3 * i);
    luma.add(rgb);
  });
  luma.flush();
  const auto mean = static_cast<float>(luma.total / static_cast<double>(count));
  for_rgb(pixels, count, [&](const Rgb&, T* to, std::size_t i) HWY_ATTR {
    Rgb rgb = load_planes(floats + 3 * i);
    run_steps<T>(change, steps, {contrast, steps.count, mean}, rgb);
    store_rgb(rgb, to);
  });
}

void change_rgb_u8(std::uint8_t* pixels,
                   std::size_t count,
                   const ColorChange& change,
                   const ColorSteps& steps,
                   float* floats) {
  change_rgb(pixels, count, change, steps, floats);
}

void change_rgb_u16(std::uint16_t* pixels,
                    std::size_t count,
                    const ColorChange& change,
                    const ColorSteps& steps,
                    float* floats) {
  change_rgb(pixels, count, change, steps, floats);
}

void change_rgb_f32(float* pixels,
                    std::size_t count,
                    const ColorChange& change,
                    const ColorSteps& steps,
                    float* floats) {
  change_rgb(pixels, count, change, steps, floats);
}

template <class T>
void gray(T* pixels, std::size_t count) {
  for_rgb(pixels, count, [](const Rgb& rgb, T* to, std::size_t) HWY_ATTR {
    const auto luma = luma_of(rgb);
    store_rgb({luma, luma, luma}, to);
  });
}

void gray_u8(std::uint8_t* pixels, std::size_t count) {
  gray(pixels, count);
}
void gray_u16(std::uint16_t* pixels, std::size_t count) {
  gray(pixels, count);
}
void gray_f32(float* pixels, std::size_t count) {
  gray(pixels, count);
}

// Each value becomes factor * value + shift of its band; `shifts` repeats those of the bands over a
// number of values that every vector length divides.
template <class T>
void blend_bands(std::span<T> values, float factor, std::span<const float> shifts) {
  const DF d;
  const auto scale = hn::Set(d, factor);
  std::size_t phase = 0;
  for_vectors(
      values.size(), hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR {
        const auto shift = hn::LoadU(d, &shifts[phase]);
        store_pixels(d, hn::MulAdd(scale, load_floats(d, &values[i]), shift), &values[i]);
        phase += hn::Lanes(d);
        phase = phase == shifts.size() ? 0 : phase;
      },
      [&](std::size_t i, std::size_t count) {
        for (std::size_t k = 0; k < count; ++k) {
          values[i + k] =
              to_pixel<T>(factor * static_cast<float>(values[i + k]) + shifts[phase + k]);
        }
      });
}

void blend_bands_u8(std::span<std::uint8_t> values, float factor, std::span<const float> shifts) {
  blend_bands(values, factor, shifts);
}

void blend_bands_u16(std::span<std::uint16_t> values, float factor, std::span<const float> shifts) {
  blend_bands(values, factor, shifts);
}

void blend_bands_f32(std::span<float> values, float factor, std::span<const float> shifts) {
  blend_bands(values, factor, shifts);
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

void change_three(Image& image, Scratch& scratch, const ColorChange& change) {
  const auto steps = steps_of(change);
  if (steps.count == 0) {
    return;
  }
  constexpr std::size_t kMostLanes = 64;
  const std::size_t count = image.value_count() / 3;
  float* floats = scratch.get<float>(0, 3 * (count + kMostLanes)).data();
  switch (image.type()) {
    case PixelType::kUint8:
      return HWY_DYNAMIC_DISPATCH(change_rgb_u8)(image.values<std::uint8_t>().data(), count, change,
                                                 steps, floats);
    case PixelType::kUint16:
      return HWY_DYNAMIC_DISPATCH(change_rgb_u16)(image.values<std::uint16_t>().data(), count,
                                                  change, steps, floats);
    case PixelType::kFloat32:
      return HWY_DYNAMIC_DISPATCH(change_rgb_f32)(image.values<float>().data(), count, change,
                                                  steps, floats);
  }
}

void blend_each_band(Image& image, float factor, std::span<const float> shifts) {
  switch (image.type()) {
    case PixelType::kUint8:
      return HWY_DYNAMIC_DISPATCH(blend_bands_u8)(image.values<std::uint8_t>(), factor, shifts);
    case PixelType::kUint16:
      return HWY_DYNAMIC_DISPATCH(blend_bands_u16)(image.values<std::uint16_t>(), factor, shifts);
    case PixelType::kFloat32:
      return HWY_DYNAMIC_DISPATCH(blend_bands_f32)(image.values<float>(), factor, shifts);
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
void change_bands(Image& image, Scratch& scratch, const ColorChange& change) {
  constexpr std::size_t kRepeats = 64;  // every vector length divides it
  const auto bands = static_cast<std::size_t>(image.bands());
  const auto shifts = scratch.get<float>(0, bands * kRepeats);
  for (const auto step : change.order) {
    if (step == ColorStep::kBrightness && change.brightness != 1.0F) {
      std::fill(shifts.begin(), shifts.end(), 0.0F);
      blend_each_band(image, change.brightness, shifts);
    } else if (step == ColorStep::kContrast && change.contrast != 1.0F) {
      const auto sums = scratch.get<double>(1, bands);
      sum_bands(image, sums);
      const double pixels = static_cast<double>(image.value_count()) / static_cast<double>(bands);
      for (std::size_t i = 0; i < shifts.size(); ++i) {
        shifts[i] = (1.0F - change.contrast) * static_cast<float>(sums[i % bands] / pixels);
      }
      blend_each_band(image, change.contrast, shifts);
    }
  }
}

}  // namespace

void change_colors(Image& image, Scratch& scratch, const ColorChange& change) {
  if (image.bands() == 3) {
    change_three(image, scratch, change);
  } else {
    change_bands(image, scratch, change);
  }
}

void remove_color(Image& image) {
  if (image.bands() != 3) {
    return;
  }
  const std::size_t count = image.value_count() / 3;
  switch (image.type()) {
    case PixelType::kUint8:
      return HWY_DYNAMIC_DISPATCH(gray_u8)(image.values<std::uint8_t>().data(), count);
    case PixelType::kUint16:
      return HWY_DYNAMIC_DISPATCH(gray_u16)(image.values<std::uint16_t>().data(), count);
    case PixelType::kFloat32:
      return HWY_DYNAMIC_DISPATCH(gray_f32)(image.values<float>().data(), count);
  }
}

}  // namespace viewfold
#endif  // HWY_ONCE
