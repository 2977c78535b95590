// Affine warps: every pixel of a picture is taken from a position in another one.
#pragma once

#include "viewfold/image/canvas.hpp"

namespace viewfold {

/// Maps positions (x, y) to (xx * x + xy * y + x0, yx * x + yy * y + y0). Positions are in pixels:
/// (0, 0) is the upper left corner of a picture, (0.5, 0.5) the centre of its first pixel.
struct AffineMap {
  double xx = 1.0;
  double xy = 0.0;
  double x0 = 0.0;
  double yx = 0.0;
  double yy = 1.0;
  double y0 = 0.0;
};

/// The map that leads back. Throws ContractViolation when there is none.
[[nodiscard]] AffineMap inverse(const AffineMap& map);

/// Fills `out`, which has its size and the bands and type of `image`: the centre of each pixel is
/// mapped to a position in `image`, and the four pixels around it are mixed; what is not there
/// counts as 0. As torchvision's affine() and rotate() of tensors without `fill`, and as these
/// rounds half to even. (With fill = 0 torchvision multiplies by the share inside once more, so
/// that rims become too dark.) Throws ContractViolation when shapes or types do not fit, or the map
/// is not finite.
void warp_bilinear(const Image& image, const AffineMap& map, Scratch& scratch, Image& out);

/// The same, but each pixel becomes the one that its position falls on; for values that must not be
/// mixed. On the line between two pixels the right or lower one is taken, where torch takes the
/// even one: a shift by half a pixel then repeats none.
void warp_nearest(const Image& image, const AffineMap& map, Scratch& scratch, Image& out);

}  // namespace viewfold
