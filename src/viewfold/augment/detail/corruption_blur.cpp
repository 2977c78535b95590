// The corruptions by blur: defocus, glass, motion, zoom and gaussian.
#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "viewfold/augment/detail/corruption_parts.hpp"

namespace viewfold::corruption {
namespace {

// The disc of a lens out of focus, its edge softened by a Gaussian of `alias` pixels that is cut to
// 3 x 3 taps (5 x 5 for a radius above 8); normalised.
Plane disc(double radius, double alias) {
  const int reach = static_cast<int>(std::max(8.0, radius));
  const int taps = radius <= 8.0 ? 1 : 2;  // on either side
  Plane kernel(2 * reach + 1, 2 * reach + 1);
  for (int y = -reach; y <= reach; ++y) {
    for (int x = -reach; x <= reach; ++x) {
      kernel.at(y + reach, x + reach) = x * x + y * y <= radius * radius ? 1.0 : 0.0;
    }
  }
  kernel = smooth(kernel, alias, Border::kMirror, taps / alias);
  double sum = 0.0;
  std::ranges::for_each(kernel.values, [&sum](double weight) { sum += weight; });
  std::ranges::for_each(kernel.values, [sum](double& weight) { weight /= sum; });
  return kernel;
}

// Every pixel takes the place of a neighbour, at most `reach` before it and less than that behind,
// from the last one to the first. In the published sets the two are meant to change places, but
// NumPy's views make the neighbour keep its own; so do we, to compare with them.
void displace(Picture& picture, int reach, Rng& rng) {
  const auto width = static_cast<std::uint32_t>(2 * reach);
  for (int y = picture[0].height - reach; y > reach; --y) {
    for (int x = picture[0].width - reach; x > reach; --x) {
      const int right = static_cast<int>(rng.below(width)) - reach;
      const int down = static_cast<int>(rng.below(width)) - reach;
      for (auto& band : picture) {
        band.at(y, x) = band.at(y + down, x + right);
      }
    }
  }
}

void smooth_all(Picture& picture, double sigma) {
  for (auto& band : picture) {
    band = smooth(band, sigma);
  }
}

}  // namespace

void defocus_blur(Picture& picture, const Strength& strength, Rng& /*rng*/) {
  struct Lens {
    double radius;
    double alias;
  };
  constexpr Levels<Lens> kLens{{{{0.3, 0.4}, {0.4, 0.5}, {0.5, 0.6}, {1, 0.2}, {1.5, 0.1}}},
                               {{{3, 0.1}, {4, 0.5}, {6, 0.5}, {8, 0.5}, {10, 0.5}}}};
  const auto [radius, alias] = kLens.at(strength);
  const Plane kernel = disc(radius, alias);
  for (auto& band : picture) {
    band = correlate(band, kernel);
  }
}

void glass_blur(Picture& picture, const Strength& strength, Rng& rng) {
  struct Glass {
    double sigma;
    int reach;
    int times;
  };
  constexpr Levels<Glass> kGlass{
      {{{0.05, 1, 1}, {0.25, 1, 1}, {0.4, 1, 1}, {0.25, 1, 2}, {0.4, 1, 2}}},
      {{{0.7, 1, 2}, {0.9, 2, 1}, {1, 2, 3}, {1.1, 3, 2}, {1.5, 4, 2}}}};
  const auto [sigma, reach, times] = kGlass.at(strength);
  smooth_all(picture, sigma);
  for (int i = 0; i < times; ++i) {
    displace(picture, reach, rng);
  }
  smooth_all(picture, sigma);
}

void motion_blur(Picture& picture, const Strength& strength, Rng& rng) {
  struct Path {
    int radius;
    double sigma;
  };
  constexpr Levels<Path> kPath{{{{6, 1}, {6, 1.5}, {6, 2}, {8, 2}, {9, 2.5}}},
                               {{{10, 3}, {15, 5}, {15, 8}, {15, 12}, {20, 15}}}};
  const auto [radius, sigma] = kPath.at(strength);
  const Motion motion{radius, sigma, rng.uniform(-45.0, 45.0)};
  for (auto& band : picture) {
    band = moved(band, motion);
  }
}

void zoom_blur(Picture& picture, const Strength& strength, Rng& /*rng*/) {
  struct Zoom {
    double step;
    int count;  // factors 1, 1 + step, ...; as many as numpy.arange() gives, with its rounding
  };
  constexpr Levels<Zoom> kZoom{{{{0.01, 7}, {0.01, 12}, {0.01, 16}, {0.01, 21}, {0.01, 26}}},
                               {{{0.01, 12}, {0.01, 16}, {0.02, 11}, {0.02, 13}, {0.03, 11}}}};
  const auto [step, count] = kZoom.at(strength);
  for (auto& band : picture) {
    Plane sum = band;
    for (int i = 0; i < count; ++i) {
      const Plane larger = zoomed(band, 1.0 + i * step);
      std::ranges::transform(sum.values, larger.values, sum.values.begin(), std::plus());
    }
    const int pictures = count + 1;
    std::ranges::for_each(sum.values, [pictures](double& value) { value /= pictures; });
    band = std::move(sum);
  }
}

void gaussian_blur(Picture& picture, const Strength& strength, Rng& /*rng*/) {
  constexpr Levels<double> kSigma{{0.4, 0.6, 0.7, 0.8, 1}, {1, 2, 3, 4, 6}};
  smooth_all(picture, kSigma.at(strength));
}

}  // namespace viewfold::corruption
