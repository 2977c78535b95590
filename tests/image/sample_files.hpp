// Encoded images for tests, made here so that no binary file has to be kept.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <tiffio.h>
#include <turbojpeg.h>
#include <unistd.h>
#include <vector>
#include <webp/encode.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/image/image.hpp"

namespace viewfold::testing {

using ByteVector = std::vector<std::byte>;

/// A new empty folder, removed with everything in it at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "viewfold-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline ByteVector bytes_of(std::string_view text) {
  const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

/// Why the bytes are no image; "" where they are one.
inline std::string reason_of(const ByteVector& bytes) {
  try {
    (void)decode_image(bytes);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

inline void write_bytes(const std::filesystem::path& path, const ByteVector& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

inline ByteVector load_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return bytes_of(text);
}

/// Keyed noise: every value matters to a comparison.
inline Image noise(int height,
                   int width,
                   int bands,
                   PixelType type = PixelType::kUint8,
                   std::uint32_t sample = 0) {
  Image image(height, width, bands, type);
  Rng rng({.seed = 1, .stream = "noise", .sample = sample});
  for (auto& byte : image.bytes()) {
    byte = static_cast<std::byte>(rng.below(256));
  }
  return image;
}

/// Slow ramps: what JPEG keeps almost as it is.
inline Image ramp(int height, int width, int bands) {
  Image image(height, width, bands);
  auto values = image.values<std::uint8_t>();
  const auto n = static_cast<std::size_t>(bands);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t x = i / n % static_cast<std::size_t>(width);
    const std::size_t y = i / n / static_cast<std::size_t>(width);
    values[i] = static_cast<std::uint8_t>(40 + 2 * x + 3 * y + 30 * (i % n));
  }
  return image;
}

inline ByteVector encode_webp(const Image& image) {
  std::uint8_t* out = nullptr;
  const std::size_t size = WebPEncodeLosslessRGB(image.values<std::uint8_t>().data(), image.width(),
                                                 image.height(), 3 * image.width(), &out);
  const ByteVector bytes = bytes_of({reinterpret_cast<const char*>(out), size});
  WebPFree(out);
  return bytes;
}

inline void append_u32(ByteVector& bytes, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<std::byte>(value >> shift));
  }
}

inline void append(ByteVector& bytes, const ByteVector& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

inline void append_u24(ByteVector& bytes, std::uint32_t value) {
  append_u32(bytes, value);
  bytes.pop_back();
}

/// An animation of two frames, by the container specification of WebP.
inline ByteVector encode_animated_webp(const Image& first, const Image& second) {
  ByteVector body = bytes_of("WEBPVP8X");
  append_u32(body, 10);
  append_u32(body, 0x02);  // animation
  append_u24(body, static_cast<std::uint32_t>(first.width() - 1));
  append_u24(body, static_cast<std::uint32_t>(first.height() - 1));
  append(body, bytes_of("ANIM"));
  append_u32(body, 6);
  append_u32(body, 0);
  body.resize(body.size() + 2);
  for (const Image* image : {&first, &second}) {
    const ByteVector still = encode_webp(*image);
    const ByteVector chunk(still.begin() + 12, still.end());
    append(body, bytes_of("ANMF"));
    append_u32(body, static_cast<std::uint32_t>(16 + chunk.size()));
    append_u24(body, 0);
    append_u24(body, 0);
    append_u24(body, static_cast<std::uint32_t>(image->width() - 1));
    append_u24(body, static_cast<std::uint32_t>(image->height() - 1));
    append_u32(body, 100);  // duration and flags
    append(body, chunk);
  }
  ByteVector file = bytes_of("RIFF");
  append_u32(file, static_cast<std::uint32_t>(body.size()));
  append(file, body);
  return file;
}

struct TiffOptions {
  int compression = COMPRESSION_LZW;
  int orientation = ORIENTATION_TOPLEFT;
  int pages = 1;
};

/// Writes through a file because libtiff's writer wants to seek.
inline ByteVector encode_tiff(const Image& image, const TiffOptions& options = {}) {
  const TemporaryFolder folder;
  const auto path = folder / "image.tiff";
  TIFF* const tiff = TIFFOpen(path.c_str(), "w");
  for (int page = 0; page < options.pages; ++page) {
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, image.width());
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, image.height());
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, image.bands());
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, image.type() == PixelType::kUint16 ? 16 : 8);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC,
                 image.bands() == 1 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, options.compression);
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, options.orientation);
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 4);
    Image copy = image;
    const std::size_t row = copy.bytes().size() / static_cast<std::size_t>(image.height());
    for (int y = 0; y < image.height(); ++y) {
      const int shown = page == 0 ? y : 0;  // later pages differ from the first
      TIFFWriteScanline(tiff, &copy.bytes()[static_cast<std::size_t>(shown) * row],
                        static_cast<std::uint32_t>(y), 0);
    }
    TIFFWriteDirectory(tiff);
  }
  TIFFClose(tiff);
  return load_bytes(path);
}

/// A 24-bit BMP, rows from the bottom.
inline ByteVector encode_bmp(const Image& image) {
  const auto width = static_cast<std::size_t>(image.width());
  const auto height = static_cast<std::size_t>(image.height());
  const std::size_t row = (3 * width + 3) / 4 * 4;
  ByteVector bytes = bytes_of("BM");
  for (const std::size_t value :
       {54 + row * height, std::size_t{0}, std::size_t{54}, std::size_t{40}, width, height,
        std::size_t{1 | (24U << 16U)}, std::size_t{0}, row * height}) {
    append_u32(bytes, static_cast<std::uint32_t>(value));
  }
  bytes.resize(54 + row * height);
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < 3 * width; ++x) {
      const std::size_t source = ((height - 1 - y) * width + x / 3) * 3 + 2 - x % 3;
      bytes[54 + y * row + x] = image.bytes()[source];
    }
  }
  return bytes;
}

/// P5 or P6 with the largest value of the pixel type.
inline ByteVector encode_pnm(const Image& image) {
  const bool deep = image.type() == PixelType::kUint16;
  ByteVector bytes = bytes_of((image.bands() == 1 ? "P5\n# made in a test\n" : "P6\n") +
                              std::to_string(image.width()) + " " + std::to_string(image.height()) +
                              (deep ? "\n65535\n" : "\n255\n"));
  for (std::size_t i = 0; i < image.value_count(); ++i) {
    if (deep) {
      bytes.push_back(image.bytes()[2 * i + 1]);
      bytes.push_back(image.bytes()[2 * i]);
    } else {
      bytes.push_back(image.bytes()[i]);
    }
  }
  return bytes;
}

/// A CMYK JPEG as libjpeg writes it: with an Adobe marker and the values as they are given.
inline ByteVector encode_cmyk_jpeg(const Image& cmyk) {
  const tjhandle encoder = tjInitCompress();
  unsigned char* out = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): type of the library's interface
  tjCompress2(encoder, cmyk.values<std::uint8_t>().data(), cmyk.width(), 0, cmyk.height(),
              TJPF_CMYK, &out, &size, TJSAMP_444, 95, 0);
  const ByteVector bytes = bytes_of({reinterpret_cast<const char*>(out), size});
  tjFree(out);
  tjDestroy(encoder);
  return bytes;
}

/// An EXIF block of one entry, the orientation.
inline ByteVector exif_of(int orientation) {
  ByteVector exif = bytes_of("II*");
  exif.push_back(std::byte{0});
  append_u32(exif, 8);
  append_u32(exif, 1U | (0x0112U << 16U));
  append_u32(exif, 3U | (1U << 16U));
  append_u32(exif, static_cast<std::uint32_t>(orientation) << 16U);
  append_u32(exif, 0);
  append_u32(exif, 0);
  return exif;
}

/// `jpeg` with an APP1 segment behind its first marker.
inline ByteVector with_orientation(const ByteVector& jpeg, int orientation) {
  const ByteVector exif = exif_of(orientation);
  ByteVector bytes(jpeg.begin(), jpeg.begin() + 2);
  const std::size_t length = 2 + 6 + exif.size();
  for (const std::size_t byte :
       {std::size_t{0xFF}, std::size_t{0xE1}, length >> 8U, length & 255U, std::size_t{'E'},
        std::size_t{'x'}, std::size_t{'i'}, std::size_t{'f'}, std::size_t{0}, std::size_t{0}}) {
    bytes.push_back(static_cast<std::byte>(byte));
  }
  append(bytes, exif);
  bytes.insert(bytes.end(), jpeg.begin() + 2, jpeg.end());
  return bytes;
}

}  // namespace viewfold::testing
