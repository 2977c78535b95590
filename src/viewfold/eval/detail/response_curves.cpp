// Implements families of graded transforms, and the response of features to them.
#include "viewfold/eval/response_curves.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/augment/detail/affine_move.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/image/canvas.hpp"
#include "viewfold/image/kernels/blur.hpp"
#include "viewfold/image/kernels/color.hpp"
#include "viewfold/image/kernels/flip.hpp"
#include "viewfold/image/kernels/histogram.hpp"
#include "viewfold/image/kernels/point.hpp"
#include "viewfold/image/kernels/stencil.hpp"
#include "viewfold/image/resample.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

// Of the paper's measurement, but for kMostShear (see the header).
constexpr double kMostShift = (1.0 - 224.0 / 256.0) / 2.0;  // what a crop of 224 of 256 may move
constexpr double kMostShear = 60.0;
constexpr double kLeastScale = 0.25;
constexpr double kMostScale = 2.0;
constexpr double kLeastCrop = 0.25;  // of the sides; its upper left corner is as far from that
constexpr double kLeastFactor = 0.25;
constexpr double kMostFactor = 5.0;
constexpr double kMostHue = 0.5;
constexpr double kMostBlur = 20.0;  // pixels where the image has kBlurSide
constexpr double kBlurSide = 224.0;
constexpr double kBlurRadius = 1.0 / 20.0;  // of the side: a kernel of 23 pixels at 224
constexpr double kMostSharpness = 30.0;

Image like(const Image& image) {
  return {image.height(), image.width(), image.bands(), image.type()};
}

Image moved_by(const Image& image, const AffineMotion& motion) {
  Canvas canvas;
  canvas.start(image);
  move_pixels(canvas, motion);
  return canvas.image();
}

// Anticlockwise, as the operation "rotation"; motions are clockwise.
Image rotated(const Image& image, double degrees) {
  return moved_by(image, {.degrees = -degrees});
}

Image shifted_right(const Image& image, double share) {
  return moved_by(image, {.translate_x = share * image.width()});
}

Image shifted_down(const Image& image, double share) {
  return moved_by(image, {.translate_y = share * image.height()});
}

Image scaled(const Image& image, double factor) {
  check(factor > 0.0, "a scale is above 0");
  return moved_by(image, {.scale = factor});
}

Image sheared(const Image& image, double degrees) {
  return moved_by(image, {.shear_x = degrees});
}

// `share` of a side, as far along the path from 0 to the paper's smallest box as it is short of 1.
Image cropped(const Image& image, double share) {
  check(share > 0.0 && share <= 1.0, "a crop keeps a share of the sides, above 0 and at most 1");
  const double begin = (1.0 - share) * kLeastCrop / (1.0 - kLeastCrop);
  const auto pixels = [](double part, int side) {
    return static_cast<int>(std::lround(part * side));
  };
  Box box{.width = std::max(1, pixels(share, image.width())),
          .height = std::max(1, pixels(share, image.height()))};
  box.x = std::min(pixels(begin, image.width()), image.width() - box.width);
  box.y = std::min(pixels(begin, image.height()), image.height() - box.height);
  Scratch scratch;
  Image out = like(image);
  resize_crop(image, box, {.isolated = true}, scratch, out);
  return out;
}

// Operations that are applied (1) or not (0, the identity).
template <void (*operation)(const Image&, Image&)>
Image applied(const Image& image, double strength) {
  check(strength == 1.0, fmt::format("applied (1) or not (0), but not {}", strength));
  Image out = like(image);
  operation(image, out);
  return out;
}

void equalize_into(const Image& image, Image& out) {
  Scratch scratch;
  equalize(image, scratch, out);
}

Image recolored(const Image& image, const ColorChange& change) {
  check(change.brightness >= 0.0F && change.contrast >= 0.0F && change.saturation >= 0.0F,
        "a factor of colours is not negative");
  Scratch scratch;
  Image out = like(image);
  change_colors(image, scratch, change, out);
  return out;
}

Image brightened(const Image& image, double factor) {
  return recolored(image, {.brightness = static_cast<float>(factor)});
}

Image with_contrast(const Image& image, double factor) {
  return recolored(image, {.contrast = static_cast<float>(factor)});
}

Image saturated(const Image& image, double factor) {
  return recolored(image, {.saturation = static_cast<float>(factor)});
}

Image with_hue(const Image& image, double turns) {
  check(std::abs(turns) <= kMostHue, "a hue turns by half a turn at most, either way");
  return recolored(image, {.hue = static_cast<float>(turns)});
}

Image blurred(const Image& image, double sigma) {
  const double side = std::min(image.height(), image.width());
  const auto radius = std::max(1, static_cast<int>(std::lround(side * kBlurRadius)));
  Scratch scratch;
  Image out = image;
  gaussian_blur(out, scratch, radius, sigma * side / kBlurSide);
  return out;
}

Image sharpened(const Image& image, double factor) {
  Scratch scratch;
  Image out = like(image);
  sharpen(image, static_cast<float>(factor), scratch, out);
  return out;
}

Image posterized(const Image& image, double bits) {
  check(bits == std::round(bits) && bits >= 1.0 && bits <= 8.0, "1 to 8 whole bits can be kept");
  Image out = like(image);
  posterize(image, static_cast<int>(bits), out);
  return out;
}

// `count` strengths, of which number i is at(i / (count - 1)).
template <class At>
std::vector<double> grid(int count, const At& at) {
  std::vector<double> strengths;
  strengths.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    strengths.push_back(at(static_cast<double>(i) / (count - 1)));
  }
  return strengths;
}

// The same for at(-1) .. at(1), with an exact at(0) in the middle of an odd number, and as far from
// it on both sides.
template <class At>
std::vector<double> grid_around(int count, const At& at) {
  std::vector<double> strengths;
  const int half = count / 2;
  for (int i = -half; i <= half; ++i) {
    strengths.push_back(at(static_cast<double>(i) / half));
  }
  return strengths;
}

std::vector<double> evenly(double first, double last, int count) {
  return grid(count, [=](double share) { return first + (last - first) * share; });
}

std::vector<double> evenly_around_zero(double most, int count) {
  return grid_around(count, [=](double share) { return most * share; });
}

// By ratios: from low to 1, and from 1 to high.
std::vector<double> factors(double low, double high, int count) {
  return grid_around(count, [=](double share) {
    return share < 0.0 ? std::pow(low, -share) : std::pow(high, share);
  });
}

// Of a whole turn, without its end.
std::vector<double> angles(int count) {
  std::vector<double> strengths;
  strengths.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    strengths.push_back(360.0 * i / count);
  }
  return strengths;
}

std::vector<TransformFamily> movements(int count) {
  const auto shifts = evenly_around_zero(kMostShift, count);
  const auto crops = evenly(kLeastCrop, 1.0, count);
  return {{"rotation", "degrees", 0.0, angles(count), rotated},
          {"translation_x", "share of the width", 0.0, shifts, shifted_right},
          {"translation_y", "share of the height", 0.0, shifts, shifted_down},
          {"scale", "factor", 1.0, factors(kLeastScale, kMostScale, count), scaled},
          {"shear", "degrees", 0.0, evenly_around_zero(kMostShear, count), sheared},
          {"resized_crop", "share of the sides", 1.0, crops, cropped},
          {"h_flip", "applied", 0.0, {0.0, 1.0}, applied<mirror_rows>},
          {"v_flip", "applied", 0.0, {0.0, 1.0}, applied<mirror_columns>}};
}

std::vector<TransformFamily> changes_of_values(int count) {
  const auto scales = factors(kLeastFactor, kMostFactor, count);
  const auto turns = evenly_around_zero(kMostHue, count);
  const auto sigmas = evenly(0.0, kMostBlur, count);
  const auto sharp = grid(count, [](double share) { return std::pow(kMostSharpness, share); });
  return {{"grayscale", "applied", 0.0, {0.0, 1.0}, applied<remove_color>, true},
          {"invert", "applied", 0.0, {0.0, 1.0}, applied<invert>},
          {"equalize", "applied", 0.0, {0.0, 1.0}, applied<equalize_into>},
          {"brightness", "factor", 1.0, scales, brightened},
          {"contrast", "factor", 1.0, scales, with_contrast},
          {"saturation", "factor", 1.0, scales, saturated, true},
          {"hue", "turns of the colour wheel", 0.0, turns, with_hue, true},
          {"blur", "sigma in 1/224 of the side", 0.0, sigmas, blurred},
          {"sharpness", "factor", 1.0, sharp, sharpened},
          {"posterize", "bits", 8.0, {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}, posterized}};
}

// Asks for features and whitens them.
class Responses {
 public:
  Responses(const FeatureFunction& features,
            const std::vector<Image>& images,
            const Whitening& whitening)
      : features_(features),
        images_(images),
        whitening_(whitening),
        unchanged_(whitened(images)) {}

  [[nodiscard]] ResponseCurve operator()(const TransformFamily& family) const {
    ResponseCurve curve{.family = std::string(family.name),
                        .unit = std::string(family.unit),
                        .identity = family.identity,
                        .strengths = family.strengths};
    std::vector<at::Tensor> cosines;    // [n] of each strength
    std::vector<at::Tensor> distances;  // [n] of each strength
    std::vector<at::Tensor> changed;    // [n] of each strength but the identity
    for (const double strength : family.strengths) {
      const auto rows = strength == family.identity ? unchanged_ : changed_rows(family, strength);
      cosines.push_back(whitened_cosine(unchanged_, rows));
      distances.push_back(mahalanobis_distance(unchanged_, rows));
      curve.similarity.push_back(mean_over_grid(cosines.back()).mean);
      curve.distance.push_back(mean_over_grid(distances.back()).mean);
      if (strength != family.identity) {
        changed.push_back(cosines.back());
      }
    }
    curve.mean_similarity = mean_over_grid(at::cat(cosines));
    curve.mean_distance = mean_over_grid(at::cat(distances));
    if (!changed.empty()) {
      curve.changed_similarity = mean_over_grid(at::cat(changed));
    }
    return curve;
  }

 private:
  [[nodiscard]] at::Tensor changed_rows(const TransformFamily& family, double strength) const {
    std::vector<Image> changed;
    changed.reserve(images_.size());
    for (const Image& image : images_) {
      changed.push_back(family.apply(image, strength));
    }
    return whitened(changed);
  }

  // [n, D] float64
  [[nodiscard]] at::Tensor whitened(const std::vector<Image>& images) const {
    const auto rows = features_(images);
    check(rows.defined() && rows.dim() == 2 &&
              rows.size(0) == static_cast<std::int64_t>(images.size()),
          fmt::format("features of {} images must be as many rows", images.size()));
    return whitening_.apply(rows);
  }

  const FeatureFunction& features_;
  const std::vector<Image>& images_;
  const Whitening& whitening_;
  at::Tensor unchanged_;  // [n, D] float64
};

}  // namespace

Image TransformFamily::apply(const Image& image, double strength) const {
  check(!image.empty() && std::isfinite(strength), "a change needs an image and a finite strength");
  return strength == identity || change == nullptr ? image : change(image, strength);
}

std::vector<TransformFamily> transform_families(int strengths) {
  if (strengths < 3 || strengths % 2 == 0) {
    throw UsageError(fmt::format(
        "{} strengths cannot have the unchanged image in their middle: take an odd number, 3 or "
        "more",
        strengths));
  }
  auto families = movements(strengths);
  for (auto& family : changes_of_values(strengths)) {
    families.push_back(std::move(family));
  }
  return families;
}

std::vector<ResponseCurve> response_curves(const FeatureFunction& features,
                                           const std::vector<Image>& images,
                                           const Whitening& whitening,
                                           std::span<const TransformFamily> families) {
  const at::NoGradGuard no_grad;
  check(features != nullptr && !images.empty(), "responses need features and images");
  const bool colored =
      std::ranges::all_of(images, [](const Image& image) { return image.bands() == 3; });
  const Responses respond(features, images, whitening);
  std::vector<ResponseCurve> curves;
  for (const auto& family : families) {
    if (colored || !family.needs_color) {
      curves.push_back(respond(family));
    }
  }
  return curves;
}

}  // namespace viewfold
