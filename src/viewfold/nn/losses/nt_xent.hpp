// NT-Xent, the loss of SimCLR: tell the other view of an image from all other images of the batch.
#pragma once

#include <ATen/core/Tensor.h>

#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// Cross entropy of each row with its partner against all other rows, on cosine similarities
/// (SimCLR, arXiv:2002.05709, Eq. 1).
/// z0, z1       [N, D] any floating type, any length; row i of both is one positive pair; N >= 1
/// temperature  tau > 0
/// communicator of processes that each have N pairs of the batch; gradients reach all of them
/// returns      [] float32 (float64 for float64), mean over the 2N anchors here, against all rows
/// of
///              all processes; 0 for one pair. Throws ContractViolation on unequal shapes.
[[nodiscard]] at::Tensor nt_xent(const at::Tensor& z0,
                                 const at::Tensor& z1,
                                 double temperature,
                                 const Communicator& communicator = {});

}  // namespace viewfold
