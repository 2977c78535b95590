// Residual networks (He et al., arXiv:1512.03385) that exchange weights with torchvision by name.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>

#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/encoder.hpp"
#include "viewfold/nn/fused/block.hpp"

namespace viewfold {

enum class ResidualBlock { kBasic, kBottleneck };

/// What makes a ResNet-18, 34, 50 of the family.
struct ResNetDepth {
  ResidualBlock block = ResidualBlock::kBasic;
  std::array<std::int64_t, 4> blocks{2, 2, 2, 2};  // per stage
};

/// A ResNet without its classifier. Parameters and buffers are named as in torchvision
/// ("layer1.0.conv1.weight"); initial values are torchvision's (Kaiming normal, fan out). Under a
/// fused::FusedGuard it runs as fused blocks, where its width is a multiple of 16.
class ResNet : public Encoder {
 public:
  /// spec  stem is cifar (3x3, stride 1, no pooling), half (3x3, stride 2, no pooling) or imagenet
  ///       (7x7, stride 2, max pooling)
  ResNet(const ResNetDepth& depth, const EncoderSpec& spec);

  /// x        [N, C, H, W], any memory format; weights in channels-last make it channels-last
  /// returns  [N, D]: the last maps averaged over their pixels
  at::Tensor forward(const at::Tensor& x) override;
  at::Tensor forward_parts(const at::Tensor& x, std::int64_t parts) override;

  std::vector<at::Tensor> stages(const at::Tensor& x) override;
  [[nodiscard]] bool has_stages() const override { return true; }

  /// 8 x width, and four times that with bottlenecks.
  [[nodiscard]] std::int64_t feature_dim() const override { return channels_; }

 private:
  at::Tensor plain_forward(const at::Tensor& x);
  at::Tensor fused_forward(const at::Tensor& x, const fused::BlockLayers& stem, std::int64_t parts);
  torch::nn::Sequential make_stage(const ResNetDepth& depth,
                                   std::int64_t width,
                                   std::int64_t count,
                                   std::int64_t stride);
  void initialise(bool zero_init_residual);

  std::int64_t channels_;  // after the last stage made
  bool pools_;
  torch::nn::Conv2d conv1_{nullptr};
  BatchNorm2d bn1_{nullptr};
  std::array<torch::nn::Sequential, 4> stages_{nullptr, nullptr, nullptr, nullptr};
};

}  // namespace viewfold
