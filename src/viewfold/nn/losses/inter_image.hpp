// Contrast with other images that share a pseudo-label, the loss that InterCLR adds.
#pragma once

#include <ATen/core/Tensor.h>

namespace viewfold {

/// What a margin m moves: the cosine, or its angle.
enum class MarginKind { kCosine, kArc };

/// How far a positive must be ahead of the negatives; below 0, how far it may lag behind them.
struct Margin {
  MarginKind kind = MarginKind::kCosine;
  double m = 0.0;  // of an arc in radians, in [-pi, pi]
};

/// Cosines of positives, less a margin (InterCLR, arXiv:2008.11702, the authors' code). By the
/// cosine: s - m. By the arc: cos(theta + m) with s = cos(theta) where theta + m is in (0, pi),
/// else a line of slope 1, s + m sin(m) for m < 0 and s - m sin(pi - m) for m >= 0. The line does
/// not meet the arc: they are cos|m| + |m| sin|m| - 1 apart.
/// cosine   any shape, float32 or float64
/// returns  the same shape and type. Throws ContractViolation on an arc of more than pi.
[[nodiscard]] at::Tensor with_margin(const at::Tensor& cosine, const Margin& margin);

/// Cross entropy of each query with one positive against R negatives, (s+, s-) / T with a margin on
/// the positive (InterCLR, arXiv:2008.11702).
/// q            [N, C] any floating type, any length
/// positives    [N, C] unit rows; no gradient flows into them
/// negatives    [N, R, C] unit rows, R >= 1; no gradient flows into them
/// temperature  T > 0
/// returns      [] float32 (float64 for float64), mean over N. Throws ContractViolation on shapes
///              that do not fit.
[[nodiscard]] at::Tensor inter_image(const at::Tensor& q,
                                     const at::Tensor& positives,
                                     const at::Tensor& negatives,
                                     const Margin& margin,
                                     double temperature);

}  // namespace viewfold
