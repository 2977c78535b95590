// Implements affine motions of pictures, masks and points.
#include "viewfold/augment/detail/affine_move.hpp"

#include <cmath>
#include <numbers>

#include "viewfold/augment/detail/operation.hpp"

namespace viewfold {
namespace {

double radians(double degrees) {
  return degrees * std::numbers::pi / 180.0;
}

// Pi is not exact as a double: what would be 0 is a little beside it.
double exact_zero(double value) {
  constexpr double kRounding = 1e-14;
  return std::abs(value) < kRounding ? 0.0 : value;
}

using Warp = void (*)(const Image&, const AffineMap&, Scratch&, Image&);

void move_with(Warp warp, Canvas& canvas, const AffineMotion& motion) {
  const Image& image = canvas.image();
  const AffineMap map = map_of(motion, {image.height(), image.width()});
  warp(image, inverse(map), canvas.scratch(), prepare_like(canvas));
  canvas.advance();
}

}  // namespace

// torchvision's _get_inverse_affine_matrix with inverted=False: R(angle) * S(scale) * SHy * SHx
// around the centre, then the shift.
AffineMap map_of(const AffineMotion& motion, ImageSize size) {
  const double turn = radians(motion.degrees);
  const double shear_x = std::tan(radians(motion.shear_x));
  const double shear_y = radians(motion.shear_y);
  const double along = std::cos(turn - shear_y) / std::cos(shear_y);
  const double across = std::sin(turn - shear_y) / std::cos(shear_y);
  const AffineMap linear{.xx = exact_zero(motion.scale * along),
                         .xy = exact_zero(motion.scale * (-along * shear_x - std::sin(turn))),
                         .yx = exact_zero(motion.scale * across),
                         .yy = exact_zero(motion.scale * (-across * shear_x + std::cos(turn)))};
  AffineMap map = linear;
  const double center_x = size.width / 2.0;
  const double center_y = size.height / 2.0;
  map.x0 = center_x + motion.translate_x - linear.xx * center_x - linear.xy * center_y;
  map.y0 = center_y + motion.translate_y - linear.yx * center_x - linear.yy * center_y;
  return map;
}

Point moved(Point point, const AffineMotion& motion, ImageSize size) {
  const AffineMap map = map_of(motion, size);
  return {map.xx * point.x + map.xy * point.y + map.x0,
          map.yx * point.x + map.yy * point.y + map.y0};
}

void move_pixels(Canvas& canvas, const AffineMotion& motion) {
  move_with(warp_bilinear, canvas, motion);
}

void move_classes(Canvas& canvas, const AffineMotion& motion) {
  move_with(warp_nearest, canvas, motion);
}

}  // namespace viewfold
