// InfoNCE against a queue of keys, the loss of MoCo, and against the keys of the batch.
#pragma once

#include <ATen/core/Tensor.h>

#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// Cross entropy of each query with its key against a queue of keys of other images, on cosine
/// similarities (MoCo, arXiv:1911.05722, Eq. 1).
/// q            [N, D] any floating type, any length
/// k            [N, D] keys of the same images; no gradient flows into them
/// queue        [K, D] unit rows, without these keys; no gradient flows into them
/// temperature  T > 0
/// returns      [] float32 (float64 for float64), mean over N. Throws ContractViolation on shapes
///              that do not fit.
[[nodiscard]] at::Tensor info_nce_with_queue(const at::Tensor& q,
                                             const at::Tensor& k,
                                             const at::Tensor& queue,
                                             double temperature);

/// Cross entropy of each query with its key against the keys of all other images of the batch, on
/// cosine similarities (van den Oord et al., arXiv:1807.03748, Eq. 4).
/// q            [N, D] any floating type, any length
/// k            [N, D] keys of the same images; gradients flow into both
/// temperature  tau > 0
/// communicator of processes that each have N images of the batch; gradients reach all of them
/// returns      [] float32 (float64 for float64), mean over the N queries here. Throws
///              ContractViolation on unequal shapes.
[[nodiscard]] at::Tensor info_nce(const at::Tensor& q,
                                  const at::Tensor& k,
                                  double temperature,
                                  const Communicator& communicator = {});

}  // namespace viewfold
