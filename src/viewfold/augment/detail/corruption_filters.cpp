// Implements the planes and filters that the corruptions share.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "viewfold/augment/detail/corruption_parts.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold::corruption {
namespace {

// The 2 * radius + 1 weights of a Gaussian, which add up to 1.
std::vector<double> gaussian_taps(double sigma, int radius) {
  std::vector<double> taps;
  double sum = 0.0;
  for (int i = -radius; i <= radius; ++i) {
    taps.push_back(std::exp(-0.5 * i * i / (sigma * sigma)));
    sum += taps.back();
  }
  std::ranges::for_each(taps, [sum](double& tap) { tap /= sum; });
  return taps;
}

Plane smooth_rows(const Plane& plane, std::span<const double> taps, Border border) {
  const int radius = static_cast<int>(taps.size()) / 2;
  Plane out(plane.height, plane.width);
  std::vector<double> padded(static_cast<std::size_t>(plane.width) + taps.size() - 1);
  for (int y = 0; y < plane.height; ++y) {
    for (std::size_t i = 0; i < padded.size(); ++i) {
      padded[i] = plane.at(y, inside(static_cast<int>(i) - radius, plane.width, border));
    }
    for (std::size_t t = 0; t < taps.size(); ++t) {
      for (int x = 0; x < plane.width; ++x) {
        out.at(y, x) += taps[t] * padded[t + static_cast<std::size_t>(x)];
      }
    }
  }
  return out;
}

Plane smooth_columns(const Plane& plane, std::span<const double> taps, Border border) {
  const int radius = static_cast<int>(taps.size()) / 2;
  Plane out(plane.height, plane.width);
  for (int y = 0; y < plane.height; ++y) {
    for (std::size_t t = 0; t < taps.size(); ++t) {
      const auto from = plane.row(inside(y + static_cast<int>(t) - radius, plane.height, border));
      for (int x = 0; x < plane.width; ++x) {
        out.at(y, x) += taps[t] * from[static_cast<std::size_t>(x)];
      }
    }
  }
  return out;
}

struct Shift {
  int down = 0;
  int right = 0;
};

// Adds to each pixel of `out` the one of `plane` that lies `shift` away, times `weight`.
void add_shifted(const Plane& plane, const Shift& shift, double weight, Border border, Plane& out) {
  std::vector<std::size_t> columns(static_cast<std::size_t>(plane.width));
  for (int x = 0; x < plane.width; ++x) {
    columns[static_cast<std::size_t>(x)] =
        static_cast<std::size_t>(inside(x + shift.right, plane.width, border));
  }
  auto value = out.values.begin();
  for (int y = 0; y < plane.height; ++y) {
    const auto from = plane.row(inside(y + shift.down, plane.height, border));
    for (const std::size_t column : columns) {
      *value++ += weight * from[column];
    }
  }
}

// Where along a side the pixels of the zoomed one are.
std::vector<double> zoom_positions(int size, double factor) {
  const int kept = static_cast<int>(std::ceil(size / factor));
  const int begin = (size - kept) / 2;
  const int grown = static_cast<int>(std::lround(kept * factor));
  const int trimmed = (grown - size) / 2;
  const double step = grown > 1 ? static_cast<double>(kept - 1) / (grown - 1) : 0.0;
  std::vector<double> positions(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i) {
    positions[static_cast<std::size_t>(i)] = begin + step * (i + trimmed);
  }
  return positions;
}

// One halving of the grid of `map`, a torus: the middles of its squares of `step` pixels, then
// those of the diamonds that these make with the corners.
void refine(Plane& map, int step, double amount, Rng& rng) {
  const int side = map.width;
  const int half = step / 2;
  const auto value = [&](int y, int x) { return map.at((y + side) % side, (x + side) % side); };
  const auto displaced = [&](double sum) { return sum / 4.0 + amount * rng.uniform(-1.0, 1.0); };
  for (int y = 0; y < side; y += step) {
    for (int x = 0; x < side; x += step) {
      map.at(y + half, x + half) = displaced(value(y, x) + value(y, x + step) + value(y + step, x) +
                                             value(y + step, x + step));
    }
  }
  const auto diamond = [&](int y, int x) {
    map.at(y, x) = displaced(value(y - half, x) + value(y + half, x) + value(y, x - half) +
                             value(y, x + half));
  };
  for (int y = 0; y < side; y += step) {
    for (int x = 0; x < side; x += step) {
      diamond(y, x + half);
      diamond(y + half, x);
    }
  }
}

}  // namespace

Plane::Plane(int rows, int columns, double value)
    : height(rows),
      width(columns),
      values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns), value) {}

Picture to_picture(const Image& image) {
  const auto bands = static_cast<std::size_t>(image.bands());
  Picture picture(bands, Plane(image.height(), image.width()));
  const auto values = image.values<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    picture[i % bands].values[i / bands] = values[i] / 255.0;
  }
  return picture;
}

Image to_image(const Picture& picture) {
  const std::size_t bands = picture.size();
  Image image(picture[0].height, picture[0].width, static_cast<int>(bands));
  const auto values = image.values<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = std::clamp(picture[i % bands].values[i / bands], 0.0, 1.0);
    values[i] = static_cast<std::uint8_t>(std::lround(value * 255.0));
  }
  return image;
}

int inside(int i, int size, Border border) {
  if (border == Border::kReplicate) {
    return std::clamp(i, 0, size - 1);
  }
  const int period = border == Border::kReflect ? 2 * size : std::max(1, 2 * size - 2);
  const int at = (i % period + period) % period;
  return at < size ? at : (border == Border::kReflect ? period - 1 : period) - at;
}

Plane smooth(const Plane& plane, double sigma, Border border, double truncate) {
  const int radius = static_cast<int>(std::lround(truncate * sigma));
  if (radius == 0) {
    return plane;
  }
  const auto taps = gaussian_taps(sigma, radius);
  return smooth_columns(smooth_rows(plane, taps, border), taps, border);
}

Plane correlate(const Plane& plane, const Plane& kernel) {
  Plane out(plane.height, plane.width);
  for (int v = 0; v < kernel.height; ++v) {
    for (int u = 0; u < kernel.width; ++u) {
      const Shift shift{v - kernel.height / 2, u - kernel.width / 2};
      if (kernel.at(v, u) != 0.0) {
        add_shifted(plane, shift, kernel.at(v, u), Border::kMirror, out);
      }
    }
  }
  return out;
}

Plane moved(const Plane& plane, const Motion& motion) {
  const double angle = motion.degrees * std::numbers::pi / 180.0;
  const int length = 2 * motion.radius + 1;
  Plane out(plane.height, plane.width);
  double sum = 0.0;
  for (int i = 0; i < length; ++i) {
    const double weight = std::exp(-0.5 * i * i / (motion.sigma * motion.sigma));
    const Shift shift{static_cast<int>(std::ceil(i * std::sin(angle) - 0.5)),
                      static_cast<int>(std::ceil(i * std::cos(angle) - 0.5))};
    add_shifted(plane, shift, weight, Border::kReplicate, out);
    sum += weight;
  }
  std::ranges::for_each(out.values, [sum](double& value) { value /= sum; });
  return out;
}

double value_at(const Plane& plane, double y, double x, Border border) {
  constexpr double kFar = 1e6;  // far outside any picture, and small enough for an int
  const double row = std::clamp(y, -kFar, kFar);
  const double column = std::clamp(x, -kFar, kFar);
  const int top = static_cast<int>(std::floor(row));
  const int left = static_cast<int>(std::floor(column));
  const auto upper = plane.row(inside(top, plane.height, border));
  const auto lower = plane.row(inside(top + 1, plane.height, border));
  const auto first = static_cast<std::size_t>(inside(left, plane.width, border));
  const auto second = static_cast<std::size_t>(inside(left + 1, plane.width, border));
  const double above = std::lerp(upper[first], upper[second], column - left);
  const double below = std::lerp(lower[first], lower[second], column - left);
  return std::lerp(above, below, row - top);
}

Plane zoomed(const Plane& plane, double factor) {
  const auto rows = zoom_positions(plane.height, factor);
  const auto columns = zoom_positions(plane.width, factor);
  Plane out(plane.height, plane.width);
  auto value = out.values.begin();
  for (const double y : rows) {
    for (const double x : columns) {
      *value++ = value_at(plane, y, x, Border::kReplicate);
    }
  }
  return out;
}

Plane plasma(int height, int width, int least, double decay, Rng& rng) {
  int side = least;
  while (side < std::max(height, width)) {
    side *= 2;
  }
  Plane map(side, side);
  double amount = 1.0;
  for (int step = side; step >= 2; step /= 2, amount /= decay * decay) {
    refine(map, step, amount, rng);
  }
  const auto [low, high] = std::ranges::minmax(map.values);
  Plane out(height, width);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      out.at(y, x) = (map.at(y, x) - low) / (high - low);
    }
  }
  return out;
}

}  // namespace viewfold::corruption
