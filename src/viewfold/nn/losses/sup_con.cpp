// Implements the supervised contrastive loss with one product of the anchors with all rows.
#include "viewfold/nn/losses/sup_con.hpp"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {

at::Tensor sup_con(const at::Tensor& z0,
                   const at::Tensor& z1,
                   const at::Tensor& labels,
                   double temperature,
                   const Communicator& communicator) {
  check_pairs(z0, z1);
  check(labels.dim() == 1 && labels.size(0) == z0.size(0) && labels.scalar_type() == at::kLong,
        "every image has one label, int64");
  check(temperature > 0, fmt::format("temperature {} must be positive", temperature));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto n = z0.size(0);
  const auto z = unit_rows(at::cat({z0, z1})) * (1.0 / std::sqrt(temperature));  // [2N, D]
  const auto own = at::cat({labels, labels});                                    // [2N]
  const auto all = communicator.all_gather(own);                                 // [2N of each]
  const auto first = communicator.rank() * 2 * n;  // column of the first anchor
  auto is_self = at::zeros({2 * n, all.size(0)}, own.options().dtype(at::kBool));
  is_self.narrow(1, first, 2 * n).fill_diagonal_(true);
  const auto is_positive = own.unsqueeze(1).eq(all).logical_and(is_self.logical_not());
  const auto logits = z.mm(communicator.all_gather(z).t());  // [2N, 2N of each process]
  const auto losses =
      logits.masked_fill(is_self, -HUGE_VAL).logsumexp(1, true).sub(logits);  // of every pair
  const auto weights =
      is_positive.to(losses.scalar_type()) / is_positive.sum(1, true).to(losses.scalar_type());
  return losses.mul(weights).sum(1).mean();  // the other view is always a positive
}

}  // namespace viewfold
