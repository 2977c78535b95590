// Implements NT-Xent with one [2N, 2N] product.
#include "viewfold/nn/losses/nt_xent.hpp"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {

at::Tensor nt_xent(const at::Tensor& z0, const at::Tensor& z1, double temperature) {
  check_pairs(z0, z1);
  check(temperature > 0, fmt::format("temperature {} must be positive", temperature));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto n = z0.size(0);
  // The temperature is divided out of the [2N, D] factors, which are smaller than the logits.
  const auto z = unit_rows(at::cat({z0, z1})) * (1.0 / std::sqrt(temperature));  // [2N, D]
  auto logits = z.mm(z.t());                                                     // [2N, 2N]
  logits.fill_diagonal_(-std::numeric_limits<double>::infinity());
  const auto partner = at::arange(2 * n, logits.options().dtype(at::kLong)).roll(n);  // [2N]
  return at::cross_entropy_loss(logits, partner);
}

}  // namespace viewfold
