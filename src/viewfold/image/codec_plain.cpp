// Decodes the formats without compression: BMP through OpenCV, and the PNM family.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include <fmt/format.h>
#include <opencv2/imgcodecs.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/image/codec_detail.hpp"

namespace viewfold::codec {
namespace {

constexpr std::size_t kBmpFileHeader = 14;

std::int64_t magnitude(std::uint32_t value) {
  const auto number = static_cast<std::int64_t>(static_cast<std::int32_t>(value));
  return number < 0 ? -number : number;
}

// OpenCV prints what it cannot decode, so it gets only what it can.
void check_bmp(Bytes encoded, const ImageHeader& header) {
  const ByteReader reader(encoded, ByteReader::Order::kLittle);
  const bool core = reader.u32(kBmpFileHeader) == 12;
  const std::int64_t bits = reader.u16(kBmpFileHeader + (core ? 10 : 14));
  const std::uint32_t compression = core ? 0 : reader.u32(kBmpFileHeader + 16);
  constexpr std::uint32_t kBitFields = 3;
  constexpr std::array<std::int64_t, 6> kBits{1, 4, 8, 16, 24, 32};
  const bool packed = compression == kBitFields && (bits == 16 || bits == 32);
  if (std::find(kBits.begin(), kBits.end(), bits) == kBits.end() || (compression != 0 && !packed)) {
    throw DataError(fmt::format("{} bits with compression {} are not supported; convert it to PNG",
                                bits, compression));
  }
  const std::uint32_t colours = core || bits > 8 ? 0 : reader.u32(kBmpFileHeader + 32);
  if (colours > 256) {
    throw DataError(fmt::format("corrupt: a palette of {} colours", colours));
  }
  const std::int64_t all_colours =
      colours == 0 ? std::int64_t{1} << std::min<std::int64_t>(bits, 8) : colours;
  const std::int64_t palette = bits > 8 ? 0 : (core ? 3 : 4) * all_colours;
  const std::int64_t masks = packed && bits == 16 ? 12 : 0;
  const std::int64_t header_end =
      std::int64_t{kBmpFileHeader} + reader.u32(kBmpFileHeader) + palette + masks;
  if (header_end > static_cast<std::int64_t>(encoded.size())) {
    throw DataError(
        fmt::format("truncated: {} bytes, its header claims {}", encoded.size(), header_end));
  }
  const std::int64_t row = (header.width * bits + 31) / 32 * 4;
  const std::int64_t needed = std::int64_t{reader.u32(10)} + row * header.height;
  if (needed > static_cast<std::int64_t>(encoded.size())) {
    throw DataError(fmt::format("truncated: {} bytes, {} x {} pixels need {}", encoded.size(),
                                header.height, header.width, needed));
  }
}

// Reads the numbers of a PNM header and of its text variants.
class PnmReader {
 public:
  explicit PnmReader(Bytes bytes) : reader_(bytes, ByteReader::Order::kBig) {}

  [[nodiscard]] char magic() const { return static_cast<char>(reader_.u8(1)); }
  [[nodiscard]] std::size_t position() const { return position_; }

  // The next number of at most `digits` digits, behind white space and comments.
  std::int64_t number(int digits) {
    skip_space();
    std::int64_t value = 0;
    int seen = 0;
    while (position_ < reader_.size() && seen < digits && is_digit(reader_.u8(position_))) {
      value = 10 * value + (reader_.u8(position_) - '0');
      ++position_;
      ++seen;
    }
    if (seen == 0) {
      throw DataError(position_ >= reader_.size() ? "truncated" : "corrupt: expected a number");
    }
    return value;
  }

  // One byte of white space stands between the header and binary pixels.
  void end_header() { position_ += 1; }

 private:
  static bool is_digit(std::uint32_t c) { return c >= '0' && c <= '9'; }
  static bool is_space(std::uint32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

  void skip_space() {
    bool comment = false;
    for (; position_ < reader_.size(); ++position_) {
      const std::uint32_t c = reader_.u8(position_);
      comment = comment ? c != '\n' && c != '\r' : c == '#';
      if (!comment && !is_space(c)) {
        return;
      }
    }
  }

  ByteReader reader_;
  std::size_t position_ = 2;
};

struct PnmHeader {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t white = 1;
  int bands = 1;
  bool bitmap = false;
  bool text = false;
};

constexpr int kMaxDigits = 9;

PnmHeader read_pnm(PnmReader& reader) {
  const char magic = reader.magic();
  PnmHeader header;
  header.text = magic <= '3';
  header.bitmap = magic == '1' || magic == '4';
  header.bands = magic == '3' || magic == '6' ? 3 : 1;
  header.width = reader.number(kMaxDigits);
  header.height = reader.number(kMaxDigits);
  header.white = header.bitmap ? 1 : reader.number(kMaxDigits);
  if (header.white < 1 || header.white > 65535) {
    throw DataError(fmt::format("corrupt: largest value {} is not in 1 .. 65535", header.white));
  }
  reader.end_header();
  return header;
}

void check_pnm_size(const PnmHeader& header, std::size_t left) {
  const std::int64_t values = header.height * header.width * header.bands;
  std::int64_t needed = values;  // P1: a digit each, and no space needed between
  if (header.bitmap && !header.text) {
    needed = (header.width + 7) / 8 * header.height;
  } else if (header.text && !header.bitmap) {
    needed = 2 * values - 1;
  } else if (header.white > 255) {
    needed = 2 * values;
  }
  if (needed > static_cast<std::int64_t>(left)) {
    throw DataError(fmt::format("truncated: {} bytes of pixels, {} x {} need {}", left,
                                header.height, header.width, needed));
  }
}

// The value at `index` in HWC order as it stands in the file.
std::int64_t pnm_value(PnmReader& reader,
                       Bytes pixels,
                       const PnmHeader& header,
                       std::size_t index) {
  if (header.text) {
    return reader.number(header.bitmap ? 1 : kMaxDigits);
  }
  const ByteReader bytes(pixels, ByteReader::Order::kBig);
  if (header.bitmap) {
    const auto width = static_cast<std::size_t>(header.width);
    const std::size_t column = index % width;
    const std::uint32_t octet = bytes.u8(index / width * ((width + 7) / 8) + column / 8);
    return (octet >> (7 - column % 8)) & 1U;
  }
  return header.white > 255 ? bytes.u16(2 * index) : bytes.u8(index);
}

template <class T>
void fill_pnm(PnmReader& reader, Bytes pixels, const PnmHeader& header, Image& image) {
  constexpr std::int64_t kWhite = std::numeric_limits<T>::max();
  const auto target = image.values<T>();
  for (std::size_t i = 0; i < target.size(); ++i) {
    std::int64_t value = pnm_value(reader, pixels, header, i);
    if (value > header.white) {
      throw DataError(fmt::format("corrupt: value {} above the largest, {}", value, header.white));
    }
    value = header.bitmap ? 1 - value : value;  // in a bitmap, 1 is black
    target[i] = static_cast<T>((value * kWhite + header.white / 2) / header.white);
  }
}

}  // namespace

ImageHeader read_bmp_header(Bytes encoded) {
  const ByteReader reader(encoded, ByteReader::Order::kLittle);
  const std::uint32_t size = reader.u32(kBmpFileHeader);
  if (size == 12) {  // OS/2
    return {.format = "bmp",
            .height = reader.u16(kBmpFileHeader + 6),
            .width = reader.u16(kBmpFileHeader + 4)};
  }
  if (size < 40) {
    throw DataError(fmt::format("corrupt: an information header of {} bytes", size));
  }
  return {.format = "bmp",
          .height = magnitude(reader.u32(kBmpFileHeader + 8)),  // negative: rows from the top
          .width = magnitude(reader.u32(kBmpFileHeader + 4))};
}

Image decode_bmp(Bytes encoded, const ImageHeader& header) {
  check_bmp(encoded, header);
  const cv::Mat bytes(1, static_cast<int>(encoded.size()), CV_8UC1,
                      const_cast<std::byte*>(encoded.data()));  // NOLINT: only read
  const cv::Mat pixels = cv::imdecode(bytes, cv::IMREAD_UNCHANGED);
  if (pixels.empty() || pixels.depth() != CV_8U) {
    throw DataError("corrupt");
  }
  const int channels = pixels.channels();
  Image image(pixels.rows, pixels.cols, channels == 1 ? 1 : 3);
  const auto target = image.values<std::uint8_t>();
  for (int y = 0; y < pixels.rows; ++y) {
    const std::uint8_t* row = pixels.ptr<std::uint8_t>(y);
    for (int x = 0; x < pixels.cols * image.bands(); ++x) {
      // Blue, green, red (and alpha) to red, green, blue.
      const int source = channels == 1 ? x : x / 3 * channels + 2 - x % 3;
      target[static_cast<std::size_t>(y) * static_cast<std::size_t>(pixels.cols * image.bands()) +
             static_cast<std::size_t>(x)] = row[source];
    }
  }
  return image;
}

ImageHeader read_pnm_header(Bytes encoded) {
  PnmReader reader(encoded);
  const PnmHeader header = read_pnm(reader);
  return {.format = "pnm", .height = header.height, .width = header.width};
}

Image decode_pnm(Bytes encoded, const ImageHeader& /*header*/) {
  PnmReader reader(encoded);
  const PnmHeader header = read_pnm(reader);
  const Bytes pixels = encoded.subspan(std::min(reader.position(), encoded.size()));
  check_pnm_size(header, pixels.size());
  const bool deep = header.white > 255;
  Image image(static_cast<int>(header.height), static_cast<int>(header.width), header.bands,
              deep ? PixelType::kUint16 : PixelType::kUint8);
  if (deep) {
    fill_pnm<std::uint16_t>(reader, pixels, header, image);
  } else {
    fill_pnm<std::uint8_t>(reader, pixels, header, image);
  }
  return image;
}

}  // namespace viewfold::codec
