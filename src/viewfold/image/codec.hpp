// Encoded bytes to Image and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "viewfold/image/image.hpp"

namespace viewfold {

/// What an image file says of itself before it is decoded.
struct ImageHeader {
  std::string format;  // "jpeg", "png", "webp", "bmp", "tiff", "pnm"
  std::int64_t height = 0;
  std::int64_t width = 0;
};

/// Images with more pixels than this are refused before any memory is taken for them: a header can
/// claim 2^31 x 2^31. 178,956,970 is the limit at which Pillow reports a decompression bomb.
inline constexpr std::int64_t kMaxPixels = 178'956'970;

/// Reads format and size from the first bytes. Throws DataError when it is none of the formats, or
/// truncated within the header.
[[nodiscard]] ImageHeader read_image_header(std::span<const std::byte> encoded);

/// Decodes one image: 1 or 3 bands, uint8 or uint16. Alpha is dropped, palettes and CMYK become
/// RGB, the EXIF orientation is applied, of an animated file or a multi-page TIFF the first frame
/// is taken. Throws DataError with the reason when the bytes are empty, of no known format,
/// truncated, corrupt, or larger than kMaxPixels.
[[nodiscard]] Image decode_image(std::span<const std::byte> encoded);

/// Reads and decodes a file. Throws DataError that names the path.
[[nodiscard]] Image read_image(const std::filesystem::path& path);

/// Told height and width of a picture before it is decoded, says how many times smaller it may be:
/// 1, 2, 4 or 8.
using ReductionChoice = std::function<int(int height, int width)>;

/// The same for pictures that are shrunk anyway: a JPEG comes with each side divided by what
/// `choose` says and rounded up (decoded so, which is faster), or whole where its orientation would
/// move the rounding to another side. Of other formats `choose` is not asked.
[[nodiscard]] Image decode_image(std::span<const std::byte> encoded, const ReductionChoice& choose);
[[nodiscard]] Image read_image(const std::filesystem::path& path, const ReductionChoice& choose);

/// Encodes as PNG (1, 3 or 4 bands, uint8 or uint16, else ContractViolation).
[[nodiscard]] std::vector<std::byte> encode_png(const Image& image);

/// Encodes as JPEG (1 or 3 bands of uint8, else ContractViolation).
[[nodiscard]] std::vector<std::byte> encode_jpeg(const Image& image, int quality);

}  // namespace viewfold
