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

}  // namespace viewfold
