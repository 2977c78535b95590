// Implements the pixel container and its conversions.
#include "viewfold/image/image.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

template <class T>
constexpr PixelType pixel_type_of() {
  if constexpr (std::is_same_v<std::remove_const_t<T>, std::uint8_t>) {
    return PixelType::kUint8;
  } else if constexpr (std::is_same_v<std::remove_const_t<T>, std::uint16_t>) {
    return PixelType::kUint16;
  } else {
    return PixelType::kFloat32;
  }
}

// The value that stands for white.
template <class T>
constexpr float full_scale() {
  if constexpr (std::is_same_v<T, float>) {
    return 1.0F;
  } else {
    return static_cast<float>(std::numeric_limits<T>::max());
  }
}

template <class T>
T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return static_cast<T>(std::lround(std::clamp(value, 0.0F, full_scale<T>())));
  }
}

template <class From, class To>
void convert_values(const Image& from, Image& to) {
  const auto source = from.values<From>();
  const auto target = to.values<To>();
  constexpr float kScale = full_scale<To>() / full_scale<From>();
  std::transform(source.begin(), source.end(), target.begin(),
                 [](From value) { return from_float<To>(static_cast<float>(value) * kScale); });
}

template <class From>
void convert_from(const Image& from, Image& to) {
  switch (to.type()) {
    case PixelType::kUint8:
      return convert_values<From, std::uint8_t>(from, to);
    case PixelType::kUint16:
      return convert_values<From, std::uint16_t>(from, to);
    case PixelType::kFloat32:
      return convert_values<From, float>(from, to);
  }
}

template <class T>
void take_luma(const Image& from, Image& to) {
  const auto source = from.values<T>();
  const auto target = to.values<T>();
  for (std::size_t i = 0; i < target.size(); ++i) {
    const T* rgb = &source[3 * i];
    target[i] =
        from_float<T>(0.299F * static_cast<float>(rgb[0]) + 0.587F * static_cast<float>(rgb[1]) +
                      0.114F * static_cast<float>(rgb[2]));
  }
}

}  // namespace

std::size_t bytes_per_value(PixelType type) {
  switch (type) {
    case PixelType::kUint8:
      return 1;
    case PixelType::kUint16:
      return 2;
    case PixelType::kFloat32:
      return 4;
  }
  throw ContractViolation("unknown pixel type");
}

Image::Image(int height, int width, int bands, PixelType type) {
  reshape(height, width, bands, type);
  std::fill(bytes_.begin(), bytes_.end(), std::byte{0});
}

void Image::reshape(int height, int width, int bands, PixelType type) {
  if (height < 1 || width < 1 || bands < 1) {  // formatted only when needed: runs for every view
    check(false, fmt::format("an image of {} x {} x {} has no pixels", height, width, bands));
  }
  height_ = height;
  width_ = width;
  bands_ = bands;
  type_ = type;
  bytes_.resize(value_count() * bytes_per_value(type));
}

std::size_t Image::value_count() const {
  return static_cast<std::size_t>(height_) * static_cast<std::size_t>(width_) *
         static_cast<std::size_t>(bands_);
}

template <class T>
std::span<T> Image::values() {
  check(pixel_type_of<T>() == type_, "the pixels are of another type than asked for");
  return {reinterpret_cast<T*>(bytes_.data()), value_count()};
}

template <class T>
std::span<const T> Image::values() const {
  check(pixel_type_of<T>() == type_, "the pixels are of another type than asked for");
  return {reinterpret_cast<const T*>(bytes_.data()), value_count()};
}

template std::span<std::uint8_t> Image::values();
template std::span<std::uint16_t> Image::values();
template std::span<float> Image::values();
template std::span<const std::uint8_t> Image::values() const;
template std::span<const std::uint16_t> Image::values() const;
template std::span<const float> Image::values() const;

Image convert_type(const Image& image, PixelType type) {
  if (image.type() == type || image.empty()) {
    return image;
  }
  Image out(image.height(), image.width(), image.bands(), type);
  switch (image.type()) {
    case PixelType::kUint8:
      convert_from<std::uint8_t>(image, out);
      break;
    case PixelType::kUint16:
      convert_from<std::uint16_t>(image, out);
      break;
    case PixelType::kFloat32:
      convert_from<float>(image, out);
      break;
  }
  return out;
}

Image convert_bands(const Image& image, int bands) {
  if (image.bands() == bands) {
    return image;
  }
  Image out(image.height(), image.width(), bands, image.type());
  if (image.bands() == 1) {
    const std::size_t size = bytes_per_value(image.type());
    const auto source = image.bytes();
    auto target = out.bytes();
    for (std::size_t i = 0; i < out.value_count(); ++i) {
      std::memcpy(&target[i * size], &source[i / static_cast<std::size_t>(bands) * size], size);
    }
    return out;
  }
  if (image.bands() != 3 || bands != 1) {
    throw DataError(
        fmt::format("an image of {} bands cannot be read as one of {} (only 1 to any "
                    "number and 3 to 1 are defined)",
                    image.bands(), bands));
  }
  switch (image.type()) {
    case PixelType::kUint8:
      take_luma<std::uint8_t>(image, out);
      break;
    case PixelType::kUint16:
      take_luma<std::uint16_t>(image, out);
      break;
    case PixelType::kFloat32:
      take_luma<float>(image, out);
      break;
  }
  return out;
}

}  // namespace viewfold
