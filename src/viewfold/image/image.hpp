// The pixel container that readers fill and augmentations change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "viewfold/image/aligned.hpp"

namespace viewfold {

/// What one pixel of one band is. kFloat32 images hold values in [0, 1].
enum class PixelType { kUint8, kUint16, kFloat32 };

/// Bytes of one value.
[[nodiscard]] std::size_t bytes_per_value(PixelType type);

/// Owns height x width x bands pixels, bands interleaved (HWC), rows compact; bands need not be 3.
/// Three-band images from files are in the order red, green, blue.
class Image {
 public:
  Image() = default;

  /// A black image. Throws ContractViolation unless all three sizes are >= 1.
  Image(int height, int width, int bands, PixelType type = PixelType::kUint8);

  /// Another size and type, with any content; keeps its memory where that is enough. Throws
  /// ContractViolation unless all three sizes are >= 1.
  void reshape(int height, int width, int bands, PixelType type);

  [[nodiscard]] int height() const { return height_; }
  [[nodiscard]] int width() const { return width_; }
  [[nodiscard]] int bands() const { return bands_; }
  [[nodiscard]] PixelType type() const { return type_; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::size_t value_count() const;  // height * width * bands

  [[nodiscard]] std::span<std::byte> bytes() { return bytes_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  /// All values in HWC order. T must be the type of the pixels (std::uint8_t, std::uint16_t or
  /// float), else ContractViolation.
  template <class T>
  [[nodiscard]] std::span<T> values();
  template <class T>
  [[nodiscard]] std::span<const T> values() const;

  friend bool operator==(const Image&, const Image&) = default;

 private:
  int height_ = 0;
  int width_ = 0;
  int bands_ = 0;
  PixelType type_ = PixelType::kUint8;
  AlignedVector<std::byte> bytes_;
};

/// The same picture with another pixel type: full range to full range (255 <-> 65535 <-> 1.0),
/// rounded to nearest.
[[nodiscard]] Image convert_type(const Image& image, PixelType type);

/// The same picture with another number of bands: 1 -> n repeats the band, 3 -> 1 takes ITU-R 601
/// luma (0.299, 0.587, 0.114; what Pillow's convert("L") and torchvision's grayscale use); any
/// other change throws DataError.
[[nodiscard]] Image convert_bands(const Image& image, int bands);

}  // namespace viewfold
