// Recognises image formats, checks what their headers claim, and hands over to the decoders.
#include "viewfold/image/codec.hpp"

#include <array>
#include <cstring>
#include <memory>
#include <turbojpeg.h>

#include <fmt/format.h>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/core/input_file.hpp"
#include "viewfold/image/codec_detail.hpp"

namespace viewfold {
namespace codec {

Bytes ByteReader::part(std::size_t offset, std::size_t count) const {
  if (offset > bytes_.size() || count > bytes_.size() - offset) {
    throw DataError(fmt::format("truncated: {} bytes, the header needs more", bytes_.size()));
  }
  return bytes_.subspan(offset, count);
}

std::string_view ByteReader::text(std::size_t offset, std::size_t count) const {
  const Bytes bytes = part(offset, count);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint32_t ByteReader::number(std::size_t offset, std::size_t count) const {
  const Bytes bytes = part(offset, count);
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = order_ == Order::kBig ? i : count - 1 - i;
    value = (value << 8U) | std::to_integer<std::uint32_t>(bytes[at]);
  }
  return value;
}

}  // namespace codec

namespace {

using codec::Bytes;

constexpr std::string_view kFormats = "jpeg, png, webp, bmp, tiff, pnm";

struct Format {
  std::string_view name;
  ImageHeader (*read_header)(Bytes);
  Image (*decode)(Bytes, const ImageHeader&);
};

ImageHeader read_jpeg_size(Bytes encoded) {
  const codec::JpegHeader header = codec::read_jpeg_header(encoded);
  return {.format = "jpeg", .height = header.height, .width = header.width};
}

Image decode_jpeg_of(Bytes encoded, const ImageHeader& /*header*/) {
  return codec::decode_jpeg(encoded);
}

constexpr std::array kTable{
    Format{"jpeg", read_jpeg_size, decode_jpeg_of},
    Format{"png", codec::read_png_header, codec::decode_png},
    Format{"webp", codec::read_webp_header, codec::decode_webp},
    Format{"bmp", codec::read_bmp_header, codec::decode_bmp},
    Format{"tiff", codec::read_tiff_header, codec::decode_tiff},
    Format{"pnm", codec::read_pnm_header, codec::decode_pnm},
};

bool starts_with(Bytes bytes, std::string_view magic, std::size_t offset = 0) {
  return bytes.size() >= offset + magic.size() &&
         std::memcmp(bytes.data() + offset, magic.data(), magic.size()) == 0;
}

// The format by its first bytes; "" when unknown. Names formats that cannot be decoded as well, to
// be able to say so.
std::string_view signature(Bytes bytes) {
  using namespace std::string_view_literals;
  struct Magic {
    std::string_view bytes;
    std::size_t offset;
    std::string_view format;
  };
  static constexpr std::array kMagics{
      Magic{"\xFF\xD8\xFF"sv, 0, "jpeg"},
      Magic{"\x89PNG\r\n\x1A\n"sv, 0, "png"},
      Magic{"WEBP"sv, 8, "webp"},
      Magic{"BM"sv, 0, "bmp"},
      Magic{"II*\0"sv, 0, "tiff"},
      Magic{"MM\0*"sv, 0, "tiff"},
      Magic{"GIF8"sv, 0, "gif"},
      Magic{"ftypavif"sv, 4, "avif"},
      Magic{"ftyphei"sv, 4, "heif"},
      Magic{"ftypmif1"sv, 4, "heif"},
      Magic{"\0\0\0\x0CjP"sv, 0, "jpeg 2000"},
      Magic{"II+\0"sv, 0, "bigtiff"},
      Magic{"P7\n"sv, 0, "pam"},
      Magic{"%PDF"sv, 0, "pdf"},
  };
  for (const Magic& magic : kMagics) {
    if (starts_with(bytes, magic.bytes, magic.offset)) {
      return magic.format;
    }
  }
  const bool pnm = bytes.size() >= 2 && bytes[0] == std::byte{'P'} && bytes[1] >= std::byte{'1'} &&
                   bytes[1] <= std::byte{'6'};
  return pnm ? "pnm" : "";
}

const Format& find_format(Bytes encoded) {
  if (encoded.empty()) {
    throw DataError("file is empty");
  }
  const std::string_view name = signature(encoded);
  for (const Format& format : kTable) {
    if (format.name == name) {
      return format;
    }
  }
  throw DataError(fmt::format("{}: not supported; formats are {}",
                              name.empty() ? "not an image" : name, kFormats));
}

ImageHeader checked_header(const Format& format, Bytes encoded) {
  ImageHeader header = format.read_header(encoded);
  if (header.height < 1 || header.width < 1) {
    throw DataError(fmt::format("an image of {} x {} has no pixels", header.height, header.width));
  }
  if (header.height > kMaxPixels / header.width) {
    throw DataError(fmt::format("claims {} x {} pixels, more than the {} that are accepted",
                                header.height, header.width, kMaxPixels));
  }
  return header;
}

template <class Work>
auto naming_format(const Format& format, Work work) {
  try {
    return work();
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", format.name, error.what()));
  } catch (const cv::Exception& error) {
    throw DataError(fmt::format("{}: {}", format.name, error.err));
  } catch (const std::bad_alloc&) {
    throw DataError(fmt::format("{}: not enough memory to decode it", format.name));
  }
}

}  // namespace

ImageHeader read_image_header(std::span<const std::byte> encoded) {
  const Format& format = find_format(encoded);
  return naming_format(format, [&] { return format.read_header(encoded); });
}

Image decode_image(std::span<const std::byte> encoded) {
  const Format& format = find_format(encoded);
  return naming_format(format,
                       [&] { return format.decode(encoded, checked_header(format, encoded)); });
}

Image decode_image(std::span<const std::byte> encoded, const ReductionChoice& choose) {
  const Format& format = find_format(encoded);
  if (!choose || format.name != "jpeg") {
    return decode_image(encoded);
  }
  return naming_format(format, [&] {
    (void)checked_header(format, encoded);
    return codec::decode_jpeg(encoded, choose);
  });
}

Image read_image(const std::filesystem::path& path) {
  return read_image(path, {});
}

Image read_image(const std::filesystem::path& path, const ReductionChoice& choose) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 31U;  // what the decoders can address
  const InputFile file(path);
  if (file.size() >= kMaxBytes) {
    throw DataError(
        fmt::format("{}: {} bytes are too many for one image", path.string(), file.size()));
  }
  const std::vector<std::byte> encoded = file.read_at(0, file.size());
  try {
    return decode_image(encoded, choose);
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", path.string(), error.what()));
  }
}

std::vector<std::byte> encode_png(const Image& image) {
  const int bands = image.bands();
  check(bands == 1 || bands == 3 || bands == 4,
        fmt::format("a PNG has 1, 3 or 4 bands, not {}", bands));
  check(image.type() != PixelType::kFloat32, "a PNG holds uint8 or uint16, not float32");
  const int depth = image.type() == PixelType::kUint8 ? CV_8U : CV_16U;
  // OpenCV's constructor for pixels of others takes no const; it only reads them here.
  const cv::Mat view(image.height(), image.width(), CV_MAKETYPE(depth, bands),
                     const_cast<std::byte*>(image.bytes().data()));  // NOLINT
  cv::Mat swapped;  // memory of its own: a copy of `view` would be converted in place
  if (bands == 1) {
    swapped = view;
  } else {
    cv::cvtColor(view, swapped, bands == 3 ? cv::COLOR_RGB2BGR : cv::COLOR_RGBA2BGRA);
  }
  std::vector<unsigned char> encoded;
  check(cv::imencode(".png", swapped, encoded), "OpenCV could not write the PNG");
  std::vector<std::byte> bytes(encoded.size());
  std::memcpy(bytes.data(), encoded.data(), encoded.size());
  return bytes;
}

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  check((image.bands() == 1 || image.bands() == 3) && image.type() == PixelType::kUint8,
        "a JPEG holds 1 or 3 bands of uint8");
  check(quality >= 1 && quality <= 100,
        fmt::format("the quality of a JPEG is 1 to 100, not {}", quality));
  const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), tjDestroy);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): type of the library's interface
  const bool gray = image.bands() == 1;
  const int failed =
      tjCompress2(encoder.get(), reinterpret_cast<const unsigned char*>(image.bytes().data()),
                  image.width(), 0, image.height(), gray ? TJPF_GRAY : TJPF_RGB, &buffer, &size,
                  gray ? TJSAMP_GRAY : TJSAMP_420, quality, 0);
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owner(buffer, tjFree);
  check(failed == 0, tjGetErrorStr2(encoder.get()));
  const auto* const begin = reinterpret_cast<const std::byte*>(buffer);
  return {begin, begin + size};
}

}  // namespace viewfold
