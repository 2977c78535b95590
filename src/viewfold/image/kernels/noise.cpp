// Implements additive noise, once for every instruction set.
#include "viewfold/image/kernels/noise.hpp"

#include <algorithm>
#include <array>
#include <numbers>
#include <span>

#include "viewfold/image/pixel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/noise.cpp"
// In this order, because the second is included once for every instruction set:
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include "viewfold/image/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

constexpr std::size_t kCounters = 64;          // every vector length divides it
constexpr std::size_t kChunk = 4 * kCounters;  // normal numbers made at once

using Words = std::array<std::array<std::uint32_t, kCounters>, 4>;

// Blocks `first` .. `first` + kCounters - 1 of Philox4x32-10 with key (seed, 0), as core/rng.cpp
// computes a single one. Loops over the counters, which the compiler turns into vectors.
HWY_INLINE void philox_words(std::uint32_t first, std::uint32_t seed, Words& words) {
  for (std::size_t i = 0; i < kCounters; ++i) {
    words[0][i] = first + static_cast<std::uint32_t>(i);
    words[1][i] = 0;
    words[2][i] = 0;
    words[3][i] = 0;
  }
  std::uint32_t key0 = seed;
  std::uint32_t key1 = 0;
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < kCounters; ++i) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * words[0][i];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * words[2][i];
      words[0][i] = static_cast<std::uint32_t>(product1 >> 32U) ^ words[1][i] ^ key0;
      words[1][i] = static_cast<std::uint32_t>(product1);
      words[2][i] = static_cast<std::uint32_t>(product0 >> 32U) ^ words[3][i] ^ key1;
      words[3][i] = static_cast<std::uint32_t>(product0);
    }
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
}

// 24 bits of each word as a float in [0, 1).
HWY_INLINE VF uniform_of(const std::uint32_t* words) {
  const DF d;
  const DI di;
  const hn::RebindToUnsigned<DF> du;
  const auto bits = hn::BitCast(di, hn::ShiftRight<8>(hn::LoadU(du, words)));
  return hn::Mul(hn::ConvertTo(d, bits), hn::Set(d, 0x1p-24F));
}

// kChunk standard normal numbers (Box-Muller): words 0 and 1 are the radii, 2 and 3 the angles.
HWY_INLINE void normal_chunk(std::uint32_t first, std::uint32_t seed, float* normals) {
  Words words;
  philox_words(first, seed, words);
  const DF d;
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t i = 0; i < kCounters; i += hn::Lanes(d)) {
      const auto positive = hn::Sub(hn::Set(d, 1.0F), uniform_of(&words[half][i]));
      const auto radius = hn::Sqrt(hn::Mul(hn::Set(d, -2.0F), hn::Log(d, positive)));
      const auto angle =
          hn::Mul(hn::Set(d, 2.0F * std::numbers::pi_v<float>), uniform_of(&words[half + 2][i]));
      float* to = normals + 2 * half * kCounters + i;
      hn::StoreU(hn::Mul(radius, hn::Cos(d, angle)), d, to);
      hn::StoreU(hn::Mul(radius, hn::Sin(d, angle)), d, to + kCounters);
    }
  }
}

template <class T>
void add_noise_to(std::span<const T> from, float sigma, std::uint32_t seed, T* to) {
  const DF d;
  const auto scale = hn::Set(d, sigma * white_of<T>());
  HWY_ALIGN float normals[kChunk];
  for (std::size_t start = 0; start < from.size(); start += kChunk) {
    normal_chunk(static_cast<std::uint32_t>(start / 4), seed, normals);
    const std::size_t count = std::min(kChunk, from.size() - start);
    std::size_t k = 0;
    map_floats(&from[start], to + start, count, [&](auto value) HWY_ATTR {
      const auto noisy = hn::MulAdd(scale, hn::LoadU(d, normals + k), value);
      k += hn::Lanes(d);
      return noisy;
    });
  }
}

void add_noise_image(const Image& image, float sigma, std::uint32_t seed, Image& out) {
  with_pixel_type(image.type(), [&]<class T>() HWY_ATTR {
    add_noise_to<T>(image.values<T>(), sigma, seed, out.values<T>().data());
  });
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(add_noise_image);

}  // namespace

void add_noise(const Image& image, float sigma, std::uint32_t seed, Image& out) {
  check(image.type() == out.type() && image.value_count() == out.value_count(),
        "the output must have the size and the type of the image");
  check(sigma >= 0.0F, "a standard deviation is not negative");
  HWY_DYNAMIC_DISPATCH(add_noise_image)(image, sigma, seed, out);
}

}  // namespace viewfold
#endif  // HWY_ONCE
