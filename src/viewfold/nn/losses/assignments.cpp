// Implements the balanced assignment and the cross entropies with fixed distributions.
#include "viewfold/nn/losses/assignments.hpp"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {
namespace {

at::Tensor at_least_float(const at::Tensor& values) {
  return values.scalar_type() == at::kDouble ? values : values.to(at::kFloat);
}

// The sum of all targets but that of crop `crop`; undefined where there is no other.
at::Tensor sum_of_others(const std::vector<at::Tensor>& targets, std::size_t crop) {
  at::Tensor sum;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    if (t != crop) {
      sum = sum.defined() ? sum + targets[t].detach() : targets[t].detach();
    }
  }
  return sum;
}

}  // namespace

at::Tensor log_sinkhorn(const at::Tensor& scores, double epsilon, std::int64_t iterations) {
  check(scores.dim() == 2 && scores.size(0) >= 1 && scores.size(1) >= 1,
        fmt::format("scores [{}] are not [B, K]", fmt::join(scores.sizes(), ", ")));
  check(epsilon > 0 && iterations >= 1,
        fmt::format("Sinkhorn needs epsilon {} > 0 and {} >= 1 iterations", epsilon, iterations));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const at::NoGradGuard no_grad;
  auto log_q = at_least_float(scores.detach()).div(epsilon);  // [B, K]
  for (std::int64_t i = 0; i < iterations; ++i) {
    // What the paper divides by besides, B and K, the next line takes away again.
    log_q.sub_(log_q.logsumexp(0, true));
    log_q.sub_(log_q.logsumexp(1, true));
  }
  return log_q.exp_();
}

at::Tensor soft_cross_entropy(const at::Tensor& logits, const at::Tensor& targets) {
  check_pairs(logits, targets);
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto log_p = at_least_float(logits).log_softmax(1);  // [N, K]
  return -(targets.detach().to(log_p.scalar_type()) * log_p).sum(1).mean();
}

at::Tensor multi_crop_cross_entropy(const std::vector<at::Tensor>& logits,
                                    const std::vector<at::Tensor>& targets) {
  check(logits.size() >= 2 && !targets.empty() && targets.size() <= logits.size(),
        fmt::format("{} crops cannot be compared with {} targets", logits.size(), targets.size()));
  for (const auto& target : targets) {
    check_pairs(target, targets.front());
  }
  // The loss is linear in the target: a crop that is compared with several is once with their sum.
  const auto all = sum_of_others(targets, targets.size());
  at::Tensor sum;
  for (std::size_t v = 0; v < logits.size(); ++v) {
    const auto wanted = v < targets.size() ? sum_of_others(targets, v) : all;
    if (wanted.defined()) {
      const auto loss = soft_cross_entropy(logits[v], wanted);
      sum = sum.defined() ? sum + loss : loss;
    }
  }
  return sum / static_cast<double>(targets.size() * (logits.size() - 1));
}

}  // namespace viewfold
