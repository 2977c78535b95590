// Implements the way from pixels to normalised tensors.
#include "viewfold/tensor/image_tensor.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/kernels/normalize.hpp"

namespace viewfold {
Normalizer::Normalizer(const Normalization& normalization) : bands_(normalization.mean.size()) {
  check(bands_ >= 1 && normalization.std.size() == bands_,
        "one mean and one std per band is needed");
  constexpr std::array kWhite = {255.0, 65535.0, 1.0};  // in the order of PixelType
  for (std::size_t type = 0; type < patterns_.size(); ++type) {
    auto& pattern = patterns_[type];
    for (std::size_t i = 0; i < bands_ * kNormalizeRepeats; ++i) {
      const double std = normalization.std[i % bands_];
      pattern.scale.push_back(static_cast<float>(1.0 / (kWhite[type] * std)));
      pattern.shift.push_back(static_cast<float>(-normalization.mean[i % bands_] / std));
    }
  }
}

const Normalizer::Pattern& Normalizer::pattern_for(const Image& image) const {
  if (static_cast<std::size_t>(image.bands()) != bands_) {  // formatted only when needed
    check(false,
          fmt::format("{} bands cannot be normalised by statistics of {}", image.bands(), bands_));
  }
  return patterns_[static_cast<std::size_t>(image.type())];
}

void Normalizer::write(const Image& image, std::span<float> out) const {
  const auto& pattern = pattern_for(image);
  scale_and_shift(image, pattern.scale, pattern.shift, out);
}

void Normalizer::write(const Image& image, std::span<at::BFloat16> out) const {
  static_assert(sizeof(Bfloat16) == sizeof(at::BFloat16));
  const auto& pattern = pattern_for(image);
  scale_and_shift(image, pattern.scale, pattern.shift,
                  std::span(reinterpret_cast<Bfloat16*>(out.data()), out.size()));
}

void write_normalized(const Image& image,
                      const Normalization& normalization,
                      std::span<float> out) {
  Normalizer(normalization).write(image, out);
}

at::Tensor empty_channels_last(
    std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w, at::ScalarType type) {
  return at::empty({n, c, h, w}, at::TensorOptions(type), at::MemoryFormat::ChannelsLast);
}

at::Tensor to_tensor(std::span<const Image> images, const Normalization& normalization) {
  check(!images.empty(), "to_tensor needs at least one image");
  const Image& first = images.front();
  auto out = empty_channels_last(static_cast<std::int64_t>(images.size()), first.bands(),
                                 first.height(), first.width());
  auto* data = out.data_ptr<float>();
  const Normalizer normalizer(normalization);
  for (const Image& image : images) {
    check(image.height() == first.height() && image.width() == first.width() &&
              image.bands() == first.bands(),
          "all images of a tensor must have one size");
    normalizer.write(image, {data, image.value_count()});
    data += image.value_count();
  }
  return out;
}

std::string shape_text(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes().begin(), tensor.sizes().end(), ", "));
}

}  // namespace viewfold
