// What the files of the corruptions share: planes of numbers, strengths, filters, and the kinds.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "viewfold/core/rng.hpp"
#include "viewfold/image/image.hpp"

namespace viewfold::corruption {

/// height x width numbers in rows; black is 0 and white 1 where they are a band of a picture.
struct Plane {
  Plane(int rows, int columns, double value = 0.0);

  [[nodiscard]] double& at(int y, int x) { return values[index(y, x)]; }
  [[nodiscard]] double at(int y, int x) const { return values[index(y, x)]; }
  [[nodiscard]] std::span<const double> row(int y) const {
    return std::span(values).subspan(index(y, 0), static_cast<std::size_t>(width));
  }

  int height;
  int width;
  std::vector<double> values;

 private:
  [[nodiscard]] std::size_t index(int y, int x) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
           static_cast<std::size_t>(x);
  }
};

/// The bands of a picture, all of one size: one, or red, green and blue.
using Picture = std::vector<Plane>;

/// A uint8 image as planes, and back: limited to black .. white and rounded to nearest.
[[nodiscard]] Picture to_picture(const Image& image);
[[nodiscard]] Image to_image(const Picture& picture);

/// Which of the published constants hold.
struct Strength {
  int severity = 1;    // 1 .. 5
  bool small = false;  // those for 32 px, else those for 224 px
};

/// A constant for each strength.
template <class T>
struct Levels {
  std::array<T, 5> small = {};  // make_cifar_c.py
  std::array<T, 5> large = {};  // make_imagenet_c.py

  [[nodiscard]] constexpr const T& at(const Strength& strength) const {
    return (strength.small ? small : large)[static_cast<std::size_t>(strength.severity - 1)];
  }
};

/// What lies beyond the edge of a picture a b c: a a | a b c | c c, b a | a b c | c b,
/// or c b | a b c | b a.
enum class Border { kReplicate, kReflect, kMirror };

/// The index in 0 .. size - 1 that stands for index i of a line of `size` numbers.
[[nodiscard]] int inside(int i, int size, Border border);

/// Convolves with a Gaussian of standard deviation `sigma` pixels, cut beyond truncate * sigma
/// rounded to nearest, and normalised; scipy.ndimage.gaussian_filter. The defaults are those of
/// skimage.filters.gaussian. A sigma that is cut to its middle, and 0, leave the plane as it is.
[[nodiscard]] Plane smooth(const Plane& plane,
                           double sigma,
                           Border border = Border::kReplicate,
                           double truncate = 4.0);

/// Correlates with a kernel of odd sides, mirrored at the border (OpenCV's filter2D).
[[nodiscard]] Plane correlate(const Plane& plane, const Plane& kernel);

/// A movement during exposure.
struct Motion {
  int radius = 0;        // pixels; the path has 2 * radius + 1 of them
  double sigma = 1.0;    // pixels; weights fall along the path as those of a Gaussian
  double degrees = 0.0;  // from the direction of the rows, clockwise
};

/// Averages along a path from each pixel on, as ImageMagick's MotionBlurImage defines it: the path
/// is on one side of the pixel and rounded to whole pixels, the border is repeated.
[[nodiscard]] Plane moved(const Plane& plane, const Motion& motion);

/// The value between pixels, bilinear.
[[nodiscard]] double value_at(const Plane& plane, double y, double x, Border border);

/// Enlarges the middle by `factor` >= 1, bilinear, to the size of the plane. As scipy.ndimage.zoom
/// does, the middle is of whole pixels, and its corners become the corners of the result.
[[nodiscard]] Plane zoomed(const Plane& plane, double factor);

/// A random height map in 0 .. 1 from the diamond-square algorithm (Fournier, Fussell and
/// Carpenter, 1982), at least `least` pixels wide and cut to the size asked for: on a torus whose
/// side is a power of two, each halving of the grid divides the displacements by decay squared.
[[nodiscard]] Plane plasma(int height, int width, int least, double decay, Rng& rng);

/// The corruptions, which are named as in corruptions().
using Apply = void(Picture& picture, const Strength& strength, Rng& rng);

Apply gaussian_noise;
Apply shot_noise;
Apply impulse_noise;
Apply defocus_blur;
Apply glass_blur;
Apply motion_blur;
Apply zoom_blur;
Apply snow;
Apply frost;
Apply fog;
Apply brightness;
Apply contrast;
Apply elastic_transform;
Apply pixelate;
Apply jpeg_compression;
Apply speckle_noise;
Apply gaussian_blur;
Apply spatter;
Apply saturate;  // needs three bands

}  // namespace viewfold::corruption
