// Implements NT-Xent with one product of the anchors with all rows.
#include "viewfold/nn/losses/nt_xent.hpp"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {

at::Tensor nt_xent(const at::Tensor& z0,
                   const at::Tensor& z1,
                   double temperature,
                   const Communicator& communicator) {
  check_pairs(z0, z1);
  check(temperature > 0, fmt::format("temperature {} must be positive", temperature));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto n = z0.size(0);
  // The temperature is divided out of the [2N, D] factors, which are smaller than the logits.
  const auto z = unit_rows(at::cat({z0, z1})) * (1.0 / std::sqrt(temperature));  // [2N, D]
  const auto logits = z.mm(communicator.all_gather(z).t());  // [2N, 2N of each process]
  const auto first = communicator.rank() * 2 * n;            // column of the first anchor
  logits.narrow(1, first, 2 * n).fill_diagonal_(-std::numeric_limits<double>::infinity());
  const auto partner =
      at::arange(2 * n, logits.options().dtype(at::kLong)).roll(n).add(first);  // [2N]
  return at::cross_entropy_loss(logits, partner);
}

}  // namespace viewfold
