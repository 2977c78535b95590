// An instance-conditioned generator of images in the form of BigGAN.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn/module.h>

#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/spectral_norm.hpp"

namespace viewfold {

/// The shape of a generator.
struct GeneratorSpec {
  std::int64_t size = 32;           // height and width of its images: 2^b times 4 to 7, b >= 1
  std::int64_t bands = 3;           // of its images
  std::int64_t condition_dim = 0;   // D, of the condition h
  std::int64_t channels = 64;       // of every block (BigGAN's 4 c at 32 px)
  std::int64_t embedding_dim = 64;  // of E(h)
  std::int64_t noise_chunk = 16;    // values of z for the first layer, and for each block
};

/// Blocks that double the size, from `start` pixels to spec.size. Throws UsageError for a size that
/// is no such product.
struct GeneratorScale {
  std::int64_t start = 4;
  std::int64_t blocks = 3;
};
[[nodiscard]] GeneratorScale generator_scale(std::int64_t size);

/// Batch normalisation whose scale and shift are linear in a condition: (1 + W_g y) x + W_b y
/// (BigGAN, arXiv:1809.11096, App. B).
class ConditionalNorm : public torch::nn::Module {
 public:
  ConditionalNorm(std::int64_t channels, std::int64_t condition_dim);

  /// x [N, C, H, W], y [N, condition_dim]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& y);

  std::shared_ptr<SpectralLinear> scale;
  std::shared_ptr<SpectralLinear> shift;

 private:
  BatchNorm2d norm_{nullptr};
};

class GeneratorBlock;

/// G(z, h): IC-GAN's generator (Casanova et al., arXiv:2109.05070, BigGAN backbone) without
/// attention and with the same number of channels everywhere, as BigGAN has it at 32 px. z is cut
/// into one chunk for the first layer and one for each block; block l is conditioned on (E(h),
/// z_l). Ours: E(h) is of the condition times the root of D, whose values are about 1.
class Generator : public torch::nn::Module {
 public:
  /// Throws UsageError as generator_scale().
  explicit Generator(const GeneratorSpec& spec);

  /// z        [N, noise_dim()], standard normal
  /// h        [N, D], unit rows
  /// returns  [N, C, S, S] float32 in [-1, 1]
  at::Tensor forward(const at::Tensor& z, const at::Tensor& h);

  [[nodiscard]] std::int64_t noise_dim() const;
  [[nodiscard]] const GeneratorSpec& spec() const { return spec_; }

 private:
  GeneratorSpec spec_;
  GeneratorScale scale_;
  std::shared_ptr<SpectralLinear> embedding_;
  std::shared_ptr<SpectralLinear> first_;
  std::vector<std::shared_ptr<GeneratorBlock>> blocks_;
  BatchNorm2d last_norm_{nullptr};
  std::shared_ptr<SpectralConv> last_;
};

}  // namespace viewfold
