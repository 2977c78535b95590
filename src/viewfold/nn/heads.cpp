// Implements the multi-layer perceptron of all heads.
#include "viewfold/nn/heads.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/batch_norm.hpp"

namespace viewfold {
namespace {

void append_layer(torch::nn::Sequential& layers, torch::nn::LinearOptions linear, OutputNorm norm) {
  const auto out = linear.out_features();
  layers->push_back(torch::nn::Linear(linear.bias(linear.bias() && norm == OutputNorm::kNone)));
  if (norm != OutputNorm::kNone) {
    layers->push_back(
        BatchNorm1d(torch::nn::BatchNorm1dOptions(out).affine(norm == OutputNorm::kAffine)));
  }
}

}  // namespace

Mlp::Mlp(const MlpSpec& spec) : output_dim_(spec.in) {
  check(
      spec.in >= 1 && std::all_of(spec.widths.begin(), spec.widths.end(),
                                  [](std::int64_t width) { return width >= 1; }),
      fmt::format("a head from {} to [{}] cannot be made", spec.in, fmt::join(spec.widths, ", ")));
  for (std::size_t i = 0; i < spec.widths.size(); ++i) {
    const torch::nn::LinearOptions linear(output_dim_, spec.widths[i]);
    if (i + 1 < spec.widths.size()) {
      append_layer(layers_, linear, spec.hidden_norm ? OutputNorm::kAffine : OutputNorm::kNone);
      layers_->push_back(torch::nn::ReLU(torch::nn::ReLUOptions(true)));
    } else {
      append_layer(layers_, torch::nn::LinearOptions(linear).bias(spec.output_bias),
                   spec.output_norm);
    }
    output_dim_ = spec.widths[i];
  }
  register_module("layers", layers_);
}

at::Tensor Mlp::forward(const at::Tensor& x) {
  return layers_->is_empty() ? x : layers_->forward(x);
}

}  // namespace viewfold
