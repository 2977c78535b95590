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

at::Tensor nt_xent_of(const at::Tensor& q,
                      const at::Tensor& positive,
                      const std::vector<at::Tensor>& z,
                      double temperature,
                      const Communicator& communicator) {
  check_pairs(q, positive);
  check(z.size() == 2, "an image has two embeddings");
  check_pairs(q, z[0]);
  check_pairs(q, z[1]);
  check(temperature > 0, fmt::format("temperature {} must be positive", temperature));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto n = q.size(0);
  check(n * communicator.size() >= 2, "one image has no others");
  const auto query = unit_rows(q) * (1.0 / temperature);  // [N, D]
  const auto others =
      query.mm(communicator.all_gather(unit_rows(at::cat(z))).t());  // [N, 2N of all]
  for (std::int64_t view = 0; view < 2; ++view) {                    // its own image is no other
    others.narrow(1, (2 * communicator.rank() + view) * n, n)
        .fill_diagonal_(-std::numeric_limits<double>::infinity());
  }
  // -log(e^p / (e^p + sum e^o)) = log(1 + e^(lse(o) - p))
  return at::softplus(others.logsumexp(1) - (query * unit_rows(positive)).sum(1)).mean();
}

}  // namespace viewfold
