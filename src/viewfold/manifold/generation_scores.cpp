// Implements scores of generated images.
#include "viewfold/manifold/generation_scores.hpp"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

struct Gaussian {
  at::Tensor mean;        // [D] float64
  at::Tensor covariance;  // [D, D] float64
};

Gaussian gaussian_of(const at::Tensor& features) {
  check(features.dim() == 2 && features.size(0) >= 2, "a Gaussian needs two rows of features");
  const auto rows = features.to(at::kDouble);
  const auto mean = rows.mean(0);
  const auto centred = rows - mean;
  return {mean, centred.t().mm(centred) / static_cast<double>(rows.size(0) - 1)};
}

// The positive root of a positive semidefinite matrix; rounding below zero is zero.
at::Tensor matrix_root(const at::Tensor& matrix) {
  const auto [values, vectors] = at::linalg_eigh(matrix);
  return vectors.mm(at::diag(values.clamp_min(0.0).sqrt())).mm(vectors.t());
}

// [M]: of each row the distance to its k-th nearest other row.
at::Tensor radii(const at::Tensor& rows, std::int64_t k) {
  return std::get<0>(at::kthvalue(at::cdist(rows, rows), k + 1, 1));  // the nearest is itself
}

// Share of `rows` inside at least one of the balls.
double share_inside(const at::Tensor& rows, const at::Tensor& centres, const at::Tensor& radius) {
  const auto inside = at::cdist(rows, centres) <= radius.unsqueeze(0);  // [rows, centres]
  return inside.any(1).to(at::kDouble).mean().item<double>();
}

at::Tensor unit(const at::Tensor& rows) {
  return rows / at::linalg_vector_norm(rows, 2, at::IntArrayRef{-1}, true).clamp_min(1e-12);
}

}  // namespace

double frechet_distance(const at::Tensor& real, const at::Tensor& generated) {
  const at::NoGradGuard no_grad;
  const Gaussian a = gaussian_of(real);
  const Gaussian b = gaussian_of(generated);
  check(a.mean.sizes() == b.mean.sizes(), "both sets must have features of one width");
  const auto root = matrix_root(a.covariance);
  const auto product = at::linalg_eigvalsh(root.mm(b.covariance).mm(root));
  const auto trace =
      at::trace(a.covariance) + at::trace(b.covariance) - 2.0 * product.clamp_min(0.0).sqrt().sum();
  return ((a.mean - b.mean).square().sum() + trace).item<double>();
}

PrecisionRecall precision_recall(const at::Tensor& real,
                                 const at::Tensor& generated,
                                 std::int64_t k) {
  const at::NoGradGuard no_grad;
  check(k >= 1 && real.size(0) > k && generated.size(0) > k, "each set must have more than k rows");
  return {.precision = share_inside(generated, real, radii(real, k)),
          .recall = share_inside(real, generated, radii(generated, k))};
}

double mean_spread(const at::Tensor& features) {
  const at::NoGradGuard no_grad;
  check(features.dim() == 3 && features.size(1) >= 2, "a spread needs groups of two or more");
  const auto members = unit(features);
  const std::int64_t s = features.size(1);
  const auto distances = at::cdist(members, members);  // [G, S, S], 0 on the diagonals
  return distances.to(at::kDouble).sum().item<double>() /
         static_cast<double>(features.size(0) * s * (s - 1));
}

double mean_cosine(const at::Tensor& a, const at::Tensor& b) {
  const at::NoGradGuard no_grad;
  return (unit(a) * unit(b)).sum(1).to(at::kDouble).mean().item<double>();
}

}  // namespace viewfold
