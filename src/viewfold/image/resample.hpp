// Resizing and cropping of images.
#pragma once

#include "viewfold/image/image.hpp"

namespace viewfold {

/// A rectangle of pixels; x and y of its upper left corner.
struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  friend bool operator==(const Box&, const Box&) = default;
};

enum class Interpolation { kBilinear, kBicubic };

/// The pixels of `image` inside `box`. Throws ContractViolation when the box is empty or leaves the
/// image.
[[nodiscard]] Image crop(const Image& image, const Box& box);

/// Resizes the part of `image` inside `box` to height x width, with antialiasing (the filter is
/// stretched when shrinking), as Pillow's resize(box=...) and torchvision's antialias=True do;
/// cubic a = -0.5 as Pillow. As in Pillow, the filter reads the neighbours of the box at its rim;
/// crop() first where nothing outside may leak in. Keeps type and bands. Throws ContractViolation
/// when the box is empty or leaves the image, or a size is < 1.
[[nodiscard]] Image resize_crop(const Image& image,
                                const Box& box,
                                int height,
                                int width,
                                Interpolation interpolation = Interpolation::kBilinear);

/// Scales the shorter side to `size` (keeping the shape, bilinear), then cuts the central size x
/// size square, as torchvision's Resize and CenterCrop do. Throws ContractViolation when size < 1.
[[nodiscard]] Image resize_center_crop(const Image& image, int size);

}  // namespace viewfold
