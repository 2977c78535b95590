// The views of a batch of samples, as the training step sees them.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/augment/recipe.hpp"

namespace viewfold {

/// The views of N samples, their data set indices, their drawn parameters.
struct ViewBatch {
  at::Tensor stacked;  // [V * N, C, H, W] float32, channels-last, normalised: view 0 of all, view 1
                       // of all, ...
  std::int64_t views = 0;                      // V
  std::vector<std::uint32_t> indices;          // N, into the training data set
  std::vector<std::vector<OpRecord>> records;  // V * N, in the order of `stacked`
  std::int64_t epoch = 0;

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(indices.size()); }

  /// View v of all samples: [N, C, H, W], a slice of `stacked`.
  [[nodiscard]] at::Tensor view(std::int64_t v) const;
};

}  // namespace viewfold
