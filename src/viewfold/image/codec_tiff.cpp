// Decodes TIFF with libtiff from memory; of several pages the first.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <tiffio.h>
#include <vector>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/codec_detail.hpp"

namespace viewfold::codec {
namespace {

// The bytes as libtiff reads them, and the first thing it complained about.
struct Source {
  Bytes bytes;
  std::size_t position = 0;
  std::string problem{};
};

Source& source_of(thandle_t handle) {
  return *static_cast<Source*>(handle);
}

tmsize_t on_read(thandle_t handle, void* out, tmsize_t count) {
  Source& source = source_of(handle);
  const std::size_t left = source.bytes.size() - std::min(source.position, source.bytes.size());
  const std::size_t taken = std::min(left, static_cast<std::size_t>(count));
  if (taken > 0) {
    std::memcpy(out, source.bytes.data() + source.position, taken);
    source.position += taken;
  }
  return static_cast<tmsize_t>(taken);
}

tmsize_t on_write(thandle_t /*handle*/, void* /*data*/, tmsize_t /*count*/) {
  return 0;
}

toff_t on_seek(thandle_t handle, toff_t offset, int whence) {
  Source& source = source_of(handle);
  const std::size_t base = whence == SEEK_CUR   ? source.position
                           : whence == SEEK_END ? source.bytes.size()
                                                : 0;
  source.position = base + offset;
  return source.position;
}

int on_close(thandle_t /*handle*/) {
  return 0;
}

toff_t on_size(thandle_t handle) {
  return source_of(handle).bytes.size();
}

int on_error(TIFF* /*tiff*/, void* user, const char* module, const char* format, va_list args) {
  auto& problem = static_cast<Source*>(user)->problem;
  if (problem.empty()) {
    char text[160] = {};
    std::vsnprintf(text, sizeof(text), format, args);
    problem = module == nullptr || *module == '\0' ? std::string(text)
                                                   : fmt::format("{}: {}", module, text);
  }
  return 1;  // nobody else is told: the default prints
}

int on_warning(TIFF* /*tiff*/,
               void* /*user*/,
               const char* /*module*/,
               const char* /*format*/,
               va_list /*args*/) {
  return 1;
}

using Tiff = std::unique_ptr<TIFF, void (*)(TIFF*)>;

[[noreturn]] void fail(const Source& source) {
  throw DataError(fmt::format("corrupt or truncated ({})",
                              source.problem.empty() ? "no reason given" : source.problem));
}

Tiff open(Source& source) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, &source);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), on_warning, &source);
  // Tables of a header that lies are refused by their size; no strip of an accepted image is
  // larger.
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), tmsize_t{8} * kMaxPixels);
  // "m": the bytes may not be mapped, so that every access goes through the bounds above.
  Tiff tiff(TIFFClientOpenExt("memory", "rm", &source, on_read, on_write, on_seek, on_close,
                              on_size, nullptr, nullptr, options.get()),
            TIFFClose);
  if (tiff == nullptr) {
    fail(source);
  }
  return tiff;
}

std::uint16_t tag_or(TIFF* tiff, std::uint32_t tag, std::uint16_t fallback) {
  std::uint16_t value = fallback;
  return TIFFGetFieldDefaulted(tiff, tag, &value) == 1 ? value : fallback;
}

// Everything but 16 bits: libtiff brings palettes, CMYK, YCbCr, tiles and planes to RGBA itself.
Image decode_as_rgba(TIFF* tiff, const Source& source, const ImageHeader& header) {
  const auto width = static_cast<std::uint32_t>(header.width);
  const auto height = static_cast<std::uint32_t>(header.height);
  char reason[1024] = {};
  if (TIFFRGBAImageOK(tiff, reason) == 0) {
    throw DataError(fmt::format("not supported ({})", reason));
  }
  // As stored, not turned: libtiff only mirrors, upright() exchanges the axes too.
  const int stored = tag_or(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
  std::vector<std::uint32_t> raster(std::size_t{width} * height);
  if (TIFFReadRGBAImageOriented(tiff, width, height, raster.data(), stored, 1) == 0) {
    fail(source);
  }
  const auto photometric = tag_or(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB);
  const bool gray = photometric == PHOTOMETRIC_MINISBLACK || photometric == PHOTOMETRIC_MINISWHITE;
  Image image(static_cast<int>(height), static_cast<int>(width), gray ? 1 : 3);
  const auto target = image.values<std::uint8_t>();
  const auto bands = static_cast<std::size_t>(image.bands());
  for (std::size_t i = 0; i < target.size(); ++i) {
    target[i] = static_cast<std::uint8_t>(raster[i / bands] >> (8 * (i % bands)));
  }
  return image;
}

Image decode_deep(TIFF* tiff, const Source& source, const ImageHeader& header) {
  const auto photometric = tag_or(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
  const bool gray = photometric == PHOTOMETRIC_MINISBLACK || photometric == PHOTOMETRIC_MINISWHITE;
  const std::size_t samples = tag_or(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
  const std::size_t bands = gray ? 1 : 3;
  const bool planes =
      samples > 1 && tag_or(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) != PLANARCONFIG_CONTIG;
  if ((!gray && photometric != PHOTOMETRIC_RGB) || planes || TIFFIsTiled(tiff) != 0 ||
      samples < bands ||
      tag_or(tiff, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT) != SAMPLEFORMAT_UINT) {
    throw DataError(
        "16-bit TIFF is supported as unsigned gray or RGB in strips; convert it to PNG");
  }
  Image image(static_cast<int>(header.height), static_cast<int>(header.width),
              static_cast<int>(bands), PixelType::kUint16);
  const auto target = image.values<std::uint16_t>();
  const auto width = static_cast<std::size_t>(header.width);
  std::vector<std::uint16_t> line(width * samples);
  check(static_cast<std::size_t>(TIFFScanlineSize(tiff)) <= line.size() * sizeof(line[0]),
        "a line of a TIFF is longer than its pixels");
  const std::uint16_t flip = photometric == PHOTOMETRIC_MINISWHITE ? 0xFFFF : 0;
  for (std::size_t y = 0; y < static_cast<std::size_t>(header.height); ++y) {
    if (TIFFReadScanline(tiff, line.data(), static_cast<std::uint32_t>(y), 0) != 1) {
      fail(source);
    }
    for (std::size_t i = 0; i < width * bands; ++i) {
      target[y * width * bands + i] = line[i / bands * samples + i % bands] ^ flip;
    }
  }
  return image;
}

// Uncompressed strips that lie outside the file would be read as nothing, one by one.
void check_size(TIFF* tiff, const ImageHeader& header, std::size_t bytes) {
  constexpr int kMostSamples = 64;  // ours: a lie costs the memory of a strip of them
  const int samples = tag_or(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
  if (samples > kMostSamples) {
    throw DataError(fmt::format("{} samples to a pixel are not supported", samples));
  }
  const std::int64_t bits = tag_or(tiff, TIFFTAG_BITSPERSAMPLE, 1);
  if (tag_or(tiff, TIFFTAG_COMPRESSION, COMPRESSION_NONE) == COMPRESSION_NONE &&
      header.height * header.width / 8 * bits > static_cast<std::int64_t>(bytes)) {
    throw DataError(fmt::format("truncated: {} x {} pixels do not fit into {} bytes", header.height,
                                header.width, bytes));
  }
}

}  // namespace

ImageHeader read_tiff_header(Bytes encoded) {
  Source source{.bytes = encoded};
  const Tiff tiff = open(source);
  std::uint32_t height = 0;
  std::uint32_t width = 0;
  if (TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height) != 1 ||
      TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) != 1) {
    throw DataError("corrupt: no width and height");
  }
  return {.format = "tiff", .height = height, .width = width};
}

Image decode_tiff(Bytes encoded, const ImageHeader& header) {
  Source source{.bytes = encoded};
  const Tiff tiff = open(source);
  check_size(tiff.get(), header, encoded.size());
  const int orientation = tag_or(tiff.get(), TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
  const bool deep = tag_or(tiff.get(), TIFFTAG_BITSPERSAMPLE, 1) == 16;
  Image image =
      deep ? decode_deep(tiff.get(), source, header) : decode_as_rgba(tiff.get(), source, header);
  return upright(std::move(image), orientation);
}

}  // namespace viewfold::codec
