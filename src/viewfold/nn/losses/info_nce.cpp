// Implements InfoNCE without joining the positive to the [N, K] negatives.
#include "viewfold/nn/losses/info_nce.hpp"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {

at::Tensor info_nce_with_queue(const at::Tensor& q,
                               const at::Tensor& k,
                               const at::Tensor& queue,
                               double temperature) {
  check_pairs(q, k);
  check(queue.dim() == 2 && queue.size(0) >= 1 && queue.size(1) == q.size(1),
        fmt::format("a queue [{}] does not fit queries [{}]", fmt::join(queue.sizes(), ", "),
                    fmt::join(q.sizes(), ", ")));
  check(temperature > 0, fmt::format("temperature {} must be positive", temperature));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto query = unit_rows(q) * (1.0 / temperature);                  // [N, D]
  const auto positive = (query * unit_rows(k.detach())).sum(1);           // [N]
  const auto negatives = query.mm(queue.detach().to(query.dtype()).t());  // [N, K]
  // -log(e^p / (e^p + sum e^n)) = log(1 + e^(lse(n) - p)): no [N, 1 + K] copy of the logits.
  return at::softplus(negatives.logsumexp(1) - positive).mean();
}

at::Tensor info_nce(const at::Tensor& q,
                    const at::Tensor& k,
                    double temperature,
                    const Communicator& communicator) {
  check_pairs(q, k);
  check(temperature > 0, fmt::format("temperature {} must be positive", temperature));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto query = unit_rows(q) * (1.0 / temperature);                    // [N, D]
  const auto logits = query.mm(communicator.all_gather(unit_rows(k)).t());  // [N, N of all]
  const auto n = q.size(0);
  const auto own =
      at::arange(n, logits.options().dtype(at::kLong)).add(communicator.rank() * n);  // [N]
  return at::cross_entropy_loss(logits, own);
}

}  // namespace viewfold
