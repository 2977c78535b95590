// What the operations that move pixels by an affine map share.
#pragma once

#include "viewfold/augment/augmentation.hpp"
#include "viewfold/image/kernels/warp.hpp"

namespace viewfold {

/// What an operation of this kind does: turns by `degrees` clockwise, stretches by `scale` and
/// shears around the centre of a picture, then shifts, as torchvision's affine().
struct AffineMotion {
  double degrees = 0.0;
  double translate_x = 0.0;
  double translate_y = 0.0;
  double scale = 1.0;
  double shear_x = 0.0;  // degrees
  double shear_y = 0.0;
};

/// Where the motion takes positions of a picture of this size. Turns by multiples of 90 degrees are
/// exact.
[[nodiscard]] AffineMap map_of(const AffineMotion& motion, ImageSize size);

/// Where the motion takes a point of a picture of this size.
[[nodiscard]] Point moved(Point point, const AffineMotion& motion, ImageSize size);

/// Replaces the current picture by one of the same size whose pixels the motion has moved; what
/// comes in from outside is 0.
void move_pixels(Canvas& canvas, const AffineMotion& motion);

/// The same without mixing values.
void move_classes(Canvas& canvas, const AffineMotion& motion);

}  // namespace viewfold
