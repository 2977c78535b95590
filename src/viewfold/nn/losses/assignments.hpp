// Losses of a prediction that follows a distribution over prototypes: SwAV and DINO.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// Assigns samples to prototypes so that every prototype gets the same share of them: Q <-
/// exp(scores / epsilon), then `iterations` times the columns are divided by their sums and the
/// rows by theirs (Sinkhorn-Knopp as in SwAV, arXiv:2006.09882, and its authors' code). In log
/// space, where a small epsilon does not overflow.
/// scores      [B, K] any floating type, of the whole batch: a caller with several processes has
///             gathered it; no gradient flows into them
/// epsilon     > 0; the smaller, the closer to one prototype per sample
/// iterations  >= 1; the more, the closer are the sums of the columns to B / K
/// returns     [B, K] float32 (float64 for float64) without a graph, rows that sum to 1. Throws
///             ContractViolation on another shape or other settings.
[[nodiscard]] at::Tensor log_sinkhorn(const at::Tensor& scores,
                                      double epsilon,
                                      std::int64_t iterations);

/// Cross entropy of predicted distributions with fixed ones, -sum_k q_k log softmax(logits)_k.
/// logits   [N, K] any floating type, divided by their temperature
/// targets  [N, K] q, usually rows that sum to 1; no gradient flows into them
/// returns  [] float32 (float64 for float64), mean over N; for equal logits ln K times the sum of a
///          row of q. Throws ContractViolation on unequal shapes.
[[nodiscard]] at::Tensor soft_cross_entropy(const at::Tensor& logits, const at::Tensor& targets);

/// The mean of soft_cross_entropy() over all pairs of a target and a crop, without those of a crop
/// with itself: what SwAV (arXiv:2006.09882) and DINO (arXiv:2104.14294) do with several crops of
/// each image.
/// logits   V of [N, K], V >= 2
/// targets  T of [N, K], 1 <= T <= V: those of the first T crops; no gradient flows into them
/// returns  [] as soft_cross_entropy(). Throws ContractViolation on shapes or counts that do not
///          fit.
[[nodiscard]] at::Tensor multi_crop_cross_entropy(const std::vector<at::Tensor>& logits,
                                                  const std::vector<at::Tensor>& targets);

}  // namespace viewfold
