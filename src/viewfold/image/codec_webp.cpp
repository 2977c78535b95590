// Decodes WebP with libwebp; of an animation the first frame.
#include <algorithm>
#include <cstring>
#include <memory>
#include <webp/decode.h>
#include <webp/demux.h>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/codec_detail.hpp"

namespace viewfold::codec {
namespace {

const std::uint8_t* data_of(Bytes bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

WebPBitstreamFeatures features_of(Bytes encoded) {
  WebPBitstreamFeatures features{};
  const VP8StatusCode status = WebPGetFeatures(data_of(encoded), encoded.size(), &features);
  if (status == VP8_STATUS_NOT_ENOUGH_DATA) {
    throw DataError("truncated within the header");
  }
  if (status != VP8_STATUS_OK) {
    throw DataError("corrupt header");
  }
  return features;
}

Image decode_first_frame(Bytes encoded, const ImageHeader& header) {
  const WebPData data{data_of(encoded), encoded.size()};
  const std::unique_ptr<WebPAnimDecoder, void (*)(WebPAnimDecoder*)> decoder(
      WebPAnimDecoderNew(&data, nullptr), WebPAnimDecoderDelete);
  std::uint8_t* canvas = nullptr;  // owned by the decoder
  int timestamp = 0;
  if (decoder == nullptr || WebPAnimDecoderGetNext(decoder.get(), &canvas, &timestamp) == 0) {
    throw DataError("corrupt or truncated animation");
  }
  Image image(static_cast<int>(header.height), static_cast<int>(header.width), 3);
  const auto rgb = image.values<std::uint8_t>();
  for (std::size_t i = 0; i < rgb.size(); ++i) {
    rgb[i] = canvas[i / 3 * 4 + i % 3];
  }
  return image;
}

Image decode_still(Bytes encoded, const ImageHeader& header) {
  Image image(static_cast<int>(header.height), static_cast<int>(header.width), 3);
  const auto rgb = image.values<std::uint8_t>();
  if (WebPDecodeRGBInto(data_of(encoded), encoded.size(), rgb.data(), rgb.size(),
                        3 * image.width()) == nullptr) {
    throw DataError("corrupt or truncated");
  }
  return image;
}

int orientation_of(Bytes encoded) {
  const WebPData data{data_of(encoded), encoded.size()};
  const std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)> demuxer(WebPDemux(&data),
                                                                     WebPDemuxDelete);
  WebPChunkIterator chunk{};
  if (demuxer == nullptr || WebPDemuxGetChunk(demuxer.get(), "EXIF", 1, &chunk) == 0) {
    return 1;
  }
  const int orientation =
      exif_orientation({reinterpret_cast<const std::byte*>(chunk.chunk.bytes), chunk.chunk.size});
  WebPDemuxReleaseChunkIterator(&chunk);
  return orientation;
}

}  // namespace

ImageHeader read_webp_header(Bytes encoded) {
  const WebPBitstreamFeatures features = features_of(encoded);
  return {.format = "webp", .height = features.height, .width = features.width};
}

Image decode_webp(Bytes encoded, const ImageHeader& header) {
  Image image = features_of(encoded).has_animation != 0 ? decode_first_frame(encoded, header)
                                                        : decode_still(encoded, header);
  return upright(std::move(image), orientation_of(encoded));
}

}  // namespace viewfold::codec
