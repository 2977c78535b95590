// Implements spectral normalisation by power iteration.
#include "viewfold/nn/spectral_norm.hpp"

#include <torch/torch.h>

namespace viewfold {
namespace {

constexpr double kEpsilon = 1e-6;

at::Tensor unit(const at::Tensor& vector) {
  return vector / vector.norm().clamp_min(kEpsilon);
}

at::Tensor orthogonal(at::IntArrayRef shape) {
  auto weight = torch::empty(shape);
  torch::nn::init::orthogonal_(weight);
  return weight;
}

}  // namespace

SpectralNorm::SpectralNorm(const at::Tensor& weight) {
  constexpr int kIterations = 10;
  const torch::NoGradGuard no_grad;
  const auto matrix = weight.reshape({weight.size(0), -1});
  left_ = register_buffer("left", unit(torch::randn({matrix.size(0)})));
  right_ = register_buffer("right", torch::empty({matrix.size(1)}));
  for (int i = 0; i < kIterations; ++i) {
    iterate(matrix);
  }
}

void SpectralNorm::iterate(const at::Tensor& matrix) {
  const torch::NoGradGuard no_grad;
  right_.copy_(unit(at::mv(matrix.t(), left_)));
  left_.copy_(unit(at::mv(matrix, right_)));
}

at::Tensor SpectralNorm::forward(const at::Tensor& weight) {
  const auto matrix = weight.reshape({weight.size(0), -1});
  if (is_training()) {
    iterate(matrix);
  }
  // Copies: the vectors move on before the gradient is asked for.
  const auto sigma = at::dot(left_.clone(), at::mv(matrix, right_.clone()));
  return weight / sigma.clamp_min(kEpsilon);
}

SpectralLinear::SpectralLinear(std::int64_t in, std::int64_t out, bool has_bias) {
  weight = register_parameter("weight", orthogonal({out, in}));
  if (has_bias) {
    bias = register_parameter("bias", torch::zeros({out}));
  }
  norm_ = register_module("norm", std::make_shared<SpectralNorm>(weight));
}

at::Tensor SpectralLinear::forward(const at::Tensor& x) {
  return at::linear(x, norm_->forward(weight), bias);
}

SpectralConv::SpectralConv(std::int64_t in, std::int64_t out, std::int64_t kernel)
    : padding_(kernel / 2) {
  weight = register_parameter("weight", orthogonal({out, in, kernel, kernel}));
  bias = register_parameter("bias", torch::zeros({out}));
  norm_ = register_module("norm", std::make_shared<SpectralNorm>(weight));
}

at::Tensor SpectralConv::forward(const at::Tensor& x) {
  return at::conv2d(x, norm_->forward(weight), bias, 1, padding_);
}

}  // namespace viewfold
