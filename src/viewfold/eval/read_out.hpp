// How well numbers behind an image (what was done to it, what it was rendered from) can be read
// from its features by a linear map: ridge regression.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// Features and what is to be read from them, one row for each image.
struct ReadOutRows {
  at::Tensor features = {};  // [M, D] float32 or float64, finite
  at::Tensor targets = {};   // [M, T] float32 or float64, finite; of an angle its sine and cosine
};

/// targets = features * weight + bias.
struct RidgeFit {
  at::Tensor weight = {};  // [D, T] float64
  at::Tensor bias = {};    // [T] float64

  /// features  [N, D] float32 or float64
  /// returns   [N, T] float64. Throws ContractViolation when shapes do not fit.
  [[nodiscard]] at::Tensor predict(const at::Tensor& features) const;
};

/// Minimises |targets - features * weight - bias|^2 + penalty |weight|^2, the bias free, in
/// float64: by the normal equations or, when D > M, by their dual. Features are taken as they are.
/// Throws ContractViolation when shapes do not fit, values are not finite, or penalty <= 0.
[[nodiscard]] RidgeFit fit_ridge(const ReadOutRows& rows, double penalty);

/// R^2 of each column: 1 - sum (truth - predicted)^2 / sum (truth - mean of truth)^2. 1 is perfect,
/// 0 as good as the mean, below 0 worse. Throws UsageError when a column of truth has one value
/// only; ContractViolation when shapes do not fit.
/// truth, predicted  [M, T] float32 or float64, M >= 1
[[nodiscard]] std::vector<double> r_squared(const at::Tensor& truth, const at::Tensor& predicted);

/// One number for each target.
struct ReadOut {
  std::vector<double> r_squared = {};  // on test rows
  std::vector<double> penalty = {};    // that was chosen
};

/// Ridge regression of each target on its own: features are moved to mean 0 and standard deviation
/// 1 by the training rows (those that do not vary there are left out), the penalty is the one with
/// the smallest squared error in 5-fold cross-validation on the training rows (of equal ones the
/// strongest), and the map is fitted to all of them with it. Penalties are the 45 of arXiv
/// 2111.11398 (eval_downstream.py of linusericsson/ssl-invariances): 10^-6 .. 10^5, evenly in the
/// exponent; one at an end says that the best may lie beyond. Rows must be of different images, or
/// folds know each other. Throws UsageError when there are fewer than 10 training rows, or a test
/// target has one value only; ContractViolation when shapes do not fit or values are not finite.
/// seed  of the division into folds
[[nodiscard]] ReadOut read_out(const ReadOutRows& train,
                               const ReadOutRows& test,
                               std::uint64_t seed);

}  // namespace viewfold
