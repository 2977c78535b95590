// Implements autocontrast, once for every instruction set, and equalisation.
#include "viewfold/image/kernels/histogram.hpp"

#include <algorithm>
#include <span>

#include "viewfold/image/kernels/point.hpp"
#include "viewfold/image/pixel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/histogram.cpp"
#include <hwy/foreach_target.h>

#include "viewfold/image/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

// Smallest and largest value of every band, at the beginning of `low` and `high`, which have room
// for a vector per band: value i of each run of so many always belongs to band i % bands.
template <class T>
void extremes(std::span<const T> values, std::size_t bands, T* low, T* high) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t run = bands * lanes;
  std::fill_n(low, run, static_cast<T>(full_scale<T>()));
  std::fill_n(high, run, T{0});
  std::size_t i = 0;
  for (; i + run <= values.size(); i += run) {
    for (std::size_t k = 0; k < run; k += lanes) {
      const auto value = hn::LoadU(d, &values[i + k]);
      hn::StoreU(hn::Min(hn::LoadU(d, low + k), value), d, low + k);
      hn::StoreU(hn::Max(hn::LoadU(d, high + k), value), d, high + k);
    }
  }
  for (std::size_t k = 0; i + k < values.size(); ++k) {
    low[k] = std::min(low[k], values[i + k]);
    high[k] = std::max(high[k], values[i + k]);
  }
  for (std::size_t k = bands; k < run; ++k) {
    low[k % bands] = std::min(low[k % bands], low[k]);
    high[k % bands] = std::max(high[k % bands], high[k]);
  }
}

// to = scale * (from - low) of the band; both repeated over a number of values that every vector
// length divides.
template <class T>
void stretch(std::span<const T> from,
             std::span<const float> low,
             std::span<const float> scale,
             T* to) {
  const DF d;
  std::size_t phase = 0;
  const auto stretched = [&](auto value, std::size_t at) HWY_ATTR {
    return hn::Mul(hn::Sub(value, hn::LoadU(d, &low[at])), hn::LoadU(d, &scale[at]));
  };
  for_vectors(
      from.size(), hn::Lanes(d),
      [&](std::size_t i) HWY_ATTR {
        store_pixels(d, stretched(load_floats(d, &from[i]), phase), to + i);
        phase += hn::Lanes(d);
        phase = phase == low.size() ? 0 : phase;
      },
      [&](std::size_t i, std::size_t count) HWY_ATTR {
        HWY_ALIGN T rest[hn::MaxLanes(d)] = {};
        std::memcpy(rest, &from[i], count * sizeof(T));
        store_pixels(d, stretched(load_floats(d, rest), phase), rest);
        std::memcpy(to + i, rest, count * sizeof(T));
      });
}

constexpr std::size_t kRepeats = 64;  // every vector length divides it, counted in values

// Scratch memory of autocontrast.
enum Slot : std::size_t { kLow, kHigh, kLows, kScales };

void autocontrast_image(const Image& image, Scratch& scratch, Image& out) {
  const auto bands = static_cast<std::size_t>(image.bands());
  with_pixel_type(image.type(), [&]<class T>() HWY_ATTR {
    const auto values = image.values<T>();
    const std::size_t run = bands * hn::Lanes(hn::ScalableTag<T>());
    const auto low = scratch.get<T>(kLow, run);
    const auto high = scratch.get<T>(kHigh, run);
    extremes(values, bands, low.data(), high.data());
    const auto lows = scratch.get<float>(kLows, bands * kRepeats);
    const auto scales = scratch.get<float>(kScales, bands * kRepeats);
    for (std::size_t i = 0; i < lows.size(); ++i) {
      const float from = static_cast<float>(low[i % bands]);
      const float range = static_cast<float>(high[i % bands]) - from;
      lows[i] = range > 0.0F ? from : 0.0F;
      scales[i] = range > 0.0F ? full_scale<T>() / range : 1.0F;
    }
    stretch<T>(values, lows, scales, out.values<T>().data());
  });
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(autocontrast_image);

enum EqualizeSlot : std::size_t { kCounts, kTables };
constexpr std::size_t kCounterSets = 4;

void check_shape(const Image& image, const Image& out) {
  check(image.type() == out.type() && image.bands() == out.bands() &&
            image.value_count() == out.value_count(),
        "the output must have the size, bands and type of the image");
}

// How many pixels one grey level of 8 bits stands for: 0 when they are too few.
std::uint32_t pixels_per_level(std::span<const std::uint32_t> counts, std::size_t pixels) {
  auto last = counts.rbegin();
  while (*last == 0) {
    ++last;
  }
  return (static_cast<std::uint32_t>(pixels) - *last) / 255;
}

// Counts the values of every band: counts[256 * band + value]. `Bands` is their number where the
// compiler is to know it, else 0. Sets of counters take turns, so that equal neighbours need not
// wait for each other.
template <std::size_t Bands>
void count_bytes(std::span<const std::uint8_t> values,
                 std::size_t bands,
                 std::span<std::uint32_t> counts) {
  bands = Bands == 0 ? bands : Bands;
  const std::size_t set = 256 * bands;
  std::fill(counts.begin(), counts.end(), 0U);
  std::size_t i = 0;
  for (; i + kCounterSets * bands <= values.size(); i += kCounterSets * bands) {
    for (std::size_t k = 0; k < kCounterSets; ++k) {
      for (std::size_t band = 0; band < bands; ++band) {
        ++counts[k * set + 256 * band + values[i + k * bands + band]];
      }
    }
  }
  for (; i < values.size(); i += bands) {
    for (std::size_t band = 0; band < bands; ++band) {
      ++counts[256 * band + values[i + band]];
    }
  }
  for (std::size_t k = 1; k < kCounterSets; ++k) {
    for (std::size_t bin = 0; bin < set; ++bin) {
      counts[bin] += counts[k * set + bin];
    }
  }
}

// What each value becomes, given how often each occurs and how many pixels a level stands for.
void fill_table(std::span<const std::uint32_t> counts,
                std::uint32_t step,
                std::span<std::uint8_t> table) {
  // (below + step / 2) / step. The half keeps whole quotients from being rounded down: the product
  // is then never within 1 / (2 step) of a whole number, and exact to far less.
  const double per_pixel = step == 0 ? 0.0 : 1.0 / step;
  const std::uint32_t half = step / 2;
  std::uint32_t below = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const auto level = static_cast<std::int32_t>((below + half + 0.5) * per_pixel);
    table[i] =
        static_cast<std::uint8_t>(step == 0 ? static_cast<std::int32_t>(i) : std::min(255, level));
    below += counts[i];
  }
}

void equalize_bytes(const Image& image, Scratch& scratch, Image& out) {
  const auto bands = static_cast<std::size_t>(image.bands());
  const auto values = image.values<std::uint8_t>();
  const auto counts = scratch.get<std::uint32_t>(kCounts, kCounterSets * 256 * bands);
  if (bands == 1) {
    count_bytes<1>(values, bands, counts);
  } else if (bands == 3) {
    count_bytes<3>(values, bands, counts);
  } else {
    count_bytes<0>(values, bands, counts);
  }
  const auto tables = scratch.get<std::uint8_t>(kTables, 256 * bands);
  for (std::size_t band = 0; band < bands; ++band) {
    const auto of_band = counts.subspan(256 * band, 256);
    const std::uint32_t step = pixels_per_level(of_band, values.size() / bands);
    fill_table(of_band, step, tables.subspan(256 * band, 256));
  }
  look_up(image, tables, out);
}

std::size_t bin_of(std::uint16_t value) {
  return value;
}

std::size_t bin_of(float value) {
  return to_pixel<std::uint16_t>(65535.0F * value);
}

// One band after the other, so that there is one table of 65536 entries.
template <class T>
void equalize_fine(std::span<const T> from, std::size_t bands, Scratch& scratch, std::span<T> to) {
  constexpr std::size_t kBins = 65536;
  const auto counts = scratch.get<std::uint32_t>(kCounts, kBins);
  const auto table = scratch.get<T>(kTables, kBins);
  for (std::size_t band = 0; band < bands; ++band) {
    std::fill(counts.begin(), counts.end(), 0U);
    for (std::size_t i = band; i < from.size(); i += bands) {
      ++counts[bin_of(from[i])];
    }
    const std::uint32_t step = pixels_per_level(counts, from.size() / bands);
    if (step == 0) {
      for (std::size_t i = band; i < from.size(); i += bands) {
        to[i] = from[i];
      }
      continue;
    }
    const float scale = full_scale<T>() / (255.0F * static_cast<float>(step));
    std::uint32_t below = 0;
    for (std::size_t i = 0; i < kBins; ++i) {
      table[i] = to_pixel<T>(scale * static_cast<float>(below));
      below += counts[i];
    }
    for (std::size_t i = band; i < from.size(); i += bands) {
      to[i] = table[bin_of(from[i])];
    }
  }
}

}  // namespace

void autocontrast(const Image& image, Scratch& scratch, Image& out) {
  check_shape(image, out);
  HWY_DYNAMIC_DISPATCH(autocontrast_image)(image, scratch, out);
}

void equalize(const Image& image, Scratch& scratch, Image& out) {
  check_shape(image, out);
  const auto bands = static_cast<std::size_t>(image.bands());
  switch (image.type()) {
    case PixelType::kUint8:
      return equalize_bytes(image, scratch, out);
    case PixelType::kUint16:
      return equalize_fine<std::uint16_t>(image.values<std::uint16_t>(), bands, scratch,
                                          out.values<std::uint16_t>());
    case PixelType::kFloat32:
      return equalize_fine<float>(image.values<float>(), bands, scratch, out.values<float>());
  }
}

}  // namespace viewfold
#endif  // HWY_ONCE
