// Losses of a predictor that follows a fixed target, without negatives: SimSiam and BYOL.
#pragma once

#include <ATen/core/Tensor.h>

namespace viewfold {

/// Negative cosine similarity of prediction and target (SimSiam, arXiv:2011.10566, Eq. 1 and 3),
/// one of its two directions. p        [N, D] predictions, any floating type, any length z [N, D]
/// targets; the stop-gradient is inside: no gradient flows into them returns  [] float32 (float64
/// for float64), mean over N, in [-1, 1]. Throws ContractViolation on
///          unequal shapes.
[[nodiscard]] at::Tensor negative_cosine(const at::Tensor& p, const at::Tensor& z);

/// Squared distance of normalised prediction and target, 2 - 2 cos (BYOL, arXiv:2006.07733, Eq. 2),
/// one of its two directions.
/// p        [N, D] predictions, any floating type, any length
/// z        [N, D] projections of the target network; no gradient flows into them
/// returns  [] float32 (float64 for float64), mean over N, in [0, 4]. Throws ContractViolation on
///          unequal shapes.
[[nodiscard]] at::Tensor byol_regression(const at::Tensor& p, const at::Tensor& z);

}  // namespace viewfold
