// Colour changes with the definitions of torchvision: for uint8 those of its Pillow back end (but
// hue, which has 8 bits there), else those of its tensor back end.
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
/// once at the end. Luma and their mean are as exact as the type allows; those of uint8 images are
/// whole grey levels, as Pillow's. Images of other than three bands have no hue and no saturation:
/// only brightness and contrast change, the latter around the mean of each band, each of them
/// rounded. `out` has the size, bands and type of `image` already, and may be it.
void change_colors(const Image& image, Scratch& scratch, const ColorChange& change, Image& out);

/// Sets all three bands to the ITU-R 601 luma of the pixel. Copies an image of other bands. `out`
/// has the size, bands and type of `image` already, and may be it.
void remove_color(const Image& image, Image& out);

}  // namespace viewfold
