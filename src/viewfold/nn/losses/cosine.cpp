// Implements the two losses as one: they differ by a factor and a constant.
#include "viewfold/nn/losses/cosine.hpp"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include "viewfold/nn/losses/common.hpp"

namespace viewfold {

at::Tensor negative_cosine(const at::Tensor& p, const at::Tensor& z) {
  check_pairs(p, z);
  RECORD_USER_SCOPE(kLossScope);
  return -(unit_rows(p) * unit_rows(z.detach())).sum(1).mean();
}

at::Tensor byol_regression(const at::Tensor& p, const at::Tensor& z) {
  return 2 + 2 * negative_cosine(p, z);
}

}  // namespace viewfold
