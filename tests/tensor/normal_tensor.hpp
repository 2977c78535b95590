// Random tensors for tests, a function of their seed on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/torch.h>

#include "viewfold/core/rng.hpp"

namespace viewfold {

/// Standard normal values of shape `sizes`.
inline at::Tensor normal_tensor(const std::vector<std::int64_t>& sizes,
                                std::uint64_t seed,
                                at::ScalarType type = at::kDouble) {
  Rng rng({.seed = seed, .stream = "test"});
  auto values = at::empty(sizes, at::kDouble);
  auto* data = values.data_ptr<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    data[i] = rng.normal();
  }
  return values.to(type);
}

}  // namespace viewfold
