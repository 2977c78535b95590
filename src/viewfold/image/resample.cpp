// Implements antialiased separable resizing: columns first, then rows, in float.
#include "viewfold/image/resample.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/pixel.hpp"

namespace viewfold {
namespace {

// Four floats in one SSE / NEON register. Three-band pixels are read and written four lanes wide;
// the fourth belongs to the next pixel and is overwritten by it.
using Float4 [[gnu::vector_size(16)]] = float;
constexpr std::size_t kLanes = 4;

Float4 load(const float* from) {
  Float4 value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

void store(const Float4& value, float* to) {
  std::memcpy(to, &value, sizeof(value));
}

double filter_support(Interpolation interpolation) {
  return interpolation == Interpolation::kBilinear ? 1.0 : 2.0;
}

double filter_value(Interpolation interpolation, double x) {
  x = std::abs(x);
  if (interpolation == Interpolation::kBilinear) {
    return std::max(0.0, 1.0 - x);
  }
  constexpr double kA = -0.5;  // Pillow's, not the -0.75 of OpenCV and torch's plain bicubic
  if (x < 1.0) {
    return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1.0;
  }
  return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * kA : 0.0;
}

// The part [begin, end) of `source` pixels along one axis becomes `target` pixels.
struct Span {
  int source = 0;
  double begin = 0.0;
  double end = 0.0;
  int target = 0;
};

// Which source pixels make up each target pixel along one axis, and with which weights.
struct Axis {
  struct Taps {
    std::size_t first = 0;  // source index, counted from `begin`
    std::size_t count = 0;
    std::size_t weights = 0;  // where its weights start
  };
  std::size_t begin = 0;  // source pixels that any target needs: [begin, begin + length)
  std::size_t length = 0;
  std::vector<Taps> taps;
  std::vector<float> weights;
};

// The geometry of Pillow's precompute_coeffs (src/libImaging/Resample.c): pixel centres at half
// integers, a filter stretched by the scale when shrinking, weights of sum 1.
Axis make_axis(const Span& span, Interpolation interpolation) {
  const double scale = (span.end - span.begin) / span.target;
  const double stretch = std::max(scale, 1.0);
  const double support = filter_support(interpolation) * stretch;
  Axis axis;
  axis.taps.reserve(static_cast<std::size_t>(span.target));
  axis.weights.reserve(static_cast<std::size_t>(span.target * (2.0 * support + 2.0)));
  std::size_t last = 0;
  for (int i = 0; i < span.target; ++i) {
    const double center = span.begin + (i + 0.5) * scale;
    // NOLINTBEGIN(bugprone-incorrect-roundings): as Pillow; what is negative becomes 0
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(span.source, static_cast<int>(center + support + 0.5));
    // NOLINTEND(bugprone-incorrect-roundings)
    const std::size_t start = axis.weights.size();
    double sum = 0.0;
    for (int j = first; j < end; ++j) {
      const double weight = filter_value(interpolation, (j + 0.5 - center) / stretch);
      axis.weights.push_back(static_cast<float>(weight));
      sum += weight;
    }
    std::for_each(axis.weights.begin() + static_cast<std::ptrdiff_t>(start), axis.weights.end(),
                  [&](float& weight) { weight = static_cast<float>(weight / sum); });
    axis.taps.push_back(
        {static_cast<std::size_t>(first), static_cast<std::size_t>(end - first), start});
    last = std::max(last, static_cast<std::size_t>(end));
  }
  axis.begin = axis.taps.front().first;
  axis.length = last - axis.begin;
  for (auto& taps : axis.taps) {
    taps.first -= axis.begin;
  }
  return axis;
}

// A pixel of any number of bands, filtered.
void filter_pixel(std::span<const float> weights, const float* from, std::span<float> to) {
  std::fill(to.begin(), to.end(), 0.0F);
  for (const float weight : weights) {
    for (float& sum : to) {
      sum += weight * *from++;
    }
  }
}

// One row of pixels, filtered along the columns. `to` has room for one value more than the row.
void filter_columns(const Axis& axis, std::size_t bands, const float* from, float* to) {
  for (const auto& taps : axis.taps) {
    const float* weight = &axis.weights[taps.weights];
    const float* pixel = from + taps.first * bands;
    if (bands == 1) {
      float sum = 0.0F;
      for (std::size_t k = 0; k < taps.count; ++k) {
        sum += weight[k] * pixel[k];
      }
      *to = sum;
    } else if (bands == 3) {
      Float4 sum{};
      for (std::size_t k = 0; k < taps.count; ++k) {
        sum += weight[k] * load(pixel + 3 * k);
      }
      store(sum, to);
    } else {
      filter_pixel({weight, taps.count}, pixel, {to, bands});
    }
    to += bands;
  }
}

// The source rows that are needed, filtered along the columns: [rows.length, targets * bands], and
// one value of padding.
template <class T>
std::vector<float> filter_all_columns(const Image& image,
                                      const Axis& columns,
                                      const Axis& rows,
                                      Interpolation interpolation) {
  const auto bands = static_cast<std::size_t>(image.bands());
  const std::size_t stride = static_cast<std::size_t>(image.width()) * bands;
  const std::size_t row_values = columns.taps.size() * bands;
  const auto source = image.values<T>();
  std::vector<float> row(columns.length * bands + kLanes);
  std::vector<float> filtered(rows.length * row_values + kLanes);
  for (std::size_t y = 0; y < rows.length; ++y) {
    const T* from = &source[(rows.begin + y) * stride + columns.begin * bands];
    std::transform(from, from + columns.length * bands, row.begin(),
                   [](T value) { return static_cast<float>(value); });
    filter_columns(columns, bands, row.data(), &filtered[y * row_values]);
  }
  if (interpolation == Interpolation::kBicubic) {
    // Pillow keeps 8 bits between the passes, so overshoots are cut twice; for every pixel type
    // here, so that the type does not change the picture.
    for (float& value : filtered) {
      value = limit(value, full_scale<T>());
    }
  }
  return filtered;
}

template <class T>
Image resample(const Image& image,
               const Axis& columns,
               const Axis& rows,
               Interpolation interpolation) {
  Image out(static_cast<int>(rows.taps.size()), static_cast<int>(columns.taps.size()),
            image.bands(), image.type());
  const std::size_t row_values = columns.taps.size() * static_cast<std::size_t>(image.bands());
  const auto filtered = filter_all_columns<T>(image, columns, rows, interpolation);
  std::vector<float> sums(row_values);
  T* to = out.values<T>().data();
  for (const auto& taps : rows.taps) {
    std::fill(sums.begin(), sums.end(), 0.0F);
    for (std::size_t k = 0; k < taps.count; ++k) {
      const float weight = rows.weights[taps.weights + k];
      const float* from = &filtered[(taps.first + k) * row_values];
      for (std::size_t i = 0; i < row_values; ++i) {
        sums[i] += weight * from[i];
      }
    }
    to = std::transform(sums.begin(), sums.end(), to, to_pixel<T>);
  }
  return out;
}

Image resample(const Image& image,
               const Span& columns,
               const Span& rows,
               Interpolation interpolation) {
  const auto column_axis = make_axis(columns, interpolation);
  const auto row_axis = make_axis(rows, interpolation);
  return with_pixel_type(image.type(), [&]<class T>() {
    return resample<T>(image, column_axis, row_axis, interpolation);
  });
}

void check_box(const Image& image, const Box& box) {
  const bool inside = box.x >= 0 && box.y >= 0 && box.width >= 1 && box.height >= 1 &&
                      box.x <= image.width() - box.width && box.y <= image.height() - box.height;
  if (!inside) {  // formatted only when needed: this runs once per view
    check(false, fmt::format("the box x {} y {} width {} height {} is empty or leaves the image of "
                             "height {} width {}",
                             box.x, box.y, box.width, box.height, image.height(), image.width()));
  }
}

// One axis of resize_center_crop: the central `size` pixels of the side after its resize.
Span central_span(int side, int shorter, int size) {
  const double resized = std::floor(static_cast<double>(size) * side / shorter);
  // torchvision's CenterCrop rounds half to even, as does the default rounding mode.
  const double skipped = std::nearbyint((resized - size) / 2.0);
  const double scale = side / resized;
  return {side, skipped * scale, (skipped + size) * scale, size};
}

}  // namespace

Image crop(const Image& image, const Box& box) {
  check_box(image, box);
  Image out(box.height, box.width, image.bands(), image.type());
  const std::size_t pixel = static_cast<std::size_t>(image.bands()) * bytes_per_value(image.type());
  const std::size_t from_stride = static_cast<std::size_t>(image.width()) * pixel;
  const std::size_t to_stride = static_cast<std::size_t>(box.width) * pixel;
  for (std::size_t row = 0; row < static_cast<std::size_t>(box.height); ++row) {
    const std::size_t from = (static_cast<std::size_t>(box.y) + row) * from_stride +
                             static_cast<std::size_t>(box.x) * pixel;
    std::memcpy(&out.bytes()[row * to_stride], &image.bytes()[from], to_stride);
  }
  return out;
}

Image resize_crop(
    const Image& image, const Box& box, int height, int width, Interpolation interpolation) {
  check_box(image, box);
  check(height >= 1 && width >= 1, "an image is resized to at least 1 x 1 pixels");
  if (box.height == height && box.width == width) {
    return crop(image, box);
  }
  const Span columns{image.width(), static_cast<double>(box.x),
                     static_cast<double>(box.x) + box.width, width};
  const Span rows{image.height(), static_cast<double>(box.y),
                  static_cast<double>(box.y) + box.height, height};
  return resample(image, columns, rows, interpolation);
}

Image resize_center_crop(const Image& image, int size) {
  check(!image.empty() && size >= 1, "a centre crop needs an image and a size of at least 1");
  const int shorter = std::min(image.height(), image.width());
  // Only the central square is computed: the resized long side of a 1 x 100000 image would be huge.
  return resample(image, central_span(image.width(), shorter, size),
                  central_span(image.height(), shorter, size), Interpolation::kBilinear);
}

}  // namespace viewfold
