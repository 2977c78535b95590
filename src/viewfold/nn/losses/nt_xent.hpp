// NT-Xent, the loss of SimCLR: tell the other view of an image from all other images of the batch.
#pragma once

#include <vector>

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

/// Cross entropy of further embeddings, each with one embedding of its image, against those of all
/// other images of the batch: with q = z0 and positive = z1, what the first half of the anchors of
/// nt_xent() lose.
/// q            [N, D] any floating type, any length; row i belongs to the image of z0[i], z1[i]
/// positive     [N, D], z0 or z1
/// z            z0 and z1, [N, D] each; gradients flow into all of these
/// temperature  tau > 0
/// communicator of processes that each have N pairs of the batch; gradients reach all of them
/// returns      [] float32 (float64 for float64), mean over the N rows here. Throws
///              ContractViolation on unequal shapes and on a batch of one image.
[[nodiscard]] at::Tensor nt_xent_of(const at::Tensor& q,
                                    const at::Tensor& positive,
                                    const std::vector<at::Tensor>& z,
                                    double temperature,
                                    const Communicator& communicator = {});

}  // namespace viewfold
