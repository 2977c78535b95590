// Changes of single values. `out` has the size, bands and type of `image` already, and may be it.
#pragma once

#include <cstdint>
#include <span>

#include "viewfold/image/image.hpp"

namespace viewfold {

/// White minus each value.
void invert(const Image& image, Image& out);

/// Inverts the values from `threshold`, a share of full range, on.
void solarize(const Image& image, float threshold, Image& out);

/// Keeps the `bits` (1 .. 8) upper bits of the 8 that a value has or, when its type is finer, would
/// have: all types end on the same grey levels.
void posterize(const Image& image, int bits, Image& out);

/// Each value, as a share of full range, to the power of `gamma` > 0.
void correct_gamma(const Image& image, float gamma, Image& out);

/// Replaces the values of an image of uint8 by tables of 256 values: one for all bands, or one for
/// each of them, in their order.
void look_up(const Image& image, std::span<const std::uint8_t> tables, Image& out);

}  // namespace viewfold
