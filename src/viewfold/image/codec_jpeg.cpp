// Decodes JPEG with libjpeg-turbo; a damaged file is an error, not a half-grey picture.
#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <turbojpeg.h>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/codec_detail.hpp"

namespace viewfold::codec {
namespace {

// Markers of ITU-T T.81, Table B.1.
constexpr std::uint32_t kStartOfScan = 0xDA;
constexpr std::uint32_t kEndOfImage = 0xD9;
constexpr std::uint32_t kApp1 = 0xE1;
constexpr std::uint32_t kApp14 = 0xEE;

bool is_frame(std::uint32_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

bool has_no_length(std::uint32_t marker) {
  return marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8);
}

void read_segment(const ByteReader& segment, std::uint32_t marker, JpegHeader& header) {
  using namespace std::string_view_literals;
  constexpr auto kExif = "Exif\0\0"sv;
  if (is_frame(marker)) {
    header.arithmetic = marker >= 0xC9;
    header.height = segment.u16(1);
    header.width = segment.u16(3);
    header.components = static_cast<int>(segment.u8(5));
  } else if (marker == kApp1 && segment.size() >= kExif.size() &&
             segment.text(0, kExif.size()) == kExif) {
    header.orientation =
        exif_orientation(segment.part(kExif.size(), segment.size() - kExif.size()));
  } else if (marker == kApp14 && segment.size() >= 12 && segment.text(0, 5) == "Adobe"sv) {
    header.adobe = true;
  }
}

// Backwards, because bytes of a thumbnail look the same but stand before the scan. Within the
// scan's data, 0xFF is never followed by 0xD9 (T.81, Section B.1.1.5).
bool ends_after(Bytes encoded, std::size_t scan) {
  for (std::size_t i = encoded.size() - 1; i > scan; --i) {
    if (encoded[i - 1] == std::byte{0xFF} && encoded[i] == std::byte{kEndOfImage}) {
      return true;
    }
  }
  return false;
}

// Of libjpeg's warnings, those after which every pixel is still as it was stored.
bool is_harmless(std::string_view warning) {
  constexpr std::array<std::string_view, 4> kHarmless{
      "extraneous bytes before marker",        // padding between segments, written by cameras
      "unknown JFIF revision",                 //
      "Unknown Adobe color transform",         //
      "Invalid SOS parameters for sequential"  // wrong spectral selection, ignored by everybody
  };
  return std::any_of(kHarmless.begin(), kHarmless.end(), [&](std::string_view text) {
    return warning.find(text) != std::string_view::npos;
  });
}

void check_size(const JpegHeader& header, std::size_t bytes) {
  // A block has at most 64 pixels and takes at least one bit, so 512 pixels need a byte; twice that
  // for luck. A header that claims more lies, and costs no memory.
  constexpr std::int64_t kMaxPixelsPerByte = 1024;
  const std::int64_t pixels = header.height * header.width;
  if (!header.arithmetic && pixels / kMaxPixelsPerByte > static_cast<std::int64_t>(bytes)) {
    throw DataError(fmt::format("claims {} x {} pixels, too many for {} bytes", header.height,
                                header.width, bytes));
  }
}

int allowed_reduction(const JpegHeader& header, const ReductionChoice& choose) {
  const auto height = static_cast<int>(header.height);
  const auto width = static_cast<int>(header.width);
  constexpr int kTransposed = 5;  // from this EXIF orientation on, rows are columns
  const int smaller =
      header.orientation < kTransposed ? choose(height, width) : choose(width, height);
  check(smaller == 1 || smaller == 2 || smaller == 4 || smaller == 8,
        "a picture is reduced to a half, a quarter or an eighth");
  const bool whole = height % smaller == 0 && width % smaller == 0;
  return header.orientation == 1 || whole ? smaller : 1;
}

// As libjpeg scales.
int reduced(std::int64_t side, int smaller) {
  return static_cast<int>((side + smaller - 1) / smaller);
}

Image rgb_of_cmyk(const Image& cmyk, bool inverted) {
  Image rgb(cmyk.height(), cmyk.width(), 3);
  const auto source = cmyk.values<std::uint8_t>();
  const auto target = rgb.values<std::uint8_t>();
  // Photoshop stores paper as 255 and says so with an Adobe marker.
  const std::uint8_t flip = inverted ? 0 : 255;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const std::size_t pixel = i / 3 * 4;
    const int paper = source[pixel + i % 3] ^ flip;
    const int light = source[pixel + 3] ^ flip;
    target[i] = static_cast<std::uint8_t>((paper * light + 127) / 255);
  }
  return rgb;
}

}  // namespace

JpegHeader read_jpeg_header(Bytes encoded) {
  const ByteReader reader(encoded, ByteReader::Order::kBig);
  JpegHeader header;
  std::size_t at = 2;
  while (true) {
    if (reader.u8(at) != 0xFF || reader.u8(at + 1) == 0xFF || reader.u8(at + 1) == 0) {
      ++at;  // fill bytes, and padding that some cameras write
      continue;
    }
    const std::uint32_t marker = reader.u8(at + 1);
    if (marker == kStartOfScan || marker == kEndOfImage) {
      break;
    }
    at += 2;
    if (has_no_length(marker)) {
      continue;
    }
    const std::uint32_t length = reader.u16(at);
    if (length < 2) {
      throw DataError(fmt::format("corrupt: a segment of {} bytes", length));
    }
    const Bytes segment = reader.part(at + 2, length - 2);
    read_segment(ByteReader(segment, ByteReader::Order::kBig), marker, header);
    at += length;
  }
  header.scan_offset = at;
  header.has_end = ends_after(encoded, at + 1);
  if (header.components == 0) {
    throw DataError("corrupt: it has no frame header");
  }
  return header;
}

Image decode_jpeg(Bytes encoded, const ReductionChoice& choose) {
  const JpegHeader header = read_jpeg_header(encoded);
  const int bands = header.components;
  if (bands != 1 && bands != 3 && bands != 4) {
    throw DataError(fmt::format("{} components are not supported", bands));
  }
  if (!header.has_end) {
    throw DataError("truncated: no end-of-image marker");
  }
  check_size(header, encoded.size());
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), tjDestroy);
  const int smaller = choose ? allowed_reduction(header, choose) : 1;
  Image image(reduced(header.height, smaller), reduced(header.width, smaller), bands);
  const int format = bands == 1 ? TJPF_GRAY : bands == 3 ? TJPF_RGB : TJPF_CMYK;
  const int failed =
      tjDecompress2(decoder.get(), reinterpret_cast<const unsigned char*>(encoded.data()),
                    encoded.size(), reinterpret_cast<unsigned char*>(image.bytes().data()),
                    image.width(), 0, image.height(), format, TJFLAG_LIMITSCANS);
  if (failed != 0) {
    const std::string_view message = tjGetErrorStr2(decoder.get());
    if (tjGetErrorCode(decoder.get()) != TJERR_WARNING || !is_harmless(message)) {
      throw DataError(fmt::format("corrupt or truncated ({})", message));
    }
  }
  if (bands == 4) {
    image = rgb_of_cmyk(image, header.adobe);
  }
  return upright(std::move(image), header.orientation);
}

}  // namespace viewfold::codec
