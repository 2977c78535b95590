// Uniformity: how evenly features cover the sphere, as a loss.
#pragma once

#include <ATen/core/Tensor.h>

#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// log mean over i != j of exp(-t |u_i - u_j|^2) of unit rows u (Wang and Isola, arXiv:2005.10242,
/// Sec. 4.1.2): 0 where all point the same way, lower the more evenly they are spread.
/// z            [N, D] any floating type, any length
/// t            > 0; 2 in the paper
/// communicator of processes that each have N rows of the batch, N * size() >= 2; gradients reach
///              all of them
/// returns      [] float32 (float64 for float64), of the rows of all processes. Throws
///              ContractViolation on fewer than two rows.
[[nodiscard]] at::Tensor uniformity_loss(const at::Tensor& z,
                                         double t,
                                         const Communicator& communicator = {});

}  // namespace viewfold
