// Changes that depend on the neighbours of a pixel.
#pragma once

#include "viewfold/image/canvas.hpp"

namespace viewfold {

/// Moves each pixel away from (`factor` > 1) or towards (< 1; 0: onto) the mean of its 3 x 3
/// neighbourhood, in which it counts five times itself; pixels at the rim stay, as in torchvision's
/// adjust_sharpness. `out` is another image, which has the size, bands and type of `image` already.
void sharpen(const Image& image, float factor, Scratch& scratch, Image& out);

}  // namespace viewfold
