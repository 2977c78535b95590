// Decodes PNG with libpng, used directly because it can then be kept from printing.
#include <bit>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <png.h>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/codec_detail.hpp"

namespace viewfold::codec {
namespace {

// What the callbacks of libpng see. They leave by longjmp, so that nothing here may need a
// destructor that a jump would skip.
struct Source {
  Bytes bytes;
  std::size_t position = 0;
  char problem[128] = {};
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* const source = static_cast<Source*>(png_get_error_ptr(png));
  std::snprintf(source->problem, sizeof(source->problem), "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

void on_read(png_structp png, png_bytep out, std::size_t count) {
  auto* const source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->bytes.size() - source->position) {
    png_error(png, "truncated");
  }
  std::memcpy(out, source->bytes.data() + source->position, count);
  source->position += count;
}

class Decoder {
 public:
  explicit Decoder(Bytes encoded) : source_{.bytes = encoded} {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source_, on_error, on_warning);
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw DataError("not enough memory to decode it");
    }
    png_set_read_fn(png_, &source_, on_read);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { png_destroy_read_struct(&png_, &info_, nullptr); }

  // An image of the size, bands and type that the pixels will have.
  Image prepare() {
    if (!read_info()) {
      fail();
    }
    const int bands = png_get_channels(png_, info_);
    return {static_cast<int>(png_get_image_height(png_, info_)),
            static_cast<int>(png_get_image_width(png_, info_)), bands,
            png_get_bit_depth(png_, info_) == 16 ? PixelType::kUint16 : PixelType::kUint8};
  }

  void decode(Image& image) {
    const auto bytes = image.bytes();
    const auto height = static_cast<std::size_t>(image.height());
    check(png_get_rowbytes(png_, info_) == bytes.size() / height, "libpng changed its mind");
    std::vector<png_bytep> rows(height);
    for (std::size_t y = 0; y < height; ++y) {
      rows[y] = reinterpret_cast<png_bytep>(&bytes[y * (bytes.size() / height)]);
    }
    if (!read_pixels(rows.data())) {
      fail();
    }
  }

 private:
  bool read_info() {
    if (setjmp(png_jmpbuf(png_)) != 0) {  // NOLINT(cert-err52-cpp): libpng has no other way
      return false;
    }
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the pixels are counted before
    png_read_info(png_, info_);
    png_set_palette_to_rgb(png_);
    if (png_get_color_type(png_, info_) == PNG_COLOR_TYPE_GRAY) {
      png_set_expand_gray_1_2_4_to_8(png_);
    }
    png_set_strip_alpha(png_);
    if (std::endian::native == std::endian::little) {
      png_set_swap(png_);
    }
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool read_pixels(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) {  // NOLINT(cert-err52-cpp): libpng has no other way
      return false;
    }
    png_read_image(png_, rows);
    png_read_end(png_, nullptr);
    return true;
  }

  [[noreturn]] void fail() const {
    const std::string_view problem = source_.problem;
    throw DataError(problem == "truncated" ? "truncated" : fmt::format("corrupt ({})", problem));
  }

  Source source_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

// Orientation of the eXIf chunk (PNG 1.5 extension of 2017), 1 when there is none.
int orientation_of(Bytes encoded) {
  const ByteReader reader(encoded, ByteReader::Order::kBig);
  std::size_t at = 8;
  while (at + 12 <= encoded.size()) {
    const std::size_t length = reader.u32(at);
    if (reader.text(at + 4, 4) == "eXIf") {
      return exif_orientation(reader.part(at + 8, length));
    }
    at += 12 + length;
  }
  return 1;
}

// libpng takes memory for a chunk before it looks for its bytes.
void check_chunks(Bytes encoded) {
  const ByteReader reader(encoded, ByteReader::Order::kBig);
  constexpr std::size_t kFrame = 12;  // length, type and checksum
  std::size_t at = 8;
  bool ended = false;
  while (!ended) {
    const std::size_t length = reader.u32(at);
    if (at + kFrame + length > encoded.size()) {
      throw DataError(fmt::format("truncated: a chunk claims {} bytes", length));
    }
    ended = reader.text(at + 4, 4) == "IEND";
    at += kFrame + length;
  }
}

}  // namespace

ImageHeader read_png_header(Bytes encoded) {
  const ByteReader reader(encoded, ByteReader::Order::kBig);
  if (reader.text(12, 4) != "IHDR") {
    throw DataError("corrupt: it does not begin with IHDR");
  }
  return {.format = "png", .height = reader.u32(20), .width = reader.u32(16)};
}

Image decode_png(Bytes encoded, const ImageHeader& header) {
  // Deflate shrinks at most 1032-fold (zlib's technical notes) and a pixel takes at least one bit.
  constexpr std::int64_t kMaxPixelsPerByte = std::int64_t{1032} * 8;
  if (header.height * header.width / kMaxPixelsPerByte >
      static_cast<std::int64_t>(encoded.size())) {
    throw DataError(fmt::format("claims {} x {} pixels, too many for {} bytes", header.height,
                                header.width, encoded.size()));
  }
  check_chunks(encoded);
  Decoder decoder(encoded);
  Image image = decoder.prepare();
  decoder.decode(image);
  return upright(std::move(image), orientation_of(encoded));
}

}  // namespace viewfold::codec
