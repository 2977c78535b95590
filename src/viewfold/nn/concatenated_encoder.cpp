// Implements the fusion of encoders.
#include "viewfold/nn/concatenated_encoder.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

// Holds an encoder and its buffers under one name: "part0.encoder.conv1.weight".
class PartModule final : public torch::nn::Module {
 public:
  PartModule(std::shared_ptr<Encoder> encoder, std::int64_t bands)
      : encoder_(register_module("encoder", std::move(encoder))),
        scale_(register_buffer("scale", at::ones({1, bands, 1, 1}))),
        shift_(register_buffer("shift", at::zeros({1, bands, 1, 1}))) {}

  [[nodiscard]] const std::shared_ptr<Encoder>& encoder() const { return encoder_; }
  [[nodiscard]] const at::Tensor& scale() const { return scale_; }
  [[nodiscard]] const at::Tensor& shift() const { return shift_; }

 private:
  std::shared_ptr<Encoder> encoder_;
  at::Tensor scale_;
  at::Tensor shift_;
};

}  // namespace

ConcatenatedEncoder::ConcatenatedEncoder(const EncoderSpec& spec) {
  check(!spec.parts.empty(), "a concatenation has parts");
  for (std::size_t i = 0; i < spec.parts.size(); ++i) {
    const auto& part = spec.parts[i];
    check(part.in_channels == spec.in_channels && part.input_size == spec.input_size,
          fmt::format("part {} sees {} bands of {} pixels, the whole {} of {}", i, part.in_channels,
                      part.input_size, spec.in_channels, spec.input_size));
    const auto module =
        register_module(fmt::format("part{}", i),
                        std::make_shared<PartModule>(make_encoder(part), spec.in_channels));
    parts_.push_back({module->encoder(), module->scale(), module->shift()});
  }
}

at::Tensor ConcatenatedEncoder::forward(const at::Tensor& x) {
  std::vector<at::Tensor> features;
  for (const auto& part : parts_) {
    features.push_back(part.encoder->forward(x * part.scale + part.shift));
  }
  return at::cat(features, 1);
}

std::int64_t ConcatenatedEncoder::feature_dim() const {
  std::int64_t features = 0;
  for (const auto& part : parts_) {
    features += part.encoder->feature_dim();
  }
  return features;
}

void ConcatenatedEncoder::set_part(std::size_t index,
                                   const Encoder& trained,
                                   const at::Tensor& scale,
                                   const at::Tensor& shift) {
  check(index < parts_.size(),
        fmt::format("there are {} parts, and none has number {}", parts_.size(), index));
  const Part& part = parts_[index];
  for (const auto& numbers : {scale, shift}) {
    check(numbers.dim() == 1 && numbers.numel() == part.scale.numel(),
          "scale and shift have a number for each band");
  }
  try {
    load_module_state(*part.encoder, {.tensors = module_state(trained),
                                      .metadata = {},
                                      .origin = fmt::format("part {}", index)});
  } catch (const DataError& error) {
    throw ContractViolation(error.what());
  }
  const at::NoGradGuard no_grad;
  part.scale.copy_(scale.reshape(part.scale.sizes()));
  part.shift.copy_(shift.reshape(part.shift.sizes()));
}

}  // namespace viewfold
