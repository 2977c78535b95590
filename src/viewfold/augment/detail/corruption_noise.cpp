// The corruptions by noise: gaussian, shot, impulse and speckle, each value on its own.
#include <cmath>

#include "viewfold/augment/detail/corruption_parts.hpp"

namespace viewfold::corruption {
namespace {

template <class Change>
void change_values(Picture& picture, const Change& change) {
  for (auto& band : picture) {
    for (double& value : band.values) {
      value = change(value);
    }
  }
}

// A number with the Poisson distribution of this mean, at most 500: its distribution function is
// inverted by adding up. 64 bits, because the chance of 0 at a high mean is far below 2^-24.
double poisson(double mean, Rng& rng) {
  const double high = rng.next_u32();
  const double level = (high + (rng.next_u32() + 0.5) * 0x1p-32) * 0x1p-32;
  constexpr double kNothing = 1e-17;  // does not change a sum near 1
  int count = 0;
  double chance = std::exp(-mean);
  for (double sum = chance; sum < level && (count < mean || chance > kNothing); sum += chance) {
    ++count;
    chance *= mean / count;
  }
  return count;
}

}  // namespace

void gaussian_noise(Picture& picture, const Strength& strength, Rng& rng) {
  constexpr Levels<double> kSigma{{0.04, 0.06, 0.08, 0.09, 0.10}, {0.08, 0.12, 0.18, 0.26, 0.38}};
  const double sigma = kSigma.at(strength);
  change_values(picture, [&](double value) { return value + sigma * rng.normal(); });
}

void shot_noise(Picture& picture, const Strength& strength, Rng& rng) {
  constexpr Levels<double> kPhotons{{500, 250, 100, 75, 50}, {60, 25, 12, 5, 3}};  // of white
  const double photons = kPhotons.at(strength);
  change_values(picture, [&](double value) { return poisson(value * photons, rng) / photons; });
}

void impulse_noise(Picture& picture, const Strength& strength, Rng& rng) {
  constexpr Levels<double> kShare{{0.01, 0.02, 0.03, 0.05, 0.07}, {0.03, 0.06, 0.09, 0.17, 0.27}};
  const double share = kShare.at(strength);
  change_values(picture, [&](double value) {
    const bool hit = rng.bernoulli(share);
    const double impulse = rng.bernoulli(0.5) ? 1.0 : 0.0;  // drawn always: all severities alike
    return hit ? impulse : value;
  });
}

void speckle_noise(Picture& picture, const Strength& strength, Rng& rng) {
  constexpr Levels<double> kSigma{{0.06, 0.1, 0.12, 0.16, 0.2}, {0.15, 0.2, 0.35, 0.45, 0.6}};
  const double sigma = kSigma.at(strength);
  change_values(picture, [&](double value) { return value + value * sigma * rng.normal(); });
}

}  // namespace viewfold::corruption
