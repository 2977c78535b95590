// Reads the EXIF orientation and turns pictures upright.
#include <algorithm>
#include <cstring>

#include "viewfold/core/error.hpp"
#include "viewfold/image/codec_detail.hpp"

namespace viewfold::codec {

int exif_orientation(Bytes exif) {
  constexpr std::uint32_t kOrientationTag = 0x0112;  // TIFF 6.0, Section 8; EXIF 2.3, Section 4.6.4
  constexpr std::uint32_t kShort = 3;
  try {
    const bool little = ByteReader(exif, ByteReader::Order::kBig).u16(0) == 0x4949;  // "II"
    const ByteReader reader(exif, little ? ByteReader::Order::kLittle : ByteReader::Order::kBig);
    const std::size_t directory = reader.u32(4);
    const std::uint32_t count = reader.u16(directory);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::size_t entry = directory + 2 + 12 * std::size_t{i};
      if (reader.u16(entry) == kOrientationTag && reader.u16(entry + 2) == kShort) {
        const std::uint32_t value = reader.u16(entry + 8);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
      }
    }
  } catch (const DataError&) {
    return 1;
  }
  return 1;
}

Image upright(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) {
    return image;
  }
  // EXIF 2.3, Section 4.6.4, says at which side row 0 and column 0 of the stored picture belong;
  // from 5 on rows have become columns.
  const bool transposed = orientation >= 5;
  const int height = transposed ? image.width() : image.height();
  const int width = transposed ? image.height() : image.width();
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  Image out(height, width, image.bands(), image.type());
  const std::size_t pixel = bytes_per_value(image.type()) * static_cast<std::size_t>(image.bands());
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int u = flip_x ? width - 1 - x : x;
      const int v = flip_y ? height - 1 - y : y;
      const auto row = static_cast<std::size_t>(transposed ? u : v);
      const auto column = static_cast<std::size_t>(transposed ? v : u);
      const auto from = (row * static_cast<std::size_t>(image.width()) + column) * pixel;
      const auto to = (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                       static_cast<std::size_t>(x)) *
                      pixel;
      std::memcpy(&out.bytes()[to], &image.bytes()[from], pixel);
    }
  }
  return out;
}

}  // namespace viewfold::codec
