// Implements the operations of the policies with the definitions of torchvision 0.14's autoaugment.
#include "viewfold/augment/detail/policy.hpp"

#include <cmath>
#include <numbers>
#include <optional>

#include "viewfold/augment/detail/affine_move.hpp"
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/image/kernels/color.hpp"
#include "viewfold/image/kernels/histogram.hpp"
#include "viewfold/image/kernels/point.hpp"
#include "viewfold/image/kernels/stencil.hpp"

namespace viewfold {
namespace {

// In torchvision's order.
enum PolicyOp : std::uint32_t {
  kIdentity,
  kShearX,
  kShearY,
  kTranslateX,
  kTranslateY,
  kRotate,
  kBrightness,
  kColor,
  kContrast,
  kSharpness,
  kPosterize,
  kSolarize,
  kAutoContrast,
  kEqualize,
};
static_assert(kEqualize + 1 == kPolicyOps);

// The motion of the operations that move pixels. Shears are around the upper left corner, as
// torchvision's policies do; the motion itself shears around the centre.
std::optional<AffineMotion> motion_of(std::uint32_t op, double magnitude, ImageSize size) {
  const double angle = std::atan(magnitude) * 180.0 / std::numbers::pi;
  switch (op) {
    case kShearX:
      return AffineMotion{.translate_x = -magnitude * size.height / 2.0, .shear_x = angle};
    case kShearY:
      return AffineMotion{.translate_y = -magnitude * size.width / 2.0, .shear_y = angle};
    case kTranslateX:
      return AffineMotion{.translate_x = std::trunc(magnitude)};
    case kTranslateY:
      return AffineMotion{.translate_y = std::trunc(magnitude)};
    case kRotate:
      return AffineMotion{.degrees = -magnitude};
    default:
      return std::nullopt;
  }
}

void change_factor(std::uint32_t op, float factor, Canvas& canvas) {
  ColorChange change;
  (op == kBrightness ? change.brightness
   : op == kContrast ? change.contrast
                     : change.saturation) = factor;
  const Image& image = canvas.image();
  change_colors(image, canvas.scratch(), change, canvas.rewrite());
}

}  // namespace

double policy_magnitude(std::uint32_t op,
                        double strength,
                        const PolicySpace& space,
                        ImageSize size) {
  const auto shift = [&](int side) {
    return space.translate_pixels > 0.0 ? space.translate_pixels : space.translate_share * side;
  };
  switch (op) {
    case kShearX:
    case kShearY:
      return strength * space.shear;
    case kTranslateX:
      return strength * shift(size.width);
    case kTranslateY:
      return strength * shift(size.height);
    case kRotate:
      return strength * space.degrees;
    case kBrightness:
    case kColor:
    case kContrast:
    case kSharpness:
      return strength * space.factor;
    case kPosterize:
      return 8.0 - std::nearbyint(strength * space.posterize_bits);
    case kSolarize:
      return 1.0 - strength;
    default:
      check(op < kPolicyOps, "there is no such operation");
      return 0.0;
  }
}

bool policy_signed(std::uint32_t op) {
  return op >= kShearX && op <= kSharpness;
}

void apply_policy(std::uint32_t op, double magnitude, bool nearest, Canvas& canvas) {
  const Image& image = canvas.image();
  if (const auto motion = motion_of(op, magnitude, {image.height(), image.width()})) {
    nearest ? move_classes(canvas, *motion) : move_pixels(canvas, *motion);
    return;
  }
  const auto factor = static_cast<float>(1.0 + magnitude);
  switch (op) {
    case kBrightness:
    case kColor:
    case kContrast:
      return change_factor(op, factor, canvas);
    case kSharpness:
      sharpen(image, factor, canvas.scratch(), prepare_like(canvas));
      return canvas.advance();
    case kPosterize:
      posterize(image, static_cast<int>(magnitude), prepare_like(canvas));
      return canvas.advance();
    case kSolarize:
      solarize(image, static_cast<float>(magnitude), prepare_like(canvas));
      return canvas.advance();
    case kAutoContrast:
      autocontrast(image, canvas.scratch(), prepare_like(canvas));
      return canvas.advance();
    case kEqualize:
      equalize(image, canvas.scratch(), prepare_like(canvas));
      return canvas.advance();
    default:
      check(op == kIdentity, "there is no such operation");
  }
}

void apply_policy_to_mask(std::uint32_t op, double magnitude, Canvas& mask) {
  const Image& image = mask.image();
  if (const auto motion = motion_of(op, magnitude, {image.height(), image.width()})) {
    move_classes(mask, *motion);
  }
}

Point policy_move(std::uint32_t op, double magnitude, Point point, ImageSize before) {
  const auto motion = motion_of(op, magnitude, before);
  return motion ? moved(point, *motion, before) : point;
}

}  // namespace viewfold
