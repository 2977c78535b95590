// Implements both discriminators.
#include "viewfold/nn/discriminator.hpp"

#include <cmath>

#include <fmt/format.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/spectral_norm.hpp"

namespace viewfold {
namespace {

// A condition, a unit row, with values about 1.
at::Tensor widened(const at::Tensor& h) {
  return h * std::sqrt(static_cast<double>(h.size(-1)));
}

// ReLU - 3x3 - ReLU - 3x3 (- half), beside 1x1 (- half); the first block begins without ReLU, as it
// sees pixels.
class PixelBlock : public torch::nn::Module {
 public:
  PixelBlock(std::int64_t in, std::int64_t out, bool is_first, bool halves)
      : is_first_(is_first),
        halves_(halves) {
    conv1_ = register_module("conv1", std::make_shared<SpectralConv>(in, out, 3));
    conv2_ = register_module("conv2", std::make_shared<SpectralConv>(out, out, 3));
    if (in != out || halves) {
      skip_ = register_module("skip", std::make_shared<SpectralConv>(in, out, 1));
    }
  }

  at::Tensor forward(const at::Tensor& x) {
    const auto hidden = conv1_->forward(is_first_ ? x : x.relu());
    auto maps = conv2_->forward(hidden.relu());
    maps = maps + (skip_ ? skip_->forward(x) : x);
    return halves_ ? at::avg_pool2d(maps, {2, 2}) : maps;  // both sums halve alike
  }

 private:
  bool is_first_;
  bool halves_;
  std::shared_ptr<SpectralConv> conv1_, conv2_, skip_;
};

class PixelDiscriminator final : public Discriminator {
 public:
  explicit PixelDiscriminator(const DiscriminatorSpec& spec) {
    constexpr int kBlocks = 4;
    constexpr int kHalving = 2;
    for (int i = 0; i < kBlocks; ++i) {
      blocks_.push_back(
          register_module(fmt::format("block{}", i + 1),
                          std::make_shared<PixelBlock>(i == 0 ? spec.bands : spec.channels,
                                                       spec.channels, i == 0, i < kHalving)));
    }
    answer_ = register_module("answer", std::make_shared<SpectralLinear>(spec.channels, 1, true));
    projection_ = register_module(
        "projection", std::make_shared<SpectralLinear>(spec.condition_dim, spec.channels, true));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& h) override {
    auto maps = x.contiguous(at::MemoryFormat::ChannelsLast);
    for (const auto& block : blocks_) {
      maps = block->forward(maps);
    }
    const auto phi = maps.relu().to(at::kFloat).sum({2, 3});  // [N, channels]
    const auto own = answer_->forward(phi).to(at::kFloat).squeeze(1);
    const auto fit = (projection_->forward(widened(h)).to(at::kFloat) * phi).sum(-1);
    return (own + fit).unsqueeze(-2);
  }

 private:
  std::vector<std::shared_ptr<PixelBlock>> blocks_;
  std::shared_ptr<SpectralLinear> answer_, projection_;
};

// (3x3 of stride 1 or 2 - batch norm - leaky ReLU) twice or three times, then an answer for each
// place that is left.
class StageHead : public torch::nn::Module {
 public:
  struct Shape {
    std::int64_t in = 0;
    std::int64_t channels = 0;
    std::int64_t condition_dim = 0;
    std::int64_t size = 0;
    int layers = 2;
  };

  explicit StageHead(const Shape& shape) {
    std::int64_t size = shape.size;
    std::int64_t in = shape.in;
    for (int i = 0; i < shape.layers; ++i) {
      const std::int64_t stride = size > 4 ? 2 : 1;
      layers_->push_back(torch::nn::Conv2d(
          torch::nn::Conv2dOptions(in, shape.channels, 3).stride(stride).padding(1).bias(false)));
      layers_->push_back(BatchNorm2d(shape.channels));
      layers_->push_back(
          torch::nn::LeakyReLU(torch::nn::LeakyReLUOptions().negative_slope(kSlope)));
      size = (size + stride - 1) / stride;
      in = shape.channels;
    }
    register_module("layers", layers_);
    answer_ = register_module("answer", torch::nn::Linear(shape.channels, 1));
    projection_ =
        register_module("projection", torch::nn::Linear(shape.condition_dim, shape.channels));
    scale_ = 1.0 / std::sqrt(static_cast<double>(shape.channels));
  }

  // [P, N] for the P places of the last maps, or [R, P, N]
  at::Tensor forward(const at::Tensor& maps, const at::Tensor& h) {
    const auto phi = layers_->forward(maps).to(at::kFloat).flatten(2).permute({2, 0, 1});
    const auto projected = projection_->forward(widened(h)).to(at::kFloat).unsqueeze(-3);
    const auto fit = (phi * projected).sum(-1) * scale_;  // phi [P, N, channels]
    return answer_->forward(phi).to(at::kFloat).squeeze(2) + fit;
  }

 private:
  static constexpr double kSlope = 0.2;
  torch::nn::Sequential layers_;
  torch::nn::Linear answer_{nullptr}, projection_{nullptr};
  double scale_ = 1.0;
};

class ProjectedDiscriminator final : public Discriminator {
 public:
  ProjectedDiscriminator(const DiscriminatorSpec& spec,
                         std::shared_ptr<Encoder> encoder,
                         const at::Tensor& images)
      : encoder_(std::move(encoder)) {
    encoder_->eval();
    for (auto& parameter : encoder_->parameters()) {
      parameter.set_requires_grad(false);
    }
    std::vector<at::Tensor> stages;
    {
      const torch::NoGradGuard no_grad;
      stages = encoder_->stages(images);
    }
    for (std::size_t l = 0; l < stages.size(); ++l) {
      add_stage(spec, stages[l].to(at::kFloat), l);
    }
    pixels_ = register_module(
        "pixels", std::make_shared<StageHead>(StageHead::Shape{.in = spec.bands,
                                                               .channels = spec.channels,
                                                               .condition_dim = spec.condition_dim,
                                                               .size = spec.size,
                                                               .layers = 3}));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& h) override {
    const auto input = x.contiguous(at::MemoryFormat::ChannelsLast);
    std::vector<at::Tensor> answers;
    const auto stages = encoder_->stages(input);
    for (std::size_t l = 0; l < stages.size(); ++l) {
      const auto mixed = at::conv2d(stages[l], mixing_[l], offset_[l]);
      answers.push_back(heads_[l]->forward(mixed, h));
    }
    answers.push_back(pixels_->forward(input, h));
    return at::cat(answers, -2);  // [A, N] or [R, A, N]
  }

  // The frozen encoder stays as it is.
  void train(bool on = true) override {
    torch::nn::Module::train(on);
    encoder_->eval();
  }

 private:
  // Normalisation and random mixing of a stage are one 1x1 convolution.
  void add_stage(const DiscriminatorSpec& spec, const at::Tensor& maps, std::size_t l) {
    const auto channels = maps.size(1);
    const auto deviation = maps.std({0, 2, 3}, true).clamp_min(1e-3);  // of a dead channel: 0
    const auto mean = maps.mean(at::IntArrayRef{0, 2, 3});
    const auto random =
        torch::randn({spec.channels, channels}) / std::sqrt(static_cast<double>(channels));
    const auto matrix = random / deviation.unsqueeze(0);
    mixing_.push_back(register_buffer(fmt::format("mixing{}", l + 1),
                                      matrix.view({spec.channels, channels, 1, 1}).contiguous()));
    offset_.push_back(register_buffer(fmt::format("offset{}", l + 1), -at::mv(matrix, mean)));
    heads_.push_back(register_module(
        fmt::format("head{}", l + 1),
        std::make_shared<StageHead>(StageHead::Shape{.in = spec.channels,
                                                     .channels = spec.channels,
                                                     .condition_dim = spec.condition_dim,
                                                     .size = maps.size(2)})));
  }

  std::shared_ptr<Encoder> encoder_;  // no submodule: nothing of it is learned or saved
  std::vector<at::Tensor> mixing_;    // [channels, C_l, 1, 1]
  std::vector<at::Tensor> offset_;    // [channels]
  std::vector<std::shared_ptr<StageHead>> heads_;
  std::shared_ptr<StageHead> pixels_;
};

}  // namespace

std::shared_ptr<Discriminator> make_pixel_discriminator(const DiscriminatorSpec& spec) {
  return std::make_shared<PixelDiscriminator>(spec);
}

std::shared_ptr<Discriminator> make_projected_discriminator(const DiscriminatorSpec& spec,
                                                            const std::shared_ptr<Encoder>& encoder,
                                                            const at::Tensor& images) {
  return std::make_shared<ProjectedDiscriminator>(spec, encoder, images);
}

}  // namespace viewfold
