// Projectors and predictors: the small networks between features and a loss.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>

namespace viewfold {

/// Batch normalisation of a head's output.
enum class OutputNorm { kNone, kAffine, kNoAffine };

/// The shape of a multi-layer perceptron. A layer that batch normalisation follows has no bias:
/// normalisation would remove it.
struct MlpSpec {
  std::int64_t in = 0;
  std::vector<std::int64_t> widths;  // outputs of each layer, the last is the head's; {}: identity
  bool hidden_norm = true;           // batch normalisation before each ReLU
  OutputNorm output_norm = OutputNorm::kNone;
  bool output_bias = true;  // of a last layer without normalisation
};

/// Linear layers, with (batch normalisation and) ReLU between them, initialised as LibTorch does.
/// SimCLR and MoCo v2: hidden_norm false. BYOL: output_bias false. SimSiam: the projector has
/// output norm kNoAffine, the predictor is the default.
class Mlp : public torch::nn::Module {
 public:
  /// Throws ContractViolation on widths below 1.
  explicit Mlp(const MlpSpec& spec);

  /// x        [N, D], D = spec.in
  /// returns  [N, output_dim()]
  at::Tensor forward(const at::Tensor& x);
  [[nodiscard]] std::int64_t output_dim() const { return output_dim_; }

 private:
  std::int64_t output_dim_;
  torch::nn::Sequential layers_;
};

}  // namespace viewfold
