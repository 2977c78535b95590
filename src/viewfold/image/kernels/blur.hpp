// Gaussian blur, in place.
#pragma once

#include "viewfold/image/canvas.hpp"

namespace viewfold {

/// Convolves every band with a Gaussian of standard deviation `sigma` pixels, cut to 2 * radius + 1
/// taps and normalised, without the outermost taps that together weigh less than 1/2048 (an eighth
/// of a grey level); the border is reflected without repeating the edge pixel, as torchvision's
/// gaussian_blur does. Throws ContractViolation unless sigma > 0 and radius >= 0.
void gaussian_blur(Image& image, Scratch& scratch, int radius, double sigma);

}  // namespace viewfold
