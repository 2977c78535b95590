// The corruption by what is splashed on the lens: water whose drops are lit at their edges, or mud.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include "viewfold/augment/detail/corruption_parts.hpp"

namespace viewfold::corruption {
namespace {

struct Splash {
  double mean;
  double spread;
  double sigma;  // pixels
  double least;  // what is below is no liquid
  double last;   // water: its opacity; mud: sigma of its edge
  bool mud;
};

using Colour = std::array<double, 3>;
constexpr Colour kWater{175 / 255.0, 238 / 255.0, 238 / 255.0};
constexpr Colour kMud{63 / 255.0, 42 / 255.0, 20 / 255.0};

double of_band(const Colour& colour, std::size_t band, std::size_t bands) {
  return bands == 3 ? colour.at(band) : 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2];
}

Plane liquid(int height, int width, const Splash& splash, Rng& rng) {
  Plane plane(height, width);
  std::ranges::generate(plane.values, [&] { return splash.mean + splash.spread * rng.normal(); });
  plane = smooth(plane, splash.sigma);
  std::ranges::for_each(plane.values, [&](double& value) {
    value = value < splash.least ? 0.0 : std::min(value, 1.0);
  });
  return plane;
}

Plane kernel_of(const std::array<double, 9>& weights) {
  Plane kernel(3, 3);
  std::ranges::copy(weights, kernel.values.begin());
  return kernel;
}

Plane box(const Plane& plane) {
  return correlate(plane, Plane(3, 3, 1.0 / 9.0));
}

// Numbers of 8 bits, rounded to nearest.
void quantise(Plane& plane) {
  std::ranges::for_each(plane.values,
                        [](double& value) { value = std::round(std::clamp(value, 0.0, 255.0)); });
}

struct Gradient {
  Plane right;
  Plane down;
  Plane size;  // |right| + |down|
};

Gradient sobel(const Plane& plane) {
  Gradient found{correlate(plane, kernel_of({-1, 0, 1, -2, 0, 2, -1, 0, 1})),
                 correlate(plane, kernel_of({-1, -2, -1, 0, 0, 0, 1, 2, 1})), plane};
  for (std::size_t i = 0; i < plane.values.size(); ++i) {
    found.size.values[i] = std::abs(found.right.values[i]) + std::abs(found.down.values[i]);
  }
  return found;
}

// Whether the gradient is the largest along its own direction, to the nearest of eight.
bool is_crest(const Gradient& gradient, int y, int x) {
  constexpr double kFlat = std::numbers::sqrt2 - 1.0;  // tangent of 22.5 degrees
  const double right = gradient.right.at(y, x);
  const double down = gradient.down.at(y, x);
  const int dx = std::abs(right) > kFlat * std::abs(down) ? (right > 0.0 ? 1 : -1) : 0;
  const int dy = std::abs(down) > kFlat * std::abs(right) ? (down > 0.0 ? 1 : -1) : 0;
  const auto size = [&](int v, int u) {
    const bool within = v >= 0 && u >= 0 && v < gradient.size.height && u < gradient.size.width;
    return within ? gradient.size.at(v, u) : 0.0;
  };
  const double here = gradient.size.at(y, x);
  return here > size(y - dy, x - dx) && here >= size(y + dy, x + dx);
}

// The edges of a plane of 8 bits, 1 on them and 0 elsewhere (Canny, 1986): crests of the gradient
// above 150, and those above 50 that are connected with them.
Plane edges(const Plane& plane) {
  constexpr double kWeak = 50.0;
  constexpr double kStrong = 150.0;
  const Gradient gradient = sobel(plane);
  Plane found(plane.height, plane.width);
  std::vector<std::pair<int, int>> open;
  const auto take = [&](int y, int x, double least) {
    const bool within = y >= 0 && x >= 0 && y < plane.height && x < plane.width;
    if (within && found.at(y, x) == 0.0 && gradient.size.at(y, x) > least &&
        is_crest(gradient, y, x)) {
      found.at(y, x) = 1.0;
      open.emplace_back(y, x);
    }
  };
  for (int y = 0; y < plane.height; ++y) {
    for (int x = 0; x < plane.width; ++x) {
      take(y, x, kStrong);
    }
  }
  while (!open.empty()) {
    const auto [y, x] = open.back();
    open.pop_back();
    for (int i = 0; i < 9; ++i) {
      take(y + i / 3 - 1, x + i % 3 - 1, kWeak);
    }
  }
  return found;
}

constexpr int kFar = 20;  // pixels; larger distances count as this

// Distance in pixels to the nearest 1 in the same column: from those above, then from those below.
Plane distance_along(const Plane& marks) {
  Plane found(marks.height, marks.width, kFar);
  const auto update = [&](int y, int from) {
    for (int x = 0; x < marks.width; ++x) {
      const double next = from < 0 || from >= marks.height ? kFar : found.at(from, x) + 1.0;
      found.at(y, x) = marks.at(y, x) > 0.0 ? 0.0 : std::min(found.at(y, x), next);
    }
  };
  for (int y = 0; y < marks.height; ++y) {
    update(y, y - 1);
  }
  for (int y = marks.height - 1; y >= 0; --y) {
    update(y, y + 1);
  }
  return found;
}

// Distance in pixels to the nearest 1: of all columns, the best one.
Plane distance_to(const Plane& marks) {
  const Plane along = distance_along(marks);
  Plane found(marks.height, marks.width, kFar);
  for (int y = 0; y < marks.height; ++y) {
    for (int x = 0; x < marks.width; ++x) {
      for (int u = std::max(0, x - kFar); u < std::min(marks.width, x + kFar); ++u) {
        found.at(y, x) = std::min(found.at(y, x), std::hypot(along.at(y, u), u - x));
      }
    }
  }
  return found;
}

// Spreads the values of 8 bits evenly over 0 .. 255, by the share of pixels that are darker, as
// OpenCV's equalizeHist does; a plane of one value stays.
void equalise(Plane& plane) {
  std::array<double, 256> counts{};
  for (const double value : plane.values) {
    ++counts.at(static_cast<std::size_t>(value));
  }
  const double darkest = *std::ranges::find_if(counts, [](double count) { return count > 0.0; });
  const double rest = static_cast<double>(plane.values.size()) - darkest;
  if (rest == 0.0) {
    return;
  }
  double sum = -darkest;
  for (double& count : counts) {
    sum += count;
    count = std::round(std::max(sum, 0.0) * 255.0 / rest);
  }
  for (double& value : plane.values) {
    value = counts.at(static_cast<std::size_t>(value));
  }
}

// Light in the drops of a liquid, at most 1: it depends on the distance from their edges and falls
// from one side.
Plane light(Plane liquid) {
  std::ranges::for_each(liquid.values, [](double& value) { value = std::floor(value * 255.0); });
  Plane relief = box(distance_to(edges(liquid)));
  std::ranges::for_each(relief.values, [](double& value) { value = std::floor(value); });
  equalise(relief);
  relief = correlate(relief, kernel_of({-2, -1, 0, -1, 1, 1, 0, 1, 2}));
  quantise(relief);
  relief = box(relief);
  quantise(relief);
  double brightest = 0.0;
  for (std::size_t i = 0; i < relief.values.size(); ++i) {
    relief.values[i] *= liquid.values[i];
    brightest = std::max(brightest, relief.values[i]);
  }
  if (brightest > 0.0) {
    std::ranges::for_each(relief.values, [brightest](double& value) { value /= brightest; });
  }
  return relief;
}

// Where the mud is, with a soft edge that ends abruptly.
Plane cover(Plane liquid, const Splash& splash) {
  constexpr double kThin = 0.8;
  std::ranges::for_each(liquid.values,
                        [&](double& value) { value = value > splash.least ? 1.0 : 0.0; });
  liquid = smooth(liquid, splash.last);
  std::ranges::for_each(liquid.values, [](double& value) { value = value < kThin ? 0.0 : value; });
  return liquid;
}

}  // namespace

void spatter(Picture& picture, const Strength& strength, Rng& rng) {
  constexpr Levels<Splash> kSplash{{{{0.62, 0.1, 0.7, 0.7, 0.5, false},
                                     {0.65, 0.1, 0.8, 0.7, 0.5, false},
                                     {0.65, 0.3, 1, 0.69, 0.5, false},
                                     {0.65, 0.1, 0.7, 0.69, 0.6, true},
                                     {0.65, 0.1, 0.5, 0.68, 0.6, true}}},
                                   {{{0.65, 0.3, 4, 0.69, 0.6, false},
                                     {0.65, 0.3, 3, 0.68, 0.6, false},
                                     {0.65, 0.3, 2, 0.68, 0.5, false},
                                     {0.65, 0.3, 1, 0.65, 1.5, true},
                                     {0.67, 0.4, 1, 0.65, 1.5, true}}}};
  const Splash splash = kSplash.at(strength);
  const Plane layer = liquid(picture[0].height, picture[0].width, splash, rng);
  const Plane share = splash.mud ? cover(layer, splash) : light(layer);
  for (std::size_t b = 0; b < picture.size(); ++b) {
    const double colour = of_band(splash.mud ? kMud : kWater, b, picture.size());
    for (std::size_t i = 0; i < share.values.size(); ++i) {
      double& value = picture[b].values[i];
      value = splash.mud ? std::lerp(value, colour, share.values[i])
                         : value + splash.last * share.values[i] * colour;
    }
  }
}

}  // namespace viewfold::corruption
