// Implements residual networks: block by block as one fused step each, or by LibTorch's modules;
// there, sums and rectifications happen in place, in the block's own tensors.
#include "viewfold/nn/resnet.hpp"

#include <string>

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/fused/block.hpp"

namespace viewfold {
namespace {

torch::nn::Conv2d conv(std::int64_t in,
                       std::int64_t out,
                       std::int64_t kernel,
                       std::int64_t stride) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

// What both kinds of block are seen as from the outside.
class Block : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& x) = 0;

  // The scale that, at zero, makes the block the identity (arXiv:1706.02677, Sec. 5.1).
  virtual at::Tensor last_scale() = 0;

  // The same block for fused::block_forward.
  fused::BlockLayers layers() {
    fused::BlockLayers layers{.chain = chain(), .shortcut = fused::Shortcut::kInput};
    if (!downsample_.is_empty()) {
      layers.shortcut = fused::Shortcut::kProjection;
      layers.projection = {
          torch::nn::Conv2d(std::dynamic_pointer_cast<torch::nn::Conv2dImpl>(downsample_->ptr(0))),
          BatchNorm2d(std::dynamic_pointer_cast<BatchNorm2dImpl>(downsample_->ptr(1)))};
    }
    return layers;
  }

 protected:
  virtual std::vector<fused::ConvNorm> chain() = 0;

  // The 1x1 projection that lets the input be added to an output of another shape.
  void make_downsample(std::int64_t in, std::int64_t out, std::int64_t stride) {
    if (stride != 1 || in != out) {
      downsample_ = register_module(
          "downsample", torch::nn::Sequential(conv(in, out, 1, stride), BatchNorm2d(out)));
    }
  }

  // out  owned by the caller: changed
  at::Tensor join(at::Tensor out, const at::Tensor& x) {
    out += downsample_.is_empty() ? x : downsample_->forward(x);
    return out.relu_();
  }

 private:
  torch::nn::Sequential downsample_{nullptr};
};

class BasicBlock : public Block {
 public:
  static constexpr std::int64_t kExpansion = 1;

  BasicBlock(std::int64_t in, std::int64_t width, std::int64_t stride) {
    conv1_ = register_module("conv1", conv(in, width, 3, stride));
    bn1_ = register_module("bn1", BatchNorm2d(width));
    conv2_ = register_module("conv2", conv(width, width, 3, 1));
    bn2_ = register_module("bn2", BatchNorm2d(width));
    make_downsample(in, width, stride);
  }

  at::Tensor forward(const at::Tensor& x) override {
    const auto hidden = bn1_(conv1_(x)).relu_();
    return join(bn2_(conv2_(hidden)), x);
  }

  at::Tensor last_scale() override { return bn2_->weight; }

 protected:
  std::vector<fused::ConvNorm> chain() override { return {{conv1_, bn1_}, {conv2_, bn2_}}; }

 private:
  torch::nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
  BatchNorm2d bn1_{nullptr}, bn2_{nullptr};
};

class Bottleneck : public Block {
 public:
  static constexpr std::int64_t kExpansion = 4;

  // The stride is on the 3x3, as in torchvision; the paper has it on the first 1x1.
  Bottleneck(std::int64_t in, std::int64_t width, std::int64_t stride) {
    conv1_ = register_module("conv1", conv(in, width, 1, 1));
    bn1_ = register_module("bn1", BatchNorm2d(width));
    conv2_ = register_module("conv2", conv(width, width, 3, stride));
    bn2_ = register_module("bn2", BatchNorm2d(width));
    conv3_ = register_module("conv3", conv(width, kExpansion * width, 1, 1));
    bn3_ = register_module("bn3", BatchNorm2d(kExpansion * width));
    make_downsample(in, kExpansion * width, stride);
  }

  at::Tensor forward(const at::Tensor& x) override {
    auto hidden = bn1_(conv1_(x)).relu_();
    hidden = bn2_(conv2_(hidden)).relu_();
    return join(bn3_(conv3_(hidden)), x);
  }

  at::Tensor last_scale() override { return bn3_->weight; }

 protected:
  std::vector<fused::ConvNorm> chain() override {
    return {{conv1_, bn1_}, {conv2_, bn2_}, {conv3_, bn3_}};
  }

 private:
  torch::nn::Conv2d conv1_{nullptr}, conv2_{nullptr}, conv3_{nullptr};
  BatchNorm2d bn1_{nullptr}, bn2_{nullptr}, bn3_{nullptr};
};

}  // namespace

ResNet::ResNet(const ResNetDepth& depth, const EncoderSpec& spec)
    : channels_(spec.width),
      pools_(spec.stem == "imagenet") {
  conv1_ = register_module(
      "conv1", conv(spec.in_channels, spec.width, pools_ ? 7 : 3, spec.stem == "cifar" ? 1 : 2));
  bn1_ = register_module("bn1", BatchNorm2d(spec.width));
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const std::int64_t stride = i == 0 ? 1 : 2;
    stages_[i] = register_module("layer" + std::to_string(i + 1),
                                 make_stage(depth, spec.width << i, depth.blocks[i], stride));
  }
  initialise(spec.zero_init_residual);
}

torch::nn::Sequential ResNet::make_stage(const ResNetDepth& depth,
                                         std::int64_t width,
                                         std::int64_t count,
                                         std::int64_t stride) {
  torch::nn::Sequential stage;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t block_stride = i == 0 ? stride : 1;
    if (depth.block == ResidualBlock::kBasic) {
      stage->push_back(std::make_shared<BasicBlock>(channels_, width, block_stride));
      channels_ = BasicBlock::kExpansion * width;
    } else {
      stage->push_back(std::make_shared<Bottleneck>(channels_, width, block_stride));
      channels_ = Bottleneck::kExpansion * width;
    }
  }
  return stage;
}

void ResNet::initialise(bool zero_init_residual) {
  const torch::NoGradGuard no_grad;
  for (const auto& module : modules(false)) {
    if (auto* layer = module->as<torch::nn::Conv2d>()) {
      torch::nn::init::kaiming_normal_(layer->weight, 0.0, torch::kFanOut, torch::kReLU);
    }
    if (auto* block = dynamic_cast<Block*>(module.get()); block != nullptr && zero_init_residual) {
      block->last_scale().zero_();
    }
  }
}

at::Tensor ResNet::forward(const at::Tensor& x) {
  return forward_parts(x, 1);
}

at::Tensor ResNet::forward_parts(const at::Tensor& x, std::int64_t parts) {
  const fused::BlockLayers stem{.chain = {{conv1_, bn1_}}};
  // The stages' channels are a multiple of the stem's: what fits the stem fits them.
  if (fused::enabled() && fused::supports(x, stem)) {
    return fused_forward(x, stem, is_training() ? parts : 1);
  }
  return parts > 1 ? Encoder::forward_parts(x, parts) : plain_forward(x);
}

at::Tensor ResNet::fused_forward(const at::Tensor& x,
                                 const fused::BlockLayers& stem,
                                 std::int64_t parts) {
  const auto type = at::autocast::is_cpu_enabled() ? at::kBFloat16 : at::kFloat;
  auto maps = fused::block_forward(x.to(type), stem, parts);
  if (pools_) {
    maps = at::max_pool2d(maps, 3, 2, 1);
  }
  for (const auto& stage : stages_) {
    for (const auto& module : stage->children()) {
      maps = fused::block_forward(maps, dynamic_cast<Block&>(*module).layers(), parts);
    }
  }
  return maps.mean({2, 3});
}

at::Tensor ResNet::plain_forward(const at::Tensor& x) {
  return stages(x).back().mean({2, 3});  // [N, D]
}

std::vector<at::Tensor> ResNet::stages(const at::Tensor& x) {
  auto maps = bn1_(conv1_(x)).relu_();  // [N, width, H, W], or half of H, W
  if (pools_) {
    maps = at::max_pool2d(maps, 3, 2, 1);
  }
  std::vector<at::Tensor> all;
  for (auto& stage : stages_) {
    maps = stage->forward(maps);
    all.push_back(maps);
  }
  return all;
}

}  // namespace viewfold
