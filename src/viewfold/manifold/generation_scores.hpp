// How good generated images are, by features of an encoder and without labels.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// Frechet distance between two sets of features, each seen as a Gaussian: |m1 - m2|^2 + tr(S1 + S2
/// - 2 (S1 S2)^(1/2)) (Heusel et al., arXiv:1706.08500, Sec. 2, in other features than
/// Inception's). real, generated  [M, D] and [Q, D] float32, M, Q >= 2. Computed in float64.
[[nodiscard]] double frechet_distance(const at::Tensor& real, const at::Tensor& generated);

/// Shares of each set that lie in the manifold of the other, where a manifold is a ball around each
/// row up to its k-th nearest other row (Kynkaanniemi et al., arXiv:1904.06991, Eq. 1 and 2).
struct PrecisionRecall {
  double precision = 0.0;  // of generated ones among real ones: quality
  double recall = 0.0;     // of real ones among generated ones: variety
};
[[nodiscard]] PrecisionRecall precision_recall(const at::Tensor& real,
                                               const at::Tensor& generated,
                                               std::int64_t k = 3);

/// Mean distance between the unit features of two members of a group.
/// features  [G, S, D] float32: S >= 2 members of each of G groups
[[nodiscard]] double mean_spread(const at::Tensor& features);

/// Mean cosine between rows at the same place.
/// a, b  [N, D] float32
[[nodiscard]] double mean_cosine(const at::Tensor& a, const at::Tensor& b);

}  // namespace viewfold
