// Implements uniformity as a loss.
#include "viewfold/nn/losses/uniformity.hpp"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {

at::Tensor uniformity_loss(const at::Tensor& z, double t, const Communicator& communicator) {
  check(z.dim() == 2 && z.size(0) * communicator.size() >= 2, "uniformity is of two rows or more");
  check(t > 0, fmt::format("t {} must be positive", t));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto all = communicator.all_gather(unit_rows(z));  // [M, D]
  const auto m = all.size(0);
  // exp(-t |u - v|^2) = exp(2 t (u.v - 1)); a row of zeros counts as orthogonal to all.
  const auto potential = all.mm(all.t()).sub(1.0).mul(2.0 * t);
  const auto is_self = at::eye(m, potential.options().dtype(at::kBool));
  return potential.masked_fill(is_self, -HUGE_VAL)
      .flatten()
      .logsumexp(0)
      .sub(std::log(static_cast<double>(m)) + std::log(static_cast<double>(m - 1)));
}

}  // namespace viewfold
