// Convolutions and linear layers whose largest singular value is held at 1.
#pragma once

#include <cstdint>

#include <torch/nn/module.h>

namespace viewfold {

/// Divides a weight by its largest singular value, which one power iteration for each forward pass
/// in training follows (Miyato et al., arXiv:1802.05957, Alg. 1). The weight is seen as a matrix
/// [outputs, everything else]. Evaluation moves nothing.
class SpectralNorm : public torch::nn::Module {
 public:
  /// Begins with the singular vectors of `weight`, near enough to evaluate at once. Lengths below
  /// 1e-6 count as that, as BigGAN (arXiv:1809.11096) has it.
  explicit SpectralNorm(const at::Tensor& weight);

  /// weight   [outputs, ...]
  /// returns  the same shape; its gradient takes the singular vectors as constants
  at::Tensor forward(const at::Tensor& weight);

 private:
  void iterate(const at::Tensor& matrix);

  at::Tensor left_;   // [outputs], the singular vectors
  at::Tensor right_;  // [inputs]
};

/// A linear layer with spectral normalisation, initialised as an orthogonal matrix (BigGAN).
class SpectralLinear : public torch::nn::Module {
 public:
  SpectralLinear(std::int64_t in, std::int64_t out, bool bias);

  /// x [N, in], returns [N, out]
  at::Tensor forward(const at::Tensor& x);
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out], or undefined

 private:
  std::shared_ptr<SpectralNorm> norm_;
};

/// A convolution of stride 1 that keeps height and width, ditto.
class SpectralConv : public torch::nn::Module {
 public:
  /// kernel  odd
  SpectralConv(std::int64_t in, std::int64_t out, std::int64_t kernel);

  /// x [N, in, H, W], returns [N, out, H, W]
  at::Tensor forward(const at::Tensor& x);
  at::Tensor weight;  // [out, in, kernel, kernel]
  at::Tensor bias;    // [out]

 private:
  std::int64_t padding_;
  std::shared_ptr<SpectralNorm> norm_;
};

}  // namespace viewfold
