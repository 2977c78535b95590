// The supervised contrastive loss: all images of a class are positives of each other.
#pragma once

#include <ATen/core/Tensor.h>

#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// L_out of Khosla et al. (arXiv:2004.11362, Eq. 2): for each row, the mean over all other rows of
/// its class of their cross entropy against all other rows, on cosine similarities. Where every
/// image is a class of its own it is NT-Xent.
/// z0, z1       [N, D] any floating type, any length; row i of both is of one image; N >= 1
/// labels       [N] int64, the class of each image
/// temperature  tau > 0
/// communicator of processes that each have N images of the batch; gradients reach all of them
/// returns      [] float32 (float64 for float64), mean over the 2N rows here, against all rows of
///              all processes. Throws ContractViolation on unequal shapes.
[[nodiscard]] at::Tensor sup_con(const at::Tensor& z0,
                                 const at::Tensor& z1,
                                 const at::Tensor& labels,
                                 double temperature,
                                 const Communicator& communicator = {});

}  // namespace viewfold
