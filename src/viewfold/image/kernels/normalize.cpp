// Implements the normalisation, once for every instruction set.
#include "viewfold/image/kernels/normalize.hpp"

#include "viewfold/core/error.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/normalize.cpp"
#include <hwy/foreach_target.h>

#include "viewfold/image/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

template <class T>
void normalize(std::span<const T> values,
               std::span<const float> scale,
               std::span<const float> shift,
               float* to) {
  const DF d;
  std::size_t phase = 0;
  for_vectors(
      values.size(), hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR {
        const auto value = load_floats(d, &values[i]);
        hn::StoreU(hn::MulAdd(value, hn::LoadU(d, &scale[phase]), hn::LoadU(d, &shift[phase])), d,
                   to + i);
        phase += hn::Lanes(d);
        phase = phase == scale.size() ? 0 : phase;
      },
      [&](std::size_t i, std::size_t count) HWY_ATTR {
        HWY_ALIGN T in[hn::MaxLanes(d)] = {};
        HWY_ALIGN float out[hn::MaxLanes(d)];
        std::memcpy(in, &values[i], count * sizeof(T));
        hn::Store(hn::MulAdd(load_floats(d, in), hn::LoadU(d, &scale[phase]),
                             hn::LoadU(d, &shift[phase])),
                  d, out);
        std::memcpy(to + i, out, count * sizeof(float));
      });
}

void normalize_u8(std::span<const std::uint8_t> values,
                  std::span<const float> scale,
                  std::span<const float> shift,
                  float* to) {
  normalize(values, scale, shift, to);
}

void normalize_u16(std::span<const std::uint16_t> values,
                   std::span<const float> scale,
                   std::span<const float> shift,
                   float* to) {
  normalize(values, scale, shift, to);
}

void normalize_f32(std::span<const float> values,
                   std::span<const float> scale,
                   std::span<const float> shift,
                   float* to) {
  normalize(values, scale, shift, to);
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(normalize_u8);
HWY_EXPORT(normalize_u16);
HWY_EXPORT(normalize_f32);

}  // namespace

void scale_and_shift(const Image& image,
                     std::span<const float> scale,
                     std::span<const float> shift,
                     std::span<float> out) {
  const std::size_t pattern = kNormalizeRepeats * static_cast<std::size_t>(image.bands());
  check(scale.size() == pattern && shift.size() == pattern,
        "scale and shift must hold every band kNormalizeRepeats times");
  check(out.size() == image.value_count(), "the output must hold exactly the values of the image");
  switch (image.type()) {
    case PixelType::kUint8:
      return HWY_DYNAMIC_DISPATCH(normalize_u8)(image.values<std::uint8_t>(), scale, shift,
                                                out.data());
    case PixelType::kUint16:
      return HWY_DYNAMIC_DISPATCH(normalize_u16)(image.values<std::uint16_t>(), scale, shift,
                                                 out.data());
    case PixelType::kFloat32:
      return HWY_DYNAMIC_DISPATCH(normalize_f32)(image.values<float>(), scale, shift, out.data());
  }
}

}  // namespace viewfold
#endif  // HWY_ONCE
