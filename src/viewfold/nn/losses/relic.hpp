// The loss of ReLIC: find the target of the same image, and find it alike when the two views swap
// their roles.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// What of the invariance term sends no gradient, besides the targets. The value is the same.
enum class RelicStop {
  kEntropy,       // the entropy of P: KL = sg[sum P ln P] - sum P ln Q
  kDistribution,  // all of P: a cross entropy with a fixed target
};

/// One pair of views: row i of online and target belongs to one image.
struct RelicRows {
  at::Tensor online;       // [N, D] o, any floating type, any length
  at::Tensor target;       // [N, D] t; no gradient flows into it
  at::Tensor all_online;   // [B, D] o of the batch of all processes, these N among them
  at::Tensor all_targets;  // [B, D] t of the same images in the same order; no gradient either
};

/// The two parts of the loss, each [] float32 (float64 for float64), means over N.
struct RelicTerms {
  at::Tensor nll;
  at::Tensor kl;  // >= 0, but for rounding
};

/// Negatives of each image of a batch, drawn from LibTorch's default generator: of the other
/// images, uniformly and none twice.
/// batch    B >= 1 images
/// count    n_e >= 1; from B - 1 on, these are all others and nothing is drawn
/// returns  [B, min(n_e, B - 1)] int64, in no particular order. Throws ContractViolation below the
///          bounds.
[[nodiscard]] at::Tensor draw_negatives(std::int64_t batch, std::int64_t count);

/// Contrast and invariance of one pair of views (ReLICv2, arXiv:2201.05119; ReLIC,
/// arXiv:2010.07922). With Z_ik = cos(o_i, t_k) / tau and the candidates C_i = {i} and the
/// negatives of i,
///   nll = -mean_i ln P_i(i),  kl = mean_i KL(P_i || Q_i),
/// where P_i is the softmax of Z_ik over k in C_i and Q_i that of Z_ki: the same candidates with
/// the roles of the two views swapped.
/// negatives    [N, n_e] int64 rows of all_online and all_targets, without image i in row i; n_e
/// may
///              be 0
/// temperature  tau > 0
/// Throws ContractViolation on shapes that do not fit.
[[nodiscard]] RelicTerms relic(const RelicRows& rows,
                               const at::Tensor& negatives,
                               double temperature,
                               RelicStop stop);

}  // namespace viewfold
