// Implements the momentum copy, all parameters in one call.
#include "viewfold/nn/momentum.hpp"

#include <cmath>
#include <numbers>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

struct ParameterPairs {
  std::vector<at::Tensor> target;
  std::vector<at::Tensor> source;
};

ParameterPairs pair_parameters(torch::nn::Module& target, const torch::nn::Module& source) {
  ParameterPairs pairs{target.parameters(), source.parameters()};
  check(pairs.target.size() == pairs.source.size(),
        fmt::format("a target of {} parameters cannot follow a source of {}", pairs.target.size(),
                    pairs.source.size()));
  for (std::size_t i = 0; i < pairs.target.size(); ++i) {
    check(pairs.target[i].sizes() == pairs.source[i].sizes(),
          fmt::format("parameter {} of the target has another shape than the source's", i));
  }
  return pairs;
}

}  // namespace

void copy_parameters(const torch::nn::Module& source, torch::nn::Module& target) {
  const auto pairs = pair_parameters(target, source);
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < pairs.target.size(); ++i) {
    pairs.target[i].copy_(pairs.source[i]);
    pairs.target[i].requires_grad_(false);
  }
}

void ema_update(torch::nn::Module& target, const torch::nn::Module& source, double m) {
  check(m >= 0 && m <= 1, fmt::format("momentum {} is not in [0, 1]", m));
  const auto pairs = pair_parameters(target, source);
  if (pairs.target.empty()) {
    return;
  }
  const at::NoGradGuard no_grad;
  RECORD_USER_SCOPE("viewfold::momentum");
  at::_foreach_mul_(pairs.target, m);
  at::_foreach_add_(pairs.target, pairs.source, 1 - m);
}

double cosine_momentum(double start, double progress) {
  return 1.0 - (1.0 - start) * (std::cos(std::numbers::pi * progress) + 1.0) / 2.0;
}

}  // namespace viewfold
