// Multinomial logistic regression on frozen features, fitted to its optimum by L-BFGS.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// Moves features to mean 0 and standard deviation 1 of a training set in every dimension.
class Standardization {
 public:
  /// train  [N, D] float32, N >= 1
  explicit Standardization(const at::Tensor& train);

  /// features  [M, D] float32
  /// returns   [M, D] float32; 0 in dimensions that do not vary in the training set
  [[nodiscard]] at::Tensor operator()(const at::Tensor& features) const;

 private:
  at::Tensor mean_;     // [D]
  at::Tensor inverse_;  // [D], 1 / std; 0 for a dimension that does not vary
};

/// Weights in double precision: rounding of sums is then below what the line search looks at.
struct Probe {
  at::Tensor weight;  // [D, C] float64
  at::Tensor bias;    // [C] float64

  /// x        [M, D] float32, standardised
  /// returns  [M] int64
  [[nodiscard]] at::Tensor predict(const at::Tensor& x) const;
};

/// What a probe is fitted to.
struct ProbeData {
  at::Tensor x;       // [N, D] float32, standardised, N >= 1
  at::Tensor labels;  // [N] int64 in [0, classes)
  std::int64_t classes = 0;
};

/// How a fit ended.
struct ProbeFit {
  Probe probe;
  double gradient = 0.0;  // largest component at the end
  std::int64_t evaluations = 0;
};

/// Minimises the summed cross entropy + l2 / 2 |weight|^2 in full batches from zero. Gives the same
/// bits for any number of threads; many times faster under SingleThreadedBlas.
/// iterations  of L-BFGS at most; it stops when the gradient is small
[[nodiscard]] ProbeFit fit_probe(const ProbeData& data, double l2, std::int64_t iterations);

/// The best of l2 = 1, 10, 100 and 1000 on a tenth of the rows (of 30000 at most) held out, which
/// `seed` chooses; the strongest of equal ones. l2 counts as beside all N rows. 1 of a single row.
[[nodiscard]] double choose_probe_l2(const ProbeData& data, std::uint64_t seed);

/// Share of labels that are equal.
/// truth, predicted  [M] int64, M >= 1
[[nodiscard]] double label_accuracy(const at::Tensor& truth, const at::Tensor& predicted);

}  // namespace viewfold
