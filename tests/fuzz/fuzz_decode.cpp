// Feeds bytes to the image decoders: each must make a picture of them, or a DataError. Which
// decoder is tried, the seeds decide: one format seldom turns into another.
#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>
#include <zlib.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/codec.hpp"

namespace viewfold {
namespace {

using Bytes = std::span<const std::byte>;

// Pictures between this and kMaxPixels are accepted like smaller ones; decoding them would take all
// the time. Larger claims must be refused, and are tried.
constexpr std::int64_t kMostPixels = std::int64_t{1} << 20U;

bool takes_long(const ImageHeader& header) {
  return header.height > 0 && header.width > kMostPixels / header.height &&
         header.width <= kMaxPixels / header.height;
}

void decode(Bytes encoded) {
  try {
    const ImageHeader header = read_image_header(encoded);
    if (takes_long(header)) {
      return;
    }
    const Image image = decode_image(encoded);
    check((image.bands() == 1 || image.bands() == 3) && image.type() != PixelType::kFloat32,
          "a picture of another kind than promised");
    const bool upright = image.height() == header.height && image.width() == header.width;
    const bool turned = image.height() == header.width && image.width() == header.height;
    check(upright || turned, "a picture of another size than its header says");
    if (header.format == "jpeg") {
      constexpr int kSmaller = 4;
      const Image smaller = decode_image(encoded, [](int, int) { return kSmaller; });
      check(smaller.bands() == image.bands() && smaller.height() * kSmaller >= image.height() &&
                smaller.width() * kSmaller >= image.width(),
            "a reduced picture of another kind");
    }
  } catch (const DataError&) {
    return;
  }
}

// Gives the chunks of a PNG the checksums that belong to them: no other change gets past those.
void repair_checksums(std::vector<std::byte>& png) {
  constexpr std::size_t kFrame = 12;  // length, type and checksum
  const auto byte = [&png](std::size_t i) { return std::to_integer<std::uint32_t>(png[i]); };
  for (std::size_t at = 8; at + kFrame <= png.size();) {
    const std::size_t length =
        byte(at) << 24U | byte(at + 1) << 16U | byte(at + 2) << 8U | byte(at + 3);
    if (length > png.size() - at - kFrame) {
      return;
    }
    const auto* const content = reinterpret_cast<const Bytef*>(&png[at + 4]);
    const uLong sum = crc32(0, content, static_cast<uInt>(length + 4));
    at += length + kFrame;
    for (std::size_t i = 0; i < 4; ++i) {
      png[at - 1 - i] = static_cast<std::byte>(sum >> (8 * i));
    }
  }
}

}  // namespace
}  // namespace viewfold

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto encoded = std::as_bytes(std::span(data, size));
  viewfold::decode(encoded);
  constexpr std::string_view kPng = "\x89PNG\r\n\x1A\n";
  if (std::string_view(reinterpret_cast<const char*>(data), size).starts_with(kPng)) {
    std::vector<std::byte> png(encoded.begin(), encoded.end());
    viewfold::repair_checksums(png);
    viewfold::decode(png);
  }
  return 0;
}
