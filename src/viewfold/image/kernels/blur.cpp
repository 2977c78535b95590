// Implements the Gaussian blur as two passes of one-dimensional convolutions.
#include "viewfold/image/kernels/blur.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "viewfold/image/pixel.hpp"

namespace viewfold {
namespace {

std::vector<float> gaussian_taps(int radius, double sigma) {
  std::vector<double> taps;
  double sum = 0.0;
  for (int i = -radius; i <= radius; ++i) {
    taps.push_back(std::exp(-0.5 * (i / sigma) * (i / sigma)));
    sum += taps.back();
  }
  std::vector<float> normalised(taps.size());
  std::transform(taps.begin(), taps.end(), normalised.begin(),
                 [&](double tap) { return static_cast<float>(tap / sum); });
  return normalised;
}

// Index i of an axis of n pixels, mirrored at both ends as often as needed: 2 1 0 1 2 1 0 1 2.
std::size_t reflect(int i, int n) {
  if (n == 1) {
    return 0;
  }
  const int period = 2 * (n - 1);
  i = ((i % period) + period) % period;
  return static_cast<std::size_t>(i < n ? i : period - i);
}

void add_scaled(float factor, const float* from, std::span<float> sums) {
  for (std::size_t i = 0; i < sums.size(); ++i) {
    sums[i] += factor * from[i];
  }
}

// All rows, convolved along the columns: [height, width * bands].
template <class T>
std::vector<float> blur_columns(const Image& image, std::span<const float> taps) {
  const int radius = static_cast<int>(taps.size() / 2);
  const auto bands = static_cast<std::size_t>(image.bands());
  const std::size_t stride = static_cast<std::size_t>(image.width()) * bands;
  const auto source = image.values<T>();
  std::vector<float> padded(stride + 2 * static_cast<std::size_t>(radius) * bands);
  std::vector<float> blurred(source.size());
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height()); ++y) {
    const T* row = &source[y * stride];
    auto to = padded.begin();
    for (int x = -radius; x < image.width() + radius; ++x) {
      const T* pixel = row + reflect(x, image.width()) * bands;
      to = std::transform(pixel, pixel + bands, to,
                          [](T value) { return static_cast<float>(value); });
    }
    for (std::size_t k = 0; k < taps.size(); ++k) {
      add_scaled(taps[k], &padded[k * bands], std::span(blurred).subspan(y * stride, stride));
    }
  }
  return blurred;
}

template <class T>
void blur(Image& image, std::span<const float> taps) {
  const int radius = static_cast<int>(taps.size() / 2);
  const std::size_t stride =
      static_cast<std::size_t>(image.width()) * static_cast<std::size_t>(image.bands());
  const auto columns = blur_columns<T>(image, taps);
  std::vector<float> sums(stride);
  T* to = image.values<T>().data();
  for (int y = 0; y < image.height(); ++y) {
    std::fill(sums.begin(), sums.end(), 0.0F);
    for (std::size_t k = 0; k < taps.size(); ++k) {
      const int row = y + static_cast<int>(k) - radius;
      add_scaled(taps[k], &columns[reflect(row, image.height()) * stride], sums);
    }
    to = std::transform(sums.begin(), sums.end(), to, to_pixel<T>);
  }
}

}  // namespace

void gaussian_blur(Image& image, int radius, double sigma) {
  check(sigma > 0.0 && radius >= 0, "a blur needs sigma > 0 and a radius of at least 0");
  const auto taps = gaussian_taps(radius, sigma);
  with_pixel_type(image.type(), [&]<class T>() { blur<T>(image, taps); });
}

}  // namespace viewfold
