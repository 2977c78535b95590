// Implements the instance-conditioned generator.
#include "viewfold/nn/generator.hpp"

#include <cmath>

#include <fmt/format.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// Twice as high and wide, each pixel repeated.
at::Tensor doubled(const at::Tensor& x) {
  return at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
}

}  // namespace

GeneratorScale generator_scale(std::int64_t size) {
  constexpr std::int64_t kSmallest = 4;
  GeneratorScale scale{.start = size, .blocks = 0};
  while (scale.start % 2 == 0 && scale.start / 2 >= kSmallest) {
    scale.start /= 2;
    ++scale.blocks;
  }
  if (scale.blocks < 1 || scale.start >= 2 * kSmallest) {
    throw UsageError(fmt::format(
        "a generator cannot make images of {} px: that is not 4, 5, 6 or 7 doubled (28, 32, 40, "
        "48, 56, 64 are)",
        size));
  }
  return scale;
}

ConditionalNorm::ConditionalNorm(std::int64_t channels, std::int64_t condition_dim) {
  norm_ = register_module("norm", BatchNorm2d(torch::nn::BatchNormOptions(channels).affine(false)));
  scale =
      register_module("scale", std::make_shared<SpectralLinear>(condition_dim, channels, false));
  shift =
      register_module("shift", std::make_shared<SpectralLinear>(condition_dim, channels, false));
}

at::Tensor ConditionalNorm::forward(const at::Tensor& x, const at::Tensor& y) {
  const auto factor = (1.0 + scale->forward(y)).unsqueeze(2).unsqueeze(3).to(x.scalar_type());
  const auto offset = shift->forward(y).unsqueeze(2).unsqueeze(3).to(x.scalar_type());
  return at::addcmul(offset, norm_(x), factor);
}

// CBN - ReLU - double - 3x3 - CBN - ReLU - 3x3, beside double - 1x1.
class GeneratorBlock : public torch::nn::Module {
 public:
  GeneratorBlock(std::int64_t channels, std::int64_t condition_dim) {
    norm1_ = register_module("norm1", std::make_shared<ConditionalNorm>(channels, condition_dim));
    conv1_ = register_module("conv1", std::make_shared<SpectralConv>(channels, channels, 3));
    norm2_ = register_module("norm2", std::make_shared<ConditionalNorm>(channels, condition_dim));
    conv2_ = register_module("conv2", std::make_shared<SpectralConv>(channels, channels, 3));
    skip_ = register_module("skip", std::make_shared<SpectralConv>(channels, channels, 1));
  }

  at::Tensor forward(const at::Tensor& x, const at::Tensor& y) {
    const auto hidden = conv1_->forward(doubled(norm1_->forward(x, y).relu()));
    // A 1x1 convolution and doubling may change places.
    return conv2_->forward(norm2_->forward(hidden, y).relu()) + doubled(skip_->forward(x));
  }

 private:
  std::shared_ptr<ConditionalNorm> norm1_, norm2_;
  std::shared_ptr<SpectralConv> conv1_, conv2_, skip_;
};

Generator::Generator(const GeneratorSpec& spec) : spec_(spec), scale_(generator_scale(spec.size)) {
  check(spec.bands >= 1 && spec.condition_dim >= 1 && spec.channels >= 1 &&
            spec.embedding_dim >= 1 && spec.noise_chunk >= 1,
        "a generator needs bands, channels, a condition and noise");
  embedding_ = register_module(
      "embedding", std::make_shared<SpectralLinear>(spec.condition_dim, spec.embedding_dim, true));
  first_ = register_module(
      "first", std::make_shared<SpectralLinear>(spec.noise_chunk,
                                                spec.channels * scale_.start * scale_.start, true));
  for (std::int64_t i = 0; i < scale_.blocks; ++i) {
    blocks_.push_back(register_module(
        fmt::format("block{}", i + 1),
        std::make_shared<GeneratorBlock>(spec.channels, spec.embedding_dim + spec.noise_chunk)));
  }
  last_norm_ = register_module("last_norm", BatchNorm2d(spec.channels));
  last_ = register_module("last", std::make_shared<SpectralConv>(spec.channels, spec.bands, 3));
}

std::int64_t Generator::noise_dim() const {
  return spec_.noise_chunk * (scale_.blocks + 1);
}

at::Tensor Generator::forward(const at::Tensor& z, const at::Tensor& h) {
  check(z.dim() == 2 && z.size(1) == noise_dim() && h.dim() == 2 && z.size(0) == h.size(0) &&
            h.size(1) == spec_.condition_dim,
        "a generator takes noise [N, noise_dim()] and conditions [N, D]");
  const auto chunks = z.split(spec_.noise_chunk, 1);
  // Values about 1, as those of the noise are: a unit row of D would be next to nothing beside it.
  const double scale = std::sqrt(static_cast<double>(spec_.condition_dim));
  const auto embedded = embedding_->forward(h * scale);  // [N, embedding_dim]
  auto maps = first_->forward(chunks.front())
                  .view({z.size(0), spec_.channels, scale_.start, scale_.start})
                  .contiguous(at::MemoryFormat::ChannelsLast);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const auto y = at::cat({embedded, chunks[i + 1].to(embedded.scalar_type())}, 1);
    maps = blocks_[i]->forward(maps, y);
  }
  return at::tanh(last_->forward(last_norm_(maps).relu()).to(at::kFloat));
}

}  // namespace viewfold
