// Implements the normalisation, once for every instruction set.
#include "viewfold/image/kernels/normalize.hpp"

#include "viewfold/image/pixel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/normalize.cpp"
#include <hwy/foreach_target.h>

#include "viewfold/image/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

// Stores floats as they are, or as the nearest bfloat16, of two the even one, as PyTorch rounds.
HWY_INLINE void store_as(VF values, float* to) {
  hn::StoreU(values, DF(), to);
}

HWY_INLINE void store_as(VF values, Bfloat16* to) {
  const hn::RebindToUnsigned<DF> d32;
  const hn::Rebind<std::uint16_t, DF> d16;
  const auto bits = hn::BitCast(d32, values);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7FFF)));
  const auto upper = hn::BitCast(DI(), hn::ShiftRight<16>(rounded));
  hn::StoreU(hn::DemoteTo(d16, upper), d16, reinterpret_cast<std::uint16_t*>(to));
}

template <class T, class To>
void normalize(std::span<const T> values,
               std::span<const float> scale,
               std::span<const float> shift,
               To* to) {
  const DF d;
  std::size_t phase = 0;
  const auto normalized = [&](auto value) HWY_ATTR {
    return hn::MulAdd(value, hn::LoadU(d, &scale[phase]), hn::LoadU(d, &shift[phase]));
  };
  for_vectors(
      values.size(), hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR {
        store_as(normalized(load_floats(d, &values[i])), to + i);
        phase += hn::Lanes(d);
        phase = phase == scale.size() ? 0 : phase;
      },
      [&](std::size_t i, std::size_t count) HWY_ATTR {
        HWY_ALIGN T in[hn::MaxLanes(d)] = {};
        HWY_ALIGN To out[hn::MaxLanes(d)];
        std::memcpy(in, &values[i], count * sizeof(T));
        store_as(normalized(load_floats(d, in)), out);
        std::memcpy(to + i, out, count * sizeof(To));
      });
}

void normalize_to_floats(const Image& image,
                         std::span<const float> scale,
                         std::span<const float> shift,
                         float* to) {
  with_pixel_type(image.type(),
                  [&]<class T>() HWY_ATTR { normalize<T>(image.values<T>(), scale, shift, to); });
}

void normalize_to_bfloat16(const Image& image,
                           std::span<const float> scale,
                           std::span<const float> shift,
                           Bfloat16* to) {
  with_pixel_type(image.type(),
                  [&]<class T>() HWY_ATTR { normalize<T>(image.values<T>(), scale, shift, to); });
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(normalize_to_floats);
HWY_EXPORT(normalize_to_bfloat16);

void check_sizes(const Image& image,
                 std::span<const float> scale,
                 std::span<const float> shift,
                 std::size_t out) {
  const std::size_t pattern = kNormalizeRepeats * static_cast<std::size_t>(image.bands());
  check(scale.size() == pattern && shift.size() == pattern,
        "scale and shift must hold every band kNormalizeRepeats times");
  check(out == image.value_count(), "the output must hold exactly the values of the image");
}

}  // namespace

void scale_and_shift(const Image& image,
                     std::span<const float> scale,
                     std::span<const float> shift,
                     std::span<float> out) {
  check_sizes(image, scale, shift, out.size());
  HWY_DYNAMIC_DISPATCH(normalize_to_floats)(image, scale, shift, out.data());
}

void scale_and_shift(const Image& image,
                     std::span<const float> scale,
                     std::span<const float> shift,
                     std::span<Bfloat16> out) {
  check_sizes(image, scale, shift, out.size());
  HWY_DYNAMIC_DISPATCH(normalize_to_bfloat16)(image, scale, shift, out.data());
}

}  // namespace viewfold
#endif  // HWY_ONCE
