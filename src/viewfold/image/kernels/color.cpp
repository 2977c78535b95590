// Implements the colour changes on planes of floats, so that their loops vectorise.
#include "viewfold/image/kernels/color.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "viewfold/image/pixel.hpp"

namespace viewfold {
namespace {

// ITU-R 601; torchvision's tensor back end writes 0.2989, Pillow and the standard 0.299.
constexpr float kRed = 0.299F;
constexpr float kGreen = 0.587F;
constexpr float kBlue = 0.114F;

// The bands of an image as floats, one after the other: [bands, height * width].
struct Planes {
  std::size_t size = 0;
  float white = 1.0F;
  std::vector<float> values;

  [[nodiscard]] std::span<float> plane(std::size_t band) {
    return std::span(values).subspan(band * size, size);
  }
  [[nodiscard]] std::size_t bands() const { return values.size() / size; }
};

template <class T>
Planes split(const Image& image) {
  const auto bands = static_cast<std::size_t>(image.bands());
  const T* from = image.values<T>().data();
  Planes planes{image.value_count() / bands, full_scale<T>(),
                std::vector<float>(image.value_count())};
  if (bands == 3) {  // a stride known to the compiler is twice as fast
    const auto red = planes.plane(0);
    const auto green = planes.plane(1);
    const auto blue = planes.plane(2);
    for (std::size_t i = 0; i < planes.size; ++i) {
      red[i] = static_cast<float>(from[3 * i]);
      green[i] = static_cast<float>(from[3 * i + 1]);
      blue[i] = static_cast<float>(from[3 * i + 2]);
    }
    return planes;
  }
  for (std::size_t band = 0; band < bands; ++band) {
    const auto plane = planes.plane(band);
    for (std::size_t i = 0; i < planes.size; ++i) {
      plane[i] = static_cast<float>(from[i * bands + band]);
    }
  }
  return planes;
}

template <class T>
void merge(Planes& planes, Image& image) {
  const std::size_t bands = planes.bands();
  T* to = image.values<T>().data();
  if (bands == 3) {
    const auto red = planes.plane(0);
    const auto green = planes.plane(1);
    const auto blue = planes.plane(2);
    for (std::size_t i = 0; i < planes.size; ++i) {
      to[3 * i] = to_pixel<T>(red[i]);
      to[3 * i + 1] = to_pixel<T>(green[i]);
      to[3 * i + 2] = to_pixel<T>(blue[i]);
    }
    return;
  }
  for (std::size_t band = 0; band < bands; ++band) {
    const auto plane = planes.plane(band);
    for (std::size_t i = 0; i < planes.size; ++i) {
      to[i * bands + band] = to_pixel<T>(plane[i]);
    }
  }
}

// In four partial sums of double: vectorises, and stays exact for images of many megapixels.
float mean(std::span<const float> plane) {
  std::array<double, 4> sums{};
  std::size_t i = 0;
  for (; i + sums.size() <= plane.size(); i += sums.size()) {
    for (std::size_t lane = 0; lane < sums.size(); ++lane) {
      sums[lane] += static_cast<double>(plane[i + lane]);
    }
  }
  for (; i < plane.size(); ++i) {
    sums[0] += static_cast<double>(plane[i]);
  }
  const double sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return static_cast<float>(sum / static_cast<double>(plane.size()));
}

void scale_around(std::span<float> plane, float center, float factor, float white) {
  const float shift = (1.0F - factor) * center;
  for (float& value : plane) {
    value = limit(factor * value + shift, white);
  }
}

void change_contrast(Planes& planes, float factor) {
  if (planes.bands() == 3) {
    const float luma = kRed * mean(planes.plane(0)) + kGreen * mean(planes.plane(1)) +
                       kBlue * mean(planes.plane(2));
    scale_around(planes.values, luma, factor, planes.white);
    return;
  }
  for (std::size_t band = 0; band < planes.bands(); ++band) {
    const auto plane = planes.plane(band);
    scale_around(plane, mean(plane), factor, planes.white);
  }
}

void change_saturation(Planes& planes, float factor) {
  float* red = planes.plane(0).data();
  float* green = planes.plane(1).data();
  float* blue = planes.plane(2).data();
  const float white = planes.white;
  for (std::size_t i = 0; i < planes.size; ++i) {
    const float shift = (1.0F - factor) * (kRed * red[i] + kGreen * green[i] + kBlue * blue[i]);
    red[i] = limit(factor * red[i] + shift, white);
    green[i] = limit(factor * green[i] + shift, white);
    blue[i] = limit(factor * blue[i] + shift, white);
  }
}

// The band whose peak is `offset` sixths of a turn from red, at hue `sixths` in [0, 6): the value
// falls from `top` by `chroma` where the hue is far away. HSV to RGB without a case per sextant.
float band_at(float sixths, float offset, float top, float chroma) {
  float k = sixths + offset;
  k = k >= 6.0F ? k - 6.0F : k;
  const float distance = k < 4.0F - k ? k : 4.0F - k;
  return top - chroma * limit(distance, 1.0F);
}

void turn_hue(Planes& planes, float turns) {
  float* red = planes.plane(0).data();
  float* green = planes.plane(1).data();
  float* blue = planes.plane(2).data();
  for (std::size_t i = 0; i < planes.size; ++i) {
    const float r = red[i];
    const float g = green[i];
    const float b = blue[i];
    const float top = std::max(r, std::max(g, b));
    const float chroma = top - std::min(r, std::min(g, b));
    const float scale = 1.0F / (chroma > 0.0F ? chroma : 1.0F);
    const float from_red = (g - b) * scale;
    const float from_green = 2.0F + (b - r) * scale;
    const float from_blue = 4.0F + (r - g) * scale;
    float sixths = top == g ? from_green : from_blue;
    sixths = (top == r ? from_red : sixths) + 6.0F * turns;  // [-4, 8]
    sixths = sixths < 0.0F ? sixths + 6.0F : sixths;
    sixths = sixths >= 6.0F ? sixths - 6.0F : sixths;
    red[i] = band_at(sixths, 5.0F, top, chroma);
    green[i] = band_at(sixths, 3.0F, top, chroma);
    blue[i] = band_at(sixths, 1.0F, top, chroma);
  }
}

void change_planes(Planes& planes, const ColorChange& change) {
  const bool colored = planes.bands() == 3;
  for (const auto step : change.order) {
    if (step == ColorStep::kBrightness && change.brightness != 1.0F) {
      scale_around(planes.values, 0.0F, change.brightness, planes.white);
    } else if (step == ColorStep::kContrast && change.contrast != 1.0F) {
      change_contrast(planes, change.contrast);
    } else if (step == ColorStep::kSaturation && change.saturation != 1.0F && colored) {
      change_saturation(planes, change.saturation);
    } else if (step == ColorStep::kHue && change.hue != 0.0F && colored) {
      turn_hue(planes, change.hue);
    }
  }
}

}  // namespace

void change_colors(Image& image, const ColorChange& change) {
  with_pixel_type(image.type(), [&]<class T>() {
    auto planes = split<T>(image);
    change_planes(planes, change);
    merge<T>(planes, image);
  });
}

void remove_color(Image& image) {
  if (image.bands() != 3) {
    return;
  }
  with_pixel_type(image.type(), [&]<class T>() {
    const auto values = image.values<T>();
    for (std::size_t i = 0; i < values.size(); i += 3) {
      const T luma = to_pixel<T>(kRed * static_cast<float>(values[i]) +
                                 kGreen * static_cast<float>(values[i + 1]) +
                                 kBlue * static_cast<float>(values[i + 2]));
      values[i] = values[i + 1] = values[i + 2] = luma;
    }
  });
}

}  // namespace viewfold
