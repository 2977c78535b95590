// Residual blocks of convolution, batch norm and ReLU as one step of the graph: what stands between
// two convolutions is made for a few images at a time, while they are in the cache.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/conv.h>

#include "viewfold/nn/batch_norm.hpp"

namespace viewfold::fused {

/// A convolution and the batch norm behind it.
struct ConvNorm {
  torch::nn::Conv2d conv{nullptr};
  BatchNorm2d norm{nullptr};  // its communicator's processes share the statistics
};

/// What is added before the last ReLU of a block.
enum class Shortcut { kNone, kInput, kProjection };

/// relu(conv-norm(... relu(conv-norm(x)) ...) + shortcut).
struct BlockLayers {
  std::vector<ConvNorm> chain;  // one or more; a ReLU after each
  Shortcut shortcut = Shortcut::kNone;
  ConvNorm projection = {};  // of the input, with kProjection
};

/// Computes a block. While gradients are wanted, one convolution output per convolution is kept for
/// the backward pass, not what batch norm and ReLU make of it.
///
/// x        [N, C, H, W] float32 or bfloat16, which is also the type of computation, and of y
/// parts    in training, batch norm takes statistics of this many equal parts of the batch, one
///          after the other, as if each had been a batch of its own; N is a multiple of it
/// returns  [N, C', H', W'] channels-last
///
/// Sums are the same whatever the number of threads, at::get_num_threads(), up to 4 of them.
/// Throws ContractViolation where supports() is false.
[[nodiscard]] at::Tensor block_forward(const at::Tensor& x,
                                       const BlockLayers& layers,
                                       std::int64_t parts);

/// Whether block_forward can compute the block for this input: as many channels as the layers take,
/// square convolutions without bias,
/// dilation or groups, batch norm with scale, shift and running statistics, multiples of 16 output
/// channels, parameters in float32, everything on the CPU, and in training no gradient of the input
/// beyond those of `chain` (of eval, none at all).
[[nodiscard]] bool supports(const at::Tensor& x, const BlockLayers& layers);

/// Switches fused blocks on or off in the calling thread while alive; they are off at the start.
class FusedGuard {
 public:
  explicit FusedGuard(bool enabled);
  ~FusedGuard();
  FusedGuard(const FusedGuard&) = delete;
  FusedGuard& operator=(const FusedGuard&) = delete;
  FusedGuard(FusedGuard&&) = delete;
  FusedGuard& operator=(FusedGuard&&) = delete;

 private:
  bool before_;
};

/// Whether a FusedGuard has switched fused blocks on.
[[nodiscard]] bool enabled();

/// What fused blocks have done since the process began, in all threads together.
struct Totals {
  double convolution_seconds = 0.0;  // thread-seconds
  double norm_seconds = 0.0;         // batch norm, ReLU and sums of branches
  double multiply_adds = 0.0;        // of the convolutions, forward and backward
};
[[nodiscard]] Totals totals();

}  // namespace viewfold::fused
