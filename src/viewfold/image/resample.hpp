// Resizing and cropping of images.
#pragma once

#include "viewfold/image/canvas.hpp"

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

/// How a part of an image becomes another size.
struct ResizeOptions {
  Interpolation interpolation = Interpolation::kBilinear;
  /// Stretches the filter when shrinking, as Pillow's resize(box=...) and torchvision's
  /// antialias=True do, cubic a = -0.5. Without it as torch's interpolate: a = -0.75.
  bool antialias = true;
  /// Nothing outside the box is read. Else the filter sees its neighbours at the rim, as Pillow's
  /// does.
  bool isolated = false;
  /// The image is so many times smaller (sides rounded up) than the one that the box belongs to.
  int reduced = 1;
};

/// Resizes the part of `image` inside `box` to the size that `out`, another image, has already.
/// Keeps type and bands. Throws ContractViolation when the box is empty or leaves the image.
void resize_crop(
    const Image& image, const Box& box, const ResizeOptions& options, Scratch& scratch, Image& out);

/// The same with antialiasing, into memory of its own.
[[nodiscard]] Image resize_crop(const Image& image,
                                const Box& box,
                                int height,
                                int width,
                                Interpolation interpolation = Interpolation::kBilinear);

/// The same for images whose values must not be mixed (classes): each pixel of `out`, which has its
/// size already, takes the one pixel of the box that its centre falls on.
void resize_crop_nearest(const Image& image, const Box& box, Image& out);

/// Scales the shorter side to `size` (keeping the shape, bilinear), then cuts the central size x
/// size square, as torchvision's Resize and CenterCrop do. Throws ContractViolation when size < 1.
void resize_center_crop(const Image& image, int size, Scratch& scratch, Image& out);
[[nodiscard]] Image resize_center_crop(const Image& image, int size);

/// The part of an image of this size that resize_center_crop() keeps: along each axis, pixel i of
/// the result is what was from begin + i * scale to begin + (i + 1) * scale.
struct CentralSquare {
  struct Axis {
    double begin = 0.0;
    double scale = 1.0;
  };
  Axis x;
  Axis y;
};
[[nodiscard]] CentralSquare central_square(int height, int width, int size);

}  // namespace viewfold
