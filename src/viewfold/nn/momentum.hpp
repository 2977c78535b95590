// The target network of MoCo and BYOL: a slowly moving copy that no gradient reaches.
#pragma once

#include <torch/nn/module.h>

namespace viewfold {

/// Copies the parameters of `source` into `target`, a network of the same shape, and turns off
/// their gradients there. Buffers are left alone: the target keeps its own batch statistics.
/// Throws ContractViolation when names or shapes differ.
void copy_parameters(const torch::nn::Module& source, torch::nn::Module& target);

/// target <- m target + (1 - m) source over parameters, not buffers (MoCo, arXiv:1911.05722, Eq. 2;
/// BYOL, arXiv:2006.07733, Eq. 1).
/// m  in [0, 1]. Throws ContractViolation outside it, and when the networks differ in shape.
void ema_update(torch::nn::Module& target, const torch::nn::Module& source, double m);

/// m of a target network whose momentum rises from `start` to 1 by half a cosine: 1 - (1 - start)
/// (cos(pi k / K) + 1) / 2 (BYOL, arXiv:2006.07733, Sec. 3.3).
/// progress  k / K in [0, 1]
[[nodiscard]] double cosine_momentum(double start, double progress);

}  // namespace viewfold
