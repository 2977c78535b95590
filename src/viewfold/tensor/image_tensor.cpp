// Implements the way from pixels to normalised tensors.
#include "viewfold/tensor/image_tensor.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

template <class T>
void write_values(std::span<const T> values,
                  float full_scale,
                  const Normalization& normalization,
                  std::span<float> out) {
  const std::size_t bands = normalization.mean.size();
  std::vector<float> scale(bands);
  std::vector<float> shift(bands);
  for (std::size_t b = 0; b < bands; ++b) {
    scale[b] = static_cast<float>(1.0 / (full_scale * normalization.std[b]));
    shift[b] = static_cast<float>(-normalization.mean[b] / normalization.std[b]);
  }
  for (std::size_t i = 0; i < values.size(); i += bands) {
    for (std::size_t b = 0; b < bands; ++b) {
      out[i + b] = static_cast<float>(values[i + b]) * scale[b] + shift[b];
    }
  }
}

}  // namespace

void write_normalized(const Image& image,
                      const Normalization& normalization,
                      std::span<float> out) {
  const auto bands = static_cast<std::size_t>(image.bands());
  check(normalization.mean.size() == bands && normalization.std.size() == bands,
        fmt::format("{} bands cannot be normalised by statistics of {}", bands,
                    normalization.mean.size()));
  check(out.size() == image.value_count(), "the output must hold exactly the values of the image");
  switch (image.type()) {
    case PixelType::kUint8:
      return write_values(image.values<std::uint8_t>(), 255.0F, normalization, out);
    case PixelType::kUint16:
      return write_values(image.values<std::uint16_t>(), 65535.0F, normalization, out);
    case PixelType::kFloat32:
      return write_values(image.values<float>(), 1.0F, normalization, out);
  }
}

at::Tensor empty_channels_last(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
  return at::empty({n, c, h, w}, at::TensorOptions(at::kFloat), at::MemoryFormat::ChannelsLast);
}

at::Tensor to_tensor(std::span<const Image> images, const Normalization& normalization) {
  check(!images.empty(), "to_tensor needs at least one image");
  const Image& first = images.front();
  auto out = empty_channels_last(static_cast<std::int64_t>(images.size()), first.bands(),
                                 first.height(), first.width());
  auto* data = out.data_ptr<float>();
  for (const Image& image : images) {
    check(image.height() == first.height() && image.width() == first.width() &&
              image.bands() == first.bands(),
          "all images of a tensor must have one size");
    write_normalized(image, normalization, {data, image.value_count()});
    data += image.value_count();
  }
  return out;
}

std::string shape_text(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes().begin(), tensor.sizes().end(), ", "));
}

}  // namespace viewfold
