// Gaussian blur, in place.
#pragma once

#include "viewfold/image/image.hpp"

namespace viewfold {

/// Convolves every band with a Gaussian of standard deviation `sigma` pixels, cut to 2 * radius + 1
/// taps and normalised; the border is reflected without repeating the edge pixel, as torchvision's
/// gaussian_blur does. Throws ContractViolation unless sigma > 0 and radius >= 0.
void gaussian_blur(Image& image, int radius, double sigma);

}  // namespace viewfold
