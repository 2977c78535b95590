// What the files behind codec.hpp share: one decoder per format, and bytes read with their bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "viewfold/image/codec.hpp"

namespace viewfold::codec {

using Bytes = std::span<const std::byte>;

/// Reads integers of a header; every access behind the end is a DataError "truncated".
class ByteReader {
 public:
  enum class Order { kBig, kLittle };

  ByteReader(Bytes bytes, Order order) : bytes_(bytes), order_(order) {}

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::uint32_t u8(std::size_t offset) const { return number(offset, 1); }
  [[nodiscard]] std::uint32_t u16(std::size_t offset) const { return number(offset, 2); }
  [[nodiscard]] std::uint32_t u24(std::size_t offset) const { return number(offset, 3); }
  [[nodiscard]] std::uint32_t u32(std::size_t offset) const { return number(offset, 4); }
  [[nodiscard]] Bytes part(std::size_t offset, std::size_t count) const;
  [[nodiscard]] std::string_view text(std::size_t offset, std::size_t count) const;

 private:
  [[nodiscard]] std::uint32_t number(std::size_t offset, std::size_t count) const;

  Bytes bytes_;
  Order order_;
};

/// What of a JPEG is needed to decode it.
struct JpegHeader {
  std::int64_t height = 0;
  std::int64_t width = 0;
  int components = 0;
  bool adobe = false;  // an Adobe marker: CMYK is stored inverted
  int orientation = 1;
  bool has_end = false;         // an end-of-image marker behind the header
  bool arithmetic = false;      // arithmetic coding has no least number of bits per block
  std::size_t scan_offset = 0;  // of the first start-of-scan marker
};
[[nodiscard]] JpegHeader read_jpeg_header(Bytes encoded);

/// The sizes of the picture; each throws DataError when the header is not whole or lies.
[[nodiscard]] ImageHeader read_png_header(Bytes encoded);
[[nodiscard]] ImageHeader read_webp_header(Bytes encoded);
[[nodiscard]] ImageHeader read_tiff_header(Bytes encoded);
[[nodiscard]] ImageHeader read_bmp_header(Bytes encoded);
[[nodiscard]] ImageHeader read_pnm_header(Bytes encoded);

/// Decode what a header was read from.
[[nodiscard]] Image decode_jpeg(Bytes encoded, const ReductionChoice& choose = {});
[[nodiscard]] Image decode_png(Bytes encoded, const ImageHeader& header);
[[nodiscard]] Image decode_webp(Bytes encoded, const ImageHeader& header);
[[nodiscard]] Image decode_tiff(Bytes encoded, const ImageHeader& header);
[[nodiscard]] Image decode_bmp(Bytes encoded, const ImageHeader& header);
[[nodiscard]] Image decode_pnm(Bytes encoded, const ImageHeader& header);

/// Orientation (1 .. 8) of an EXIF block, that is of a TIFF header in memory; 1 when it says none
/// or is damaged: a picture is worth more than its metadata.
[[nodiscard]] int exif_orientation(Bytes exif);

/// Turns and mirrors what was stored with EXIF orientation 1 .. 8 upright.
[[nodiscard]] Image upright(Image image, int orientation);

}  // namespace viewfold::codec
