// Implements the ridge read-out: all penalties from one eigendecomposition.
#include "viewfold/eval/read_out.hpp"

#include <cmath>
#include <string_view>
#include <utility>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kFolds = 5;

bool is_real_matrix(const at::Tensor& tensor) {
  return tensor.defined() && tensor.dim() == 2 && tensor.numel() > 0 &&
         (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble);
}

void check_rows(const ReadOutRows& rows, std::string_view name) {
  check(is_real_matrix(rows.features) && is_real_matrix(rows.targets) &&
            rows.features.size(0) == rows.targets.size(0),
        fmt::format("{} features and targets must be matrices of real numbers with one row for "
                    "each image",
                    name));
  check(rows.features.isfinite().all().item<bool>() && rows.targets.isfinite().all().item<bool>(),
        fmt::format("{} features and targets must be finite", name));
}

ReadOutRows in_double(const ReadOutRows& rows) {
  return {.features = rows.features.to(at::kDouble), .targets = rows.targets.to(at::kDouble)};
}

/// The ridge solutions of some rows for every penalty. With centred X and Y and X'X = V diag(l) V'
/// the weights are V diag(1 / (l + penalty)) V' X' Y; in the dual, with X X' = U diag(l) U', they
/// are X' U diag(1 / (l + penalty)) U' Y. Both are basis * (mixture / (l + penalty)).
class RidgePath {
 public:
  /// rows  in float64
  explicit RidgePath(const ReadOutRows& rows)
      : mean_x_(rows.features.mean(0)),
        mean_y_(rows.targets.mean(0)) {
    const auto x = rows.features - mean_x_;  // [M, D]
    const auto y = rows.targets - mean_y_;   // [M, T]
    const bool dual = x.size(1) > x.size(0);
    auto [values, vectors] = at::linalg_eigh(dual ? x.mm(x.t()) : x.t().mm(x));
    values_ = values.clamp_min(0.0).unsqueeze(1);                    // [R, 1]; R the smaller
    basis_ = dual ? x.t().mm(vectors) : vectors;                     // [D, R]
    mixture_ = vectors.t().mm(dual ? y : x.t().mm(y)).contiguous();  // [R, T]
  }

  /// penalty  [T] or [1] float64, > 0
  [[nodiscard]] RidgeFit fit(const at::Tensor& penalty) const {
    auto weight = basis_.mm(mixture_ / (values_ + penalty));  // [D, T]
    auto bias = mean_y_ - mean_x_.unsqueeze(0).mm(weight).squeeze(0);
    return {.weight = std::move(weight), .bias = std::move(bias)};
  }

  /// Sums of squared errors on other rows.
  /// penalties  [P] float64, > 0
  /// returns    [P, T]
  [[nodiscard]] at::Tensor squared_errors(const ReadOutRows& rows,
                                          const at::Tensor& penalties) const {
    const auto projected = (rows.features - mean_x_).mm(basis_);  // [Q, R]
    const auto y = rows.targets - mean_y_;                        // [Q, T]
    std::vector<at::Tensor> errors;
    for (std::int64_t i = 0; i < penalties.size(0); ++i) {
      const auto predicted = projected.mm(mixture_ / (values_ + penalties[i]));
      errors.push_back(predicted.sub(y).square().sum(0));
    }
    return at::stack(errors);
  }

 private:
  at::Tensor mean_x_;   // [D]
  at::Tensor mean_y_;   // [T]
  at::Tensor values_;   // [R, 1]
  at::Tensor basis_;    // [D, R]
  at::Tensor mixture_;  // [R, T]
};

/// Moves features to mean 0 and standard deviation 1 in every dimension that varies, and leaves the
/// others out.
class Standardization {
 public:
  explicit Standardization(const at::Tensor& features) {
    const auto [variance, mean] = at::var_mean(features, 0, /*unbiased=*/false);
    const auto deviation = variance.sqrt();
    // What rounding leaves of a constant is no variation.
    kept_ = deviation.gt(mean.abs().mul(1e-6).add(1e-12)).nonzero().flatten();
    mean_ = mean.index_select(0, kept_);
    deviation_ = deviation.index_select(0, kept_);
  }

  [[nodiscard]] at::Tensor operator()(const at::Tensor& features) const {
    return features.index_select(1, kept_).sub_(mean_).div_(deviation_);
  }

 private:
  at::Tensor kept_;       // [K] int64
  at::Tensor mean_;       // [K]
  at::Tensor deviation_;  // [K]
};

// [P] float64, the strongest first: of equal errors the first is taken.
at::Tensor penalties() {
  constexpr std::int64_t kPenalties = 45;
  return at::logspace(5.0, -6.0, kPenalties, 10.0, at::TensorOptions(at::kDouble));
}

// rows  [Q] int64
ReadOutRows select(const ReadOutRows& from, const at::Tensor& rows) {
  return {.features = from.features.index_select(0, rows),
          .targets = from.targets.index_select(0, rows)};
}

// [T]: of each target the penalty with the smallest error on rows held out.
at::Tensor choose_penalties(const ReadOutRows& train, std::uint64_t seed) {
  const std::int64_t count = train.features.size(0);
  const auto drawn =
      Rng({.seed = seed, .stream = "read_out"}).permutation(static_cast<std::uint32_t>(count));
  const auto order =
      at::tensor(std::vector<std::int64_t>(drawn.begin(), drawn.end()), at::kLong);  // [M]
  const auto candidates = penalties();
  auto errors = at::zeros({candidates.size(0), train.targets.size(1)}, at::kDouble);  // [P, T]
  for (std::int64_t fold = 0; fold < kFolds; ++fold) {
    const std::int64_t first = count * fold / kFolds;
    const std::int64_t end = count * (fold + 1) / kFolds;
    const auto held = order.slice(0, first, end);
    const auto rest = at::cat({order.slice(0, 0, first), order.slice(0, end, count)});
    errors += RidgePath(select(train, rest)).squared_errors(select(train, held), candidates);
  }
  return candidates.index_select(0, errors.argmin(0));
}

std::vector<double> values_of(const at::Tensor& row) {
  const auto values = row.contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

}  // namespace

at::Tensor RidgeFit::predict(const at::Tensor& features) const {
  const at::NoGradGuard no_grad;
  check(is_real_matrix(features) && features.size(1) == weight.size(0),
        fmt::format("features {} do not fit weights {}", shape_text(features), shape_text(weight)));
  return features.to(at::kDouble).mm(weight) + bias;
}

RidgeFit fit_ridge(const ReadOutRows& rows, double penalty) {
  const at::NoGradGuard no_grad;
  check_rows(rows, "training");
  check(std::isfinite(penalty) && penalty > 0.0, "the penalty of a ridge is above 0");
  return RidgePath(in_double(rows)).fit(at::full({1}, penalty, at::kDouble));
}

std::vector<double> r_squared(const at::Tensor& truth, const at::Tensor& predicted) {
  const at::NoGradGuard no_grad;
  check(is_real_matrix(truth) && is_real_matrix(predicted) && truth.sizes() == predicted.sizes(),
        fmt::format("truth {} and predicted {} must be matrices of one shape", shape_text(truth),
                    shape_text(predicted)));
  const auto y = truth.to(at::kDouble);
  const auto constant = y.eq(y.narrow(0, 0, 1)).all(0);  // [T]
  if (constant.any().item<bool>()) {
    throw UsageError(
        fmt::format("target {} (counted from 0) has one value in all {} test rows, and no R^2 "
                    "(leave it out, or "
                    "take more test images)",
                    constant.nonzero()[0].item<std::int64_t>(), y.size(0)));
  }
  const auto residual = (y - predicted.to(at::kDouble)).square().sum(0);  // [T]
  const auto total = (y - y.mean(0)).square().sum(0);                     // [T]
  return values_of(1.0 - residual / total);
}

ReadOut read_out(const ReadOutRows& train, const ReadOutRows& test, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  check_rows(train, "training");
  check_rows(test, "test");
  check(train.features.size(1) == test.features.size(1) &&
            train.targets.size(1) == test.targets.size(1),
        "training and test rows must have the same features and targets");
  if (train.features.size(0) < 2 * kFolds) {
    throw UsageError(fmt::format("a read-out needs {} training images or more; there are {}",
                                 2 * kFolds, train.features.size(0)));
  }
  const auto rows = in_double(train);
  const Standardization standardize(rows.features);
  const ReadOutRows standardized{.features = standardize(rows.features), .targets = rows.targets};
  if (standardized.features.size(1) == 0) {
    throw DataError(
        "no feature varies among the training images, so that nothing can be read from them (the "
        "encoder has collapsed)");
  }
  const auto penalty = choose_penalties(standardized, seed);  // [T]
  const auto fitted = RidgePath(standardized).fit(penalty);
  const auto predicted = fitted.predict(standardize(test.features.to(at::kDouble)));
  return {.r_squared = r_squared(test.targets, predicted), .penalty = values_of(penalty)};
}

}  // namespace viewfold
