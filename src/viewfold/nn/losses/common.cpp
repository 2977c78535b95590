// Implements normalisation and the shape check of paired embeddings.
#include "viewfold/nn/losses/common.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"

namespace viewfold {

at::Tensor unit_rows(const at::Tensor& z) {
  constexpr double kSmallestNorm = 1e-12;  // as torch::nn::functional::normalize
  const FullPrecision full_precision;
  const auto wide = z.scalar_type() == at::kDouble ? z : z.to(at::kFloat);
  return wide / wide.norm(2, {1}, true).clamp_min(kSmallestNorm);
}

void check_pairs(const at::Tensor& a, const at::Tensor& b) {
  check(a.dim() == 2 && a.sizes() == b.sizes() && a.size(0) >= 1,
        fmt::format("pairs of embeddings need two equal shapes [N, D], not [{}] and [{}]",
                    fmt::join(a.sizes(), ", "), fmt::join(b.sizes(), ", ")));
}

}  // namespace viewfold
