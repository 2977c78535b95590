// How little features change when an image does: whitened similarity and distance (Ericsson, Gouk
// and Hospedales, arXiv:2111.11398).
#pragma once

#include <cstdint>
#include <limits>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// Moves features to mean 0 and covariance I: f -> C^-1 (f - mean), where C C^T (C lower
/// triangular) is the covariance of the features that it was fitted to, plus the ridge. Distances
/// between whitened rows are then Mahalanobis distances of the features, and neither these nor
/// whitened cosines depend on an invertible affine map of the features (without a ridge; with one,
/// on none that turns, mirrors, shifts and scales all dimensions alike).
class Whitening {
 public:
  /// The ridge as a share of the mean variance; ours (the paper adds 1e-10 to the variances of a
  /// random encoder only). A direction that varies less than this hardly counts.
  static constexpr double kRelativeRidge = 1e-6;

  /// Fits mean and covariance (divided by M - 1) in float64, and adds relative_ridge * trace / D to
  /// the diagonal. Throws UsageError when M < 2 D, with the number of images that are needed;
  /// DataError when all rows are equal or, without a ridge, the covariance is not positive
  /// definite; ContractViolation when a value is not finite, or the ridge negative.
  /// features  [M, D] float32 or float64; 20 D rows are better than 2 D
  [[nodiscard]] static Whitening fit(const at::Tensor& features,
                                     double relative_ridge = kRelativeRidge);

  /// Whitens each row on its own: a NaN stays in its row. Throws ContractViolation unless the width
  /// is that of the fit.
  /// features  [N, D] float32 or float64
  /// returns   [N, D] float64, contiguous
  [[nodiscard]] at::Tensor apply(const at::Tensor& features) const;

  [[nodiscard]] std::int64_t dim() const { return mean_.size(0); }
  [[nodiscard]] std::int64_t images() const { return images_; }  // rows that it was fitted to
  [[nodiscard]] double ridge() const { return ridge_; }  // what was added, in squared feature units

 private:
  Whitening(at::Tensor mean, at::Tensor root, double ridge, std::int64_t images);

  at::Tensor mean_;  // [D] float64
  at::Tensor root_;  // [D, D] float64, lower triangular
  double ridge_ = 0.0;
  std::int64_t images_ = 0;
};

/// Cosine between whitened rows at the same place, in [-1, 1]; NaN where a row is zero (it has no
/// direction) or has a NaN.
/// a, b     [..., D] float64 of one shape
/// returns  [...] float64
[[nodiscard]] at::Tensor whitened_cosine(const at::Tensor& a, const at::Tensor& b);

/// Mahalanobis distance between features, given their whitened rows: the length of the difference
/// of rows at the same place. Independent images are about sqrt(2 D) apart.
/// a, b     [..., D] float64 of one shape
/// returns  [...] float64
[[nodiscard]] at::Tensor mahalanobis_distance(const at::Tensor& a, const at::Tensor& b);

/// The mean of the values that are not NaN, and how many were and were not.
struct CountedMean {
  double mean = std::numeric_limits<double>::quiet_NaN();  // NaN when all values are
  std::int64_t counted = 0;
  std::int64_t ignored = 0;
};

/// The mean over a grid of images and strengths: S of similarities, L of distances.
/// values  float64 of any shape
[[nodiscard]] CountedMean mean_over_grid(const at::Tensor& values);

/// How alike the views of an object are: means over the pairs of its views, then over objects. Both
/// similarities are 1 when all views are identical. Never to be compared between sets with
/// different numbers of views where the diagonal counts: with V = 2 and a cosine of s between the
/// views it makes (1 + s) / 2 of it.
struct SetSimilarity {
  CountedMean with_diagonal;  // over all V^2 ordered pairs, as the paper
  CountedMean off_diagonal;   // over the V (V - 1) ordered pairs of different views
  CountedMean distance;       // Mahalanobis, over the same pairs
};

/// Similarity within sets of views; `counted` and `ignored` are ordered pairs. Throws
/// ContractViolation unless there are one object or more and two views or more of each.
/// views  [N, V, D] float64, whitened
[[nodiscard]] SetSimilarity set_similarity(const at::Tensor& views);

}  // namespace viewfold
