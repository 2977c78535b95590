// Implements both losses on the rows of all processes, without a [D, D] matrix where D is large.
#include "viewfold/nn/losses/redundancy.hpp"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {
namespace {

void check_batch(const at::Tensor& z0, const at::Tensor& z1, const Communicator& communicator) {
  check_pairs(z0, z1);
  check(communicator.size() * z0.size(0) >= 2, "one image has no variance over the batch");
}

// Of all processes, float64 for float64 and float32 for all others: [size * N, D].
at::Tensor all_rows(const at::Tensor& z, const Communicator& communicator) {
  return communicator.all_gather(z.scalar_type() == at::kDouble ? z : z.to(at::kFloat));
}

at::Tensor centred(const at::Tensor& z) {
  return z - z.mean(0, true);
}

at::Tensor standardised(const at::Tensor& z) {
  constexpr double kEpsilon = 1e-5;  // of torch::nn::BatchNorm1d, which the authors' code uses
  const auto c = centred(z);
  return c * (c.square().mean(0, true) + kEpsilon).rsqrt();
}

// The sum of the squares of M = a^T b off its diagonal, a and b [N, D]. Of M itself it is
// |M|^2 = <a a^T, b b^T>, for which [N, N] is enough: with the papers' 8192 outputs M alone would
// take 256 MB.
at::Tensor off_diagonal_squares(const at::Tensor& a, const at::Tensor& b) {
  if (a.size(0) < a.size(1)) {
    const auto gram_a = a.mm(a.t());                          // [N, N]
    const auto gram_b = a.is_same(b) ? gram_a : b.mm(b.t());  // [N, N]
    return (gram_a * gram_b).sum() - (a * b).sum(0).square().sum();
  }
  const auto m = a.t().mm(b);  // [D, D]
  return (m - at::diag(m.diagonal())).square().sum();
}

// Of one view: rows are centred.
at::Tensor variance_hinge(const at::Tensor& rows) {
  const auto var = rows.square().sum(0) / static_cast<double>(rows.size(0) - 1);  // [D]
  return (kVicRegGamma - (var + kVicRegEpsilon).sqrt()).clamp_min(0.0).mean();
}

// Of one view: rows are centred.
at::Tensor covariance_penalty(const at::Tensor& rows) {
  const auto others = static_cast<double>(rows.size(0) - 1);
  return off_diagonal_squares(rows, rows) / (others * others * static_cast<double>(rows.size(1)));
}

}  // namespace

BarlowTwinsLoss barlow_twins(const at::Tensor& z0,
                             const at::Tensor& z1,
                             double lambda,
                             const Communicator& communicator) {
  check_batch(z0, z1, communicator);
  check(lambda >= 0, fmt::format("lambda {} must not be negative", lambda));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto a = standardised(all_rows(z0, communicator));
  const auto b = standardised(all_rows(z1, communicator));
  const auto n = static_cast<double>(a.size(0));
  const auto invariance = (1.0 - (a * b).mean(0)).square().sum();
  const auto redundancy = off_diagonal_squares(a, b) / (n * n);
  return {
      .loss = invariance + lambda * redundancy, .invariance = invariance, .redundancy = redundancy};
}

VicRegLoss vicreg(const at::Tensor& z0,
                  const at::Tensor& z1,
                  const VicRegWeights& weights,
                  const Communicator& communicator) {
  check_batch(z0, z1, communicator);
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto rows0 = all_rows(z0, communicator);
  const auto rows1 = all_rows(z1, communicator);
  const auto c0 = centred(rows0);
  const auto c1 = centred(rows1);
  const auto invariance = (rows0 - rows1).square().mean();
  const auto variance = (variance_hinge(c0) + variance_hinge(c1)) / 2.0;
  const auto covariance = covariance_penalty(c0) + covariance_penalty(c1);
  return {.loss = weights.invariance * invariance + weights.variance * variance +
                  weights.covariance * covariance,
          .invariance = invariance,
          .variance = variance,
          .covariance = covariance};
}

}  // namespace viewfold
