// Implements separable resizing: columns first, then rows, in float.
#include "viewfold/image/resample.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/kernels/resample_rows.hpp"
#include "viewfold/image/pixel.hpp"

namespace viewfold {
namespace {

// Scratch memory of a resize: tables of both axes, one row of the source, all filtered rows.
enum Slot : std::size_t {
  kColumnFirst,
  kColumnCount,
  kColumnWeights,
  kRowFirst,
  kRowCount,
  kRowWeights,
  kSourceRow,
  kFiltered,
};

double filter_support(Interpolation interpolation) {
  return interpolation == Interpolation::kBilinear ? 1.0 : 2.0;
}

// `cubic_a` is the free parameter of the cubic family (Keys 1981).
double filter_value(Interpolation interpolation, double x, double cubic_a) {
  x = std::abs(x);
  if (interpolation == Interpolation::kBilinear) {
    return std::max(0.0, 1.0 - x);
  }
  if (x < 1.0) {
    return ((cubic_a + 2.0) * x - (cubic_a + 3.0)) * x * x + 1.0;
  }
  return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * cubic_a : 0.0;
}

// The part [begin, end) of `source` pixels along one axis becomes `target` pixels. Only pixels of
// [low, high) may be read.
struct Span {
  int low = 0;
  int high = 0;
  double begin = 0.0;
  double end = 0.0;
  int target = 0;
};

// Which source pixels make up each target pixel, counted from `begin`; any target needs some of
// [begin, begin + length).
struct Axis {
  AxisTaps table;
  std::size_t begin = 0;
  std::size_t length = 0;
};

// Room for one axis in scratch memory.
struct AxisRoom {
  std::span<std::int32_t> first;
  std::span<std::int32_t> count;
  std::span<float> weights;
  std::size_t taps = 0;
};

// The pixels of an antialiased target and their weights.
struct Stretched {
  Interpolation interpolation = Interpolation::kBilinear;
  double stretch = 1.0;  // of the filter
  double support = 1.0;
};

void antialiased_tap(
    const Span& span, const Stretched& filter, double center, std::size_t i, const AxisRoom& room) {
  // NOLINTBEGIN(bugprone-incorrect-roundings): as Pillow; what is negative becomes low
  const int first = std::max(span.low, static_cast<int>(center - filter.support + 0.5));
  const int end = std::min(span.high, static_cast<int>(center + filter.support + 0.5));
  // NOLINTEND(bugprone-incorrect-roundings)
  const auto weights = room.weights.subspan(i * room.taps, static_cast<std::size_t>(end - first));
  double sum = 0.0;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const double distance = (first + static_cast<double>(k) + 0.5 - center) / filter.stretch;
    const double weight = filter_value(filter.interpolation, distance, -0.5);
    weights[k] = static_cast<float>(weight);
    sum += weight;
  }
  const auto factor = static_cast<float>(1.0 / sum);
  for (float& weight : weights) {
    weight *= factor;
  }
  room.first[i] = first;
  room.count[i] = end - first;
}

// Pillow's precompute_coeffs (src/libImaging/Resample.c): pixel centres at half integers, a filter
// stretched by the scale when shrinking, weights of sum 1, cubic a = -0.5.
void antialiased_taps(const Span& span, Interpolation interpolation, const AxisRoom& room) {
  const double scale = (span.end - span.begin) / span.target;
  const double stretch = std::max(scale, 1.0);
  const Stretched filter{interpolation, stretch, filter_support(interpolation) * stretch};
  const bool pairs = interpolation == Interpolation::kBilinear && scale <= 1.0;
  for (std::size_t i = 0; i < room.first.size(); ++i) {
    const double center = span.begin + (static_cast<double>(i) + 0.5) * scale;
    const int left = static_cast<int>(center - 0.5);
    if (pairs && center >= 0.5 && left >= span.low && left + 2 <= span.high) {
      // Two neighbours whose weights add up to 1: most targets of an enlargement.
      const auto weights = room.weights.subspan(i * room.taps, 2);
      weights[0] = static_cast<float>(1.0 + (left + 0.5 - center));
      weights[1] = static_cast<float>(1.0 - (left + 1.0 + 0.5 - center));
      room.first[i] = left;
      room.count[i] = 2;
    } else {
      antialiased_tap(span, filter, center, i, room);
    }
  }
}

// torch's interpolate(align_corners=False): the plain filter around each position, cubic a = -0.75,
// where the pixel at the rim stands for all beyond it.
void plain_taps(const Span& span, Interpolation interpolation, const AxisRoom& room) {
  const double scale = (span.end - span.begin) / span.target;
  const int support = static_cast<int>(filter_support(interpolation));
  for (std::size_t i = 0; i < room.first.size(); ++i) {
    double center = span.begin + (static_cast<double>(i) + 0.5) * scale - 0.5;
    if (interpolation == Interpolation::kBilinear) {
      center = std::max(center, static_cast<double>(span.low));
    }
    const int left = static_cast<int>(std::floor(center)) - support + 1;
    const int first = std::clamp(left, span.low, span.high - 1);
    const int last = std::clamp(left + 2 * support - 1, span.low, span.high - 1);
    const auto weights =
        room.weights.subspan(i * room.taps, static_cast<std::size_t>(last - first) + 1);
    std::fill(weights.begin(), weights.end(), 0.0F);
    for (int j = left; j < left + 2 * support; ++j) {
      const int inside = std::clamp(j, first, last);
      weights[static_cast<std::size_t>(inside - first)] +=
          static_cast<float>(filter_value(interpolation, j - center, -0.75));
    }
    room.first[i] = first;
    room.count[i] = last - first + 1;
  }
}

Axis make_axis(const Span& span, const ResizeOptions& options, Scratch& scratch, Slot first_slot) {
  const double scale = (span.end - span.begin) / span.target;
  const double stretch = options.antialias ? std::max(scale, 1.0) : 1.0;
  const auto targets = static_cast<std::size_t>(span.target);
  AxisRoom room{
      .first = scratch.get<std::int32_t>(first_slot, targets),
      .count = scratch.get<std::int32_t>(first_slot + 1U, targets),
      .weights = {},
      .taps = static_cast<std::size_t>(2.0 * filter_support(options.interpolation) * stretch) + 2};
  room.weights = scratch.get<float>(first_slot + 2U, targets * room.taps);
  if (options.antialias) {
    antialiased_taps(span, options.interpolation, room);
  } else {
    plain_taps(span, options.interpolation, room);
  }
  const auto begin = *std::min_element(room.first.begin(), room.first.end());
  std::int32_t end = 0;
  for (std::size_t i = 0; i < targets; ++i) {
    end = std::max(end, room.first[i] + room.count[i]);
    room.first[i] -= begin;
  }
  return {.table = {room.first, room.count, room.weights, room.taps},
          .begin = static_cast<std::size_t>(begin),
          .length = static_cast<std::size_t>(end - begin)};
}

// The part of an image that is wanted, and the size that it becomes.
struct Target {
  Span columns;
  Span rows;
};

void resize_part(const Image& image,
                 const Target& target,
                 const ResizeOptions& options,
                 Scratch& scratch,
                 Image& out) {
  const auto& [columns, rows] = target;
  out.reshape(rows.target, columns.target, image.bands(), image.type());
  const Axis column_axis = make_axis(columns, options, scratch, kColumnFirst);
  const Axis row_axis = make_axis(rows, options, scratch, kRowFirst);
  const auto bands = static_cast<std::size_t>(image.bands());
  const std::size_t stride = static_cast<std::size_t>(image.width()) * bands;
  const std::size_t filtered = row_axis.length * column_axis.table.first.size() * bands;
  with_pixel_type(image.type(), [&]<class T>() {
    const ResampleJob<T> job{
        .from = image.values<T>().data() + row_axis.begin * stride + column_axis.begin * bands,
        .stride = stride,
        .rows = row_axis.length,
        .length = column_axis.length,
        .bands = bands,
        .columns = column_axis.table,
        .lines = row_axis.table,
        // Pillow keeps 8 bits between the passes, so overshoots are cut twice; for every pixel type
        // here, so that the type does not change the picture.
        .limited = options.interpolation == Interpolation::kBicubic && options.antialias,
        .row = scratch.get<float>(kSourceRow, column_axis.length * bands).data(),
        .filtered = scratch.get<float>(kFiltered, filtered).data(),
        .to = out.values<T>().data()};
    viewfold::resample(job);
  });
}

void check_box(const Image& image, const Box& box, int reduced = 1) {
  const std::int64_t width = std::int64_t{image.width()} * reduced;
  const std::int64_t height = std::int64_t{image.height()} * reduced;
  const bool inside = box.x >= 0 && box.y >= 0 && box.width >= 1 && box.height >= 1 &&
                      box.x <= width - box.width && box.y <= height - box.height;
  if (!inside) {  // formatted only when needed: this runs once per view
    check(false, fmt::format("the box x {} y {} width {} height {} is empty or leaves the image of "
                             "height {} width {}",
                             box.x, box.y, box.width, box.height, height, width));
  }
}

// One axis of resize_center_crop: the central `size` pixels of the side after its resize.
CentralSquare::Axis central_axis(int side, int shorter, int size) {
  const double resized = std::floor(static_cast<double>(size) * side / shorter);
  // torchvision's CenterCrop rounds half to even, as does the default rounding mode.
  const double skipped = std::nearbyint((resized - size) / 2.0);
  const double scale = side / resized;
  return {skipped * scale, scale};
}

void copy_box(const Image& image, const Box& box, Image& out) {
  out.reshape(box.height, box.width, image.bands(), image.type());
  const std::size_t pixel = static_cast<std::size_t>(image.bands()) * bytes_per_value(image.type());
  const std::size_t from_stride = static_cast<std::size_t>(image.width()) * pixel;
  const std::size_t to_stride = static_cast<std::size_t>(box.width) * pixel;
  for (std::size_t row = 0; row < static_cast<std::size_t>(box.height); ++row) {
    const std::size_t from = (static_cast<std::size_t>(box.y) + row) * from_stride +
                             static_cast<std::size_t>(box.x) * pixel;
    std::memcpy(&out.bytes()[row * to_stride], &image.bytes()[from], to_stride);
  }
}

}  // namespace

Image crop(const Image& image, const Box& box) {
  check_box(image, box);
  Image out;
  copy_box(image, box, out);
  return out;
}

void resize_crop(const Image& image,
                 const Box& box,
                 const ResizeOptions& options,
                 Scratch& scratch,
                 Image& out) {
  check_box(image, box, options.reduced);
  const int height = out.height();
  const int width = out.width();
  if (options.reduced == 1 && box.height == height && box.width == width) {
    copy_box(image, box, out);
    return;
  }
  const auto axis = [&options](int side, int first, int length, int target) {
    const double begin = static_cast<double>(first) / options.reduced;
    const double end = static_cast<double>(first + length) / options.reduced;
    if (!options.isolated) {
      return Span{0, side, begin, end, target};
    }
    const int high = std::min(side, static_cast<int>(std::ceil(end)));
    return Span{static_cast<int>(begin), high, begin, end, target};
  };
  const Target target{axis(image.width(), box.x, box.width, width),
                      axis(image.height(), box.y, box.height, height)};
  resize_part(image, target, options, scratch, out);
}

void resize_crop_nearest(const Image& image, const Box& box, Image& out) {
  check_box(image, box);
  check(out.bands() == image.bands() && out.type() == image.type(),
        "the output must have the bands and the type of the image");
  const std::size_t pixel = static_cast<std::size_t>(image.bands()) * bytes_per_value(image.type());
  const auto at = [](int begin, int length, int target, int i) {
    return begin +
           static_cast<int>((2 * std::int64_t{i} + 1) * length / (2 * std::int64_t{target}));
  };
  std::byte* to = out.bytes().data();
  for (int y = 0; y < out.height(); ++y) {
    const auto row = static_cast<std::size_t>(at(box.y, box.height, out.height(), y)) *
                     static_cast<std::size_t>(image.width());
    for (int x = 0; x < out.width(); ++x, to += pixel) {
      const auto column = static_cast<std::size_t>(at(box.x, box.width, out.width(), x));
      std::memcpy(to, &image.bytes()[(row + column) * pixel], pixel);
    }
  }
}

Image resize_crop(
    const Image& image, const Box& box, int height, int width, Interpolation interpolation) {
  Scratch scratch;
  Image out(height, width, image.bands(), image.type());
  resize_crop(image, box, {.interpolation = interpolation}, scratch, out);
  return out;
}

void resize_center_crop(const Image& image, int size, Scratch& scratch, Image& out) {
  check(!image.empty() && size >= 1, "a centre crop needs an image and a size of at least 1");
  const auto square = central_square(image.height(), image.width(), size);
  const auto kept = [size](int side, const CentralSquare::Axis& axis) {
    return Span{0, side, axis.begin, axis.begin + size * axis.scale, size};
  };
  // Only the central square is computed: the resized long side of a 1 x 100000 image would be huge.
  const Target target{kept(image.width(), square.x), kept(image.height(), square.y)};
  resize_part(image, target, {}, scratch, out);
}

CentralSquare central_square(int height, int width, int size) {
  const int shorter = std::min(height, width);
  return {central_axis(width, shorter, size), central_axis(height, shorter, size)};
}

Image resize_center_crop(const Image& image, int size) {
  Scratch scratch;
  Image out;
  resize_center_crop(image, size, scratch, out);
  return out;
}

}  // namespace viewfold
