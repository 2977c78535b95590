// Colour changes with the definitions of torchvision's tensor back end, in place.
#pragma once

#include <array>

#include "viewfold/image/canvas.hpp"

namespace viewfold {

/// The four colour changes.
enum class ColorStep { kBrightness = 1, kContrast = 2, kSaturation = 3, kHue = 4 };

/// How far to go in each of them, and in which order. The defaults change nothing.
struct ColorChange {
  std::array<ColorStep, 4> order = {ColorStep::kBrightness, ColorStep::kContrast,
                                    ColorStep::kSaturation, ColorStep::kHue};
  float brightness = 1.0F;  // >= 0: values are multiplied by it
  float contrast = 1.0F;    // >= 0: distance from the mean luma of the image is multiplied by it
  float saturation = 1.0F;  // >= 0: distance from the luma of the pixel is multiplied by it
  float hue = 0.0F;         // -0.5 .. 0.5: turns of the colour wheel
};

/// Applies the changes in their order, limiting values to black .. white after each and rounding
/// once at the end. Images of other than three bands have no hue and no saturation: only brightness
/// and contrast change, the latter around the mean of each band, each of them rounded.
void change_colors(Image& image, Scratch& scratch, const ColorChange& change);

/// Sets all three bands to the ITU-R 601 luma of the pixel. Does nothing unless there are three
/// bands.
void remove_color(Image& image);

}  // namespace viewfold
