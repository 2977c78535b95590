// The corruptions by weather: snow, frost, fog and brightness.
#include <algorithm>
#include <array>
#include <cmath>

#include "viewfold/augment/detail/corruption_parts.hpp"

namespace viewfold::corruption {
namespace {

constexpr Levels<int> kLeastMap{{32, 32, 32, 32, 32}, {256, 256, 256, 256, 256}};  // of plasma

Plane luma(const Picture& picture) {
  Plane gray = picture[0];
  if (picture.size() == 3) {
    for (std::size_t i = 0; i < gray.values.size(); ++i) {
      gray.values[i] = 0.299 * picture[0].values[i] + 0.587 * picture[1].values[i] +
                       0.114 * picture[2].values[i];
    }
  }
  return gray;
}

Plane normal_plane(int height, int width, Rng& rng) {
  Plane plane(height, width);
  std::ranges::generate(plane.values, [&rng] { return rng.normal(); });
  return plane;
}

// The plane with mean 0 and standard deviation 1, or 0 everywhere.
void standardise(Plane& plane) {
  const auto count = static_cast<double>(plane.values.size());
  double sum = 0.0;
  double squares = 0.0;
  for (const double value : plane.values) {
    sum += value;
    squares += value * value;
  }
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(squares / count - mean * mean, 1e-12));
  std::ranges::for_each(plane.values, [=](double& value) { value = (value - mean) / deviation; });
}

// Needles of ice: bright lines in one direction, which end here and there.
Plane needles(int height, int width, const Motion& motion, Rng& rng) {
  Plane plane = moved(smooth(normal_plane(height, width, rng), motion.sigma / 20.0), motion);
  standardise(plane);
  for (double& value : plane.values) {
    value = std::exp(-3.0 * value * value);  // lines where the noise passes through 0
  }
  return plane;
}

// A texture of ice in 0 .. 1. Ours: the published sets cut it from photographs. Patches of needles,
// each patch with a direction of its own, on clouds of ice. Level and spread are near those of the
// photographs (green: means 0.48 to 0.81, standard deviations 0.06 to 0.17).
Plane ice(int height, int width, const Strength& strength, Rng& rng) {
  constexpr int kPatches = 6;
  constexpr double kSpread = 0.11;
  const int least = kLeastMap.at(strength);
  const double level = rng.uniform(0.5, 0.8);
  Plane texture = plasma(height, width, least, 1.6, rng);
  standardise(texture);
  Plane best(height, width, -1.0);
  Plane crystals(height, width);
  for (int i = 0; i < kPatches; ++i) {
    const double degrees = rng.uniform(0.0, 360.0);
    const Motion motion = strength.small ? Motion{3, 3.0, degrees} : Motion{20, 20.0, degrees};
    const Plane patch = plasma(height, width, least, 1.8, rng);
    const Plane lines = needles(height, width, motion, rng);
    for (std::size_t k = 0; k < patch.values.size(); ++k) {
      if (patch.values[k] > best.values[k]) {
        best.values[k] = patch.values[k];
        crystals.values[k] = lines.values[k];
      }
    }
  }
  standardise(crystals);
  for (std::size_t k = 0; k < texture.values.size(); ++k) {
    const double both = (texture.values[k] + crystals.values[k]) / std::sqrt(2.0);
    texture.values[k] = std::clamp(level + kSpread * both, 0.0, 1.0);
  }
  return texture;
}

}  // namespace

void snow(Picture& picture, const Strength& strength, Rng& rng) {
  struct Fall {
    double mean;
    double sigma;
    double zoom;
    double least;  // what is darker is no flake
    Motion motion;
    double kept;  // share of the picture that is not whitened
  };
  constexpr Levels<Fall> kFall{{{{0.1, 0.2, 1, 0.6, {8, 3}, 0.95},
                                 {0.1, 0.2, 1, 0.5, {10, 4}, 0.9},
                                 {0.15, 0.3, 1.75, 0.55, {10, 4}, 0.9},
                                 {0.25, 0.3, 2.25, 0.6, {12, 6}, 0.85},
                                 {0.3, 0.3, 1.25, 0.65, {14, 12}, 0.8}}},
                               {{{0.1, 0.3, 3, 0.5, {10, 4}, 0.8},
                                 {0.2, 0.3, 2, 0.5, {12, 4}, 0.7},
                                 {0.55, 0.3, 4, 0.9, {12, 8}, 0.7},
                                 {0.55, 0.3, 4.5, 0.85, {12, 8}, 0.65},
                                 {0.55, 0.3, 2.5, 0.85, {12, 12}, 0.55}}}};
  Fall fall = kFall.at(strength);
  fall.motion.degrees = rng.uniform(-135.0, -45.0);
  Plane flakes = normal_plane(picture[0].height, picture[0].width, rng);
  std::ranges::for_each(flakes.values,
                        [&](double& value) { value = fall.mean + fall.sigma * value; });
  flakes = zoomed(flakes, fall.zoom);
  std::ranges::for_each(flakes.values, [&](double& value) {
    value = value < fall.least ? 0.0 : std::clamp(value, 0.0, 1.0);
  });
  flakes = moved(flakes, fall.motion);
  const Plane gray = luma(picture);
  const std::size_t last = gray.values.size() - 1;
  for (auto& band : picture) {
    for (std::size_t i = 0; i <= last; ++i) {
      const double white = std::max(band.values[i], gray.values[i] * 1.5 + 0.5);
      band.values[i] = std::lerp(white, band.values[i], fall.kept) + flakes.values[i] +
                       flakes.values[last - i];  // the same flakes again, upside down
    }
  }
}

void frost(Picture& picture, const Strength& strength, Rng& rng) {
  struct Mix {
    double kept;
    double ice;
  };
  constexpr Levels<Mix> kMix{{{{1, 0.2}, {1, 0.3}, {0.9, 0.4}, {0.85, 0.4}, {0.75, 0.45}}},
                             {{{1, 0.4}, {0.8, 0.6}, {0.7, 0.7}, {0.65, 0.7}, {0.6, 0.75}}}};
  const auto [kept, share] = kMix.at(strength);
  // The photographs are bluish: their red is 0.02 to 0.28 below their green, blue 0.04 to 0.06
  // above.
  const std::array<double, 3> tint{-rng.uniform(0.02, 0.14), 0.0, 0.05};
  const Plane texture = ice(picture[0].height, picture[0].width, strength, rng);
  for (std::size_t b = 0; b < picture.size(); ++b) {
    const double shift = picture.size() == 3 ? tint.at(b) : 0.299 * tint[0] + 0.114 * tint[2];
    for (std::size_t i = 0; i < texture.values.size(); ++i) {
      const double cold = std::clamp(texture.values[i] + shift, 0.0, 1.0);
      picture[b].values[i] = kept * picture[b].values[i] + share * cold;
    }
  }
}

void fog(Picture& picture, const Strength& strength, Rng& rng) {
  struct Clouds {
    double amount;
    double decay;
  };
  constexpr Levels<Clouds> kClouds{{{{0.2, 3}, {0.5, 3}, {0.75, 2.5}, {1, 2}, {1.5, 1.75}}},
                                   {{{1.5, 2}, {2, 2}, {2.5, 1.7}, {2.5, 1.5}, {3, 1.4}}}};
  const auto [amount, decay] = kClouds.at(strength);
  double white = 0.0;  // the largest value stays where it is
  for (const auto& band : picture) {
    white = std::max(white, std::ranges::max(band.values));
  }
  const Plane clouds =
      plasma(picture[0].height, picture[0].width, kLeastMap.at(strength), decay, rng);
  for (auto& band : picture) {
    for (std::size_t i = 0; i < clouds.values.size(); ++i) {
      band.values[i] = (band.values[i] + amount * clouds.values[i]) * white / (white + amount);
    }
  }
}

// HSV's value is the largest band; with hue and saturation kept, all bands grow by one factor.
void brightness(Picture& picture, const Strength& strength, Rng& /*rng*/) {
  constexpr Levels<double> kMore{{0.05, 0.1, 0.15, 0.2, 0.3}, {0.1, 0.2, 0.3, 0.4, 0.5}};
  const double more = kMore.at(strength);
  for (std::size_t i = 0; i < picture[0].values.size(); ++i) {
    double value = 0.0;
    for (const auto& band : picture) {
      value = std::max(value, band.values[i]);
    }
    const double brighter = std::min(value + more, 1.0);
    for (auto& band : picture) {
      band.values[i] = value > 0.0 ? band.values[i] * brighter / value : brighter;
    }
  }
}

}  // namespace viewfold::corruption
