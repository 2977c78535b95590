// Implements the changes of single values, once for every instruction set.
#include "viewfold/image/kernels/point.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "viewfold/image/pixel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/point.cpp"
// In this order, because the second is included once for every instruction set:
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include "viewfold/image/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

// to[i] = change(from[i]) for n values; `change` maps a vector of the pixels' own type to one.
template <class T, class Change>
HWY_INLINE void map_pixels(const T* from, T* to, std::size_t n, const Change& change) {
  const hn::ScalableTag<T> d;
  for_vectors(
      n, hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR { hn::StoreU(change(hn::LoadU(d, from + i)), d, to + i); },
      [&](std::size_t i, std::size_t count) HWY_ATTR {
        HWY_ALIGN T rest[hn::MaxLanes(d)] = {};
        std::memcpy(rest, from + i, count * sizeof(T));
        hn::Store(change(hn::Load(d, rest)), d, rest);
        std::memcpy(to + i, rest, count * sizeof(T));
      });
}

template <class V>
HWY_INLINE V inverted(V value) {
  const hn::DFromV<V> d;
  if constexpr (std::is_same_v<hn::TFromD<hn::DFromV<V>>, float>) {
    return hn::Sub(hn::Set(d, 1.0F), value);
  } else {
    return hn::Not(value);
  }
}

template <class T>
void invert_values(const T* from, T* to, std::size_t n) {
  map_pixels(from, to, n, [](auto value) HWY_ATTR { return inverted(value); });
}

// Integers are compared by way of their maximum: there is no >= of unsigned vectors.
template <class T>
void solarize_values(const T* from, T* to, std::size_t n, T threshold) {
  const hn::ScalableTag<T> d;
  const auto limit = hn::Set(d, threshold);
  map_pixels(from, to, n, [limit](auto value) HWY_ATTR {
    return hn::IfThenElse(hn::Eq(hn::Max(value, limit), value), inverted(value), value);
  });
}

template <class T>
void posterize_values(const T* from, T* to, std::size_t n, int mask) {
  const hn::ScalableTag<T> d;
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    const auto bits = hn::Set(d, static_cast<T>(mask));
    map_pixels(from, to, n, [bits](auto value) HWY_ATTR { return hn::And(value, bits); });
  } else if constexpr (std::is_same_v<T, std::uint16_t>) {
    // Level k of 256 is 257 * k.
    const auto bits = hn::Set(d, static_cast<T>(mask << 8));
    map_pixels(from, to, n, [bits](auto value) HWY_ATTR {
      const auto high = hn::And(value, bits);
      return hn::Or(high, hn::ShiftRight<8>(high));
    });
  } else {
    const DI di;
    const auto bits = hn::Set(di, mask);
    map_pixels(from, to, n, [d, di, bits](auto value) HWY_ATTR {
      const auto scaled = hn::Min(hn::Mul(value, hn::Set(d, 256.0F)), hn::Set(d, 255.0F));
      const auto level = hn::And(hn::ConvertTo(di, scaled), bits);
      return hn::Mul(hn::ConvertTo(d, level), hn::Set(d, 1.0F / 255.0F));
    });
  }
}

template <class T>
void gamma_values(const T* from, T* to, std::size_t n, float gamma) {
  const DF d;
  const auto exponent = hn::Set(d, gamma);
  map_floats(from, to, n, [d, exponent](auto value) HWY_ATTR {
    const auto share = hn::Mul(value, hn::Set(d, 1.0F / white_of<T>()));
    const auto positive = hn::Max(share, hn::Set(d, 1e-37F));  // 0 has no logarithm
    const auto power = hn::Exp(d, hn::Mul(exponent, hn::Log(d, positive)));
    return hn::IfThenZeroElse(hn::Eq(value, hn::Zero(d)),
                              hn::Mul(power, hn::Set(d, white_of<T>())));
  });
}

void invert_image(const Image& image, Image& out) {
  with_pixel_type(image.type(), [&]<class T>() HWY_ATTR {
    invert_values(image.values<T>().data(), out.values<T>().data(), image.value_count());
  });
}

void solarize_image(const Image& image, float threshold, Image& out) {
  with_pixel_type(image.type(), [&]<class T>() HWY_ATTR {
    float limit = threshold * full_scale<T>();
    if constexpr (!std::is_same_v<T, float>) {
      limit = std::ceil(limit);
    }
    solarize_values(image.values<T>().data(), out.values<T>().data(), image.value_count(),
                    static_cast<T>(limit));
  });
}

void posterize_image(const Image& image, int mask, Image& out) {
  with_pixel_type(image.type(), [&]<class T>() HWY_ATTR {
    posterize_values(image.values<T>().data(), out.values<T>().data(), image.value_count(), mask);
  });
}

void gamma_image(const Image& image, float gamma, Image& out) {
  with_pixel_type(image.type(), [&]<class T>() HWY_ATTR {
    gamma_values(image.values<T>().data(), out.values<T>().data(), image.value_count(), gamma);
  });
}

void gamma_table(float gamma, std::uint8_t* table) {
  for (std::size_t i = 0; i < 256; ++i) {
    table[i] = static_cast<std::uint8_t>(i);
  }
  gamma_values(table, table, 256, gamma);
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(invert_image);
HWY_EXPORT(solarize_image);
HWY_EXPORT(posterize_image);
HWY_EXPORT(gamma_image);
HWY_EXPORT(gamma_table);

void check_shape(const Image& image, const Image& out) {
  check(image.type() == out.type() && image.value_count() == out.value_count(),
        "the output must have the size and the type of the image");
}

// `Bands` tables in turn; known to the compiler, so that it unrolls the inner loop.
template <std::size_t Bands>
void look_up_bands(std::span<const std::uint8_t> from,
                   const std::uint8_t* tables,
                   std::uint8_t* to) {
  for (std::size_t i = 0; i < from.size(); i += Bands) {
    for (std::size_t band = 0; band < Bands; ++band) {
      to[i + band] = tables[256 * band + from[i + band]];
    }
  }
}

// Eight values at a time, read and written as one: only the tables are read byte by byte.
void look_up_all(std::span<const std::uint8_t> from, const std::uint8_t* table, std::uint8_t* to) {
  std::size_t i = 0;
  for (; i + 8 <= from.size(); i += 8) {
    std::uint64_t in = 0;
    std::memcpy(&in, &from[i], 8);
    std::uint64_t out = 0;
    for (unsigned shift = 0; shift < 64; shift += 8) {
      out |= std::uint64_t{table[(in >> shift) & 0xFFU]} << shift;
    }
    std::memcpy(to + i, &out, 8);
  }
  look_up_bands<1>(from.subspan(i), table, to + i);
}

}  // namespace

void invert(const Image& image, Image& out) {
  check_shape(image, out);
  HWY_DYNAMIC_DISPATCH(invert_image)(image, out);
}

void solarize(const Image& image, float threshold, Image& out) {
  check_shape(image, out);
  check(threshold >= 0.0F && threshold <= 1.0F, "the threshold is a share of full range");
  HWY_DYNAMIC_DISPATCH(solarize_image)(image, threshold, out);
}

void posterize(const Image& image, int bits, Image& out) {
  check_shape(image, out);
  check(bits >= 1 && bits <= 8, "1 to 8 bits can be kept");
  HWY_DYNAMIC_DISPATCH(posterize_image)(image, 0xFF & ~((1 << (8 - bits)) - 1), out);
}

void correct_gamma(const Image& image, float gamma, Image& out) {
  check_shape(image, out);
  check(gamma > 0.0F, "gamma must be above 0");
  if (image.type() != PixelType::kUint8) {
    HWY_DYNAMIC_DISPATCH(gamma_image)(image, gamma, out);
    return;
  }
  std::array<std::uint8_t, 256> table{};
  HWY_DYNAMIC_DISPATCH(gamma_table)(gamma, table.data());
  look_up(image, table, out);
}

void look_up(const Image& image, std::span<const std::uint8_t> tables, Image& out) {
  check_shape(image, out);
  const auto bands = static_cast<std::size_t>(image.bands());
  check(tables.size() == 256 || tables.size() == 256 * bands,
        "a table of 256 values for all bands, or one for each");
  const std::span<const std::uint8_t> from = image.values<std::uint8_t>();
  std::uint8_t* to = out.values<std::uint8_t>().data();
  if (tables.size() == 256) {
    look_up_all(from, tables.data(), to);
  } else if (bands == 3) {
    look_up_bands<3>(from, tables.data(), to);
  } else {
    for (std::size_t band = 0; band < bands; ++band) {
      for (std::size_t i = band; i < from.size(); i += bands) {
        to[i] = tables[256 * band + from[i]];
      }
    }
  }
}

}  // namespace viewfold
#endif  // HWY_ONCE
