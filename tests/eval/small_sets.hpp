// Small data sets and encoders for the tests of evaluations.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/nn/encoder.hpp"

namespace viewfold::testing {

/// Images in memory.
class ImageList final : public Dataset {
 public:
  explicit ImageList(std::vector<Image> images, std::vector<std::int64_t> labels = {})
      : images_(std::move(images)),
        labels_(std::move(labels)) {}

  [[nodiscard]] std::size_t size() const override { return images_.size(); }
  [[nodiscard]] Image image(std::size_t index) const override { return images_.at(index); }
  [[nodiscard]] std::string name(std::size_t index) const override {
    return "list#" + std::to_string(index);
  }
  [[nodiscard]] std::optional<std::int64_t> label(std::size_t index) const override {
    return index < labels_.size() ? std::optional(labels_[index]) : std::nullopt;
  }
  [[nodiscard]] const std::vector<std::string>& class_names() const override { return names_; }

 private:
  std::vector<Image> images_;
  std::vector<std::int64_t> labels_;
  std::vector<std::string> names_;
};

inline Image random_image(int height, int width, int bands, std::uint64_t seed) {
  Image image(height, width, bands);
  Rng rng({.seed = seed, .stream = "image"});
  for (auto& value : image.values<std::uint8_t>()) {
    value = static_cast<std::uint8_t>(rng.below(256));
  }
  return image;
}

inline std::vector<Image> random_images(std::size_t count, int size, int bands) {
  std::vector<Image> images;
  for (std::size_t i = 0; i < count; ++i) {
    images.push_back(random_image(size, size, bands, i));
  }
  return images;
}

inline at::Tensor normal_matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Rng rng({.seed = seed, .stream = "test"});
  auto out = at::empty({rows, columns}, at::kFloat);
  auto* data = out.data_ptr<float>();
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    data[i] = static_cast<float>(rng.normal());
  }
  return out;
}

inline EncoderSpec small_spec(std::int64_t bands = 3) {
  return {.name = "resnet18",
          .width = 4,
          .stem = "cifar",
          .in_channels = bands,
          .input_size = 8,
          .zero_init_residual = false};
}

/// An encoder whose batch norms have seen images: their statistics are not those of the start.
inline std::shared_ptr<Encoder> used_encoder(const EncoderSpec& spec) {
  torch::manual_seed(1);
  auto encoder = make_encoder(spec);
  const torch::NoGradGuard no_grad;
  encoder->train();
  encoder->forward(
      torch::randn({16, spec.in_channels, spec.input_size, spec.input_size}).mul_(2.0).add_(0.5));
  encoder->eval();
  return encoder;
}

inline EncoderCard card_of(const Encoder& encoder, const EncoderSpec& spec) {
  const auto bands = static_cast<std::size_t>(spec.in_channels);
  return {.encoder = spec,
          .normalization = {.mean = std::vector<double>(bands, 0.4734),
                            .std = std::vector<double>(bands, 1.0 / 3.0)},
          .method = "simclr",
          .data_fingerprint = std::string(64, 'a'),
          .seed = 18446744073709551615ULL,
          .feature_dim = encoder.feature_dim(),
          .epochs = 20,
          .version = "0.1.0"};
}

}  // namespace viewfold::testing
