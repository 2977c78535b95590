// Implements access to single views.
#include "viewfold/tensor/view_batch.hpp"

#include <ATen/ATen.h>

#include "viewfold/core/error.hpp"

namespace viewfold {

at::Tensor ViewBatch::view(std::int64_t v) const {
  check(v >= 0 && v < views, "the batch has no such view");
  return stacked.narrow(0, v * size(), size());  // [N, C, H, W]
}

}  // namespace viewfold
