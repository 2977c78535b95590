// Noise as a function of a seed.
#pragma once

#include <cstdint>

#include "viewfold/image/image.hpp"

namespace viewfold {

/// Adds to each value an independent normal number of standard deviation `sigma`, a share of full
/// range, and limits it to black .. white. The numbers are those of Philox4x32-10 with `seed` as
/// its key; which value gets which depends on its index alone. `out` has the size, bands and type
/// of `image` already, and may be it.
void add_noise(const Image& image, float sigma, std::uint32_t seed, Image& out);

}  // namespace viewfold
