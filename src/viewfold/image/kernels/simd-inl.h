// What all vector kernels share: pixels of any type as vectors of float, and back. Included once
// for every instruction set, by files that are themselves compiled once for each (Highway's
// foreach_target).
#if defined(VIEWFOLD_IMAGE_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIEWFOLD_IMAGE_KERNELS_SIMD_INL_H_
#undef VIEWFOLD_IMAGE_KERNELS_SIMD_INL_H_
#else
#define VIEWFOLD_IMAGE_KERNELS_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <hwy/highway.h>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
using DI = hn::RebindToSigned<DF>;

/// The value that stands for white.
template <class T>
constexpr float white_of() {
  if constexpr (std::is_same_v<T, float>) {
    return 1.0F;
  } else {
    return static_cast<float>(static_cast<T>(~T{0}));
  }
}

/// Lanes(d) pixels from `from` as floats.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_floats(D d, const T* HWY_RESTRICT from) {
  if constexpr (std::is_same_v<T, float>) {
    return hn::LoadU(d, from);
  } else {
    const hn::Rebind<T, D> dt;
    const hn::RebindToSigned<D> di;
    return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(dt, from)));
  }
}

/// Limits values to black .. white; NaN becomes 0 or white, never more.
template <class T, class D>
HWY_INLINE hn::Vec<D> limit_floats(D d, hn::Vec<D> values) {
  return hn::Min(hn::Max(values, hn::Zero(d)), hn::Set(d, white_of<T>()));
}

/// Limits values to black .. white, rounds half up for integer types, and stores them.
template <class T, class D>
HWY_INLINE void store_pixels(D d, hn::Vec<D> values, T* HWY_RESTRICT to) {
  values = limit_floats<T>(d, values);
  if constexpr (std::is_same_v<T, float>) {
    hn::StoreU(values, d, to);
  } else {
    const hn::Rebind<T, D> dt;
    const hn::RebindToSigned<D> di;
    const auto rounded = hn::ConvertTo(di, hn::Add(values, hn::Set(d, 0.5F)));
    hn::StoreU(hn::DemoteTo(dt, rounded), dt, to);
  }
}

/// Calls body(i) for i = 0, lanes, 2 * lanes, ... while a whole vector fits into n values, and
/// tail(i, count) for the rest.
template <class Body, class Tail>
HWY_INLINE void for_vectors(std::size_t n, std::size_t lanes, const Body& body, const Tail& tail) {
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    body(i);
  }
  if (i < n) {
    tail(i, n - i);
  }
}

/// to[i] = change(from[i]) for n pixels; `change` maps a vector of floats to one. from may be to.
template <class From, class To, class Change>
HWY_INLINE void map_floats(const From* from, To* to, std::size_t n, const Change& change) {
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  for_vectors(
      n, lanes,
      [&](std::size_t i) HWY_ATTR { store_pixels(d, change(load_floats(d, from + i)), to + i); },
      [&](std::size_t i, std::size_t count) HWY_ATTR {
        HWY_ALIGN From in[hn::MaxLanes(d)] = {};
        HWY_ALIGN To out[hn::MaxLanes(d)];
        std::memcpy(in, from + i, count * sizeof(From));
        store_pixels(d, change(load_floats(d, in)), out);
        std::memcpy(to + i, out, count * sizeof(To));
      });
}

}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
