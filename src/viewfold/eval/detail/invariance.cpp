// Implements whitened similarity and distance.
#include "viewfold/eval/invariance.hpp"

#include <utility>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kFewestPerDimension = 2;   // fewer leave the covariance close to singular
constexpr std::int64_t kEnoughPerDimension = 20;  // the study's small-scale version

void check_features(const at::Tensor& features) {
  check(features.defined() && features.dim() == 2 && features.size(1) >= 1 &&
            (features.scalar_type() == at::kFloat || features.scalar_type() == at::kDouble),
        "features to whiten must be a matrix of float32 or float64");
}

void check_fit(const at::Tensor& features, double relative_ridge) {
  check_features(features);
  check(relative_ridge >= 0.0, "a ridge is not negative");
  const std::int64_t images = features.size(0);
  const std::int64_t dim = features.size(1);
  if (images < kFewestPerDimension * dim) {
    throw UsageError(
        fmt::format("whitening features of {} dimensions needs {} images or more, better {}; there "
                    "are {} (take more images, or an encoder with fewer features)",
                    dim, kFewestPerDimension * dim, kEnoughPerDimension * dim, images));
  }
  check(features.isfinite().all().item<bool>(), "features to fit a whitening to must be finite");
}

void check_pair(const at::Tensor& a, const at::Tensor& b) {
  check(a.dim() >= 1 && a.sizes() == b.sizes() && a.scalar_type() == at::kDouble &&
            b.scalar_type() == at::kDouble,
        fmt::format("whitened rows {} and {} must be float64 of one shape", shape_text(a),
                    shape_text(b)));
}

at::Tensor length(const at::Tensor& rows, bool keep_dim) {
  return at::linalg_vector_norm(rows, 2, at::IntArrayRef{-1}, keep_dim);
}

// The mean over the pairs of each object that are not NaN, then over the objects that have any.
// values  [N, V, V]
// counts  [V, V] bool: which pairs count
CountedMean mean_over_objects(const at::Tensor& values, const at::Tensor& counts) {
  const auto pairs = values.flatten(1).index_select(1, counts.flatten().nonzero().flatten());
  auto result = mean_over_grid(pairs);
  result.mean = mean_over_grid(pairs.nanmean(1)).mean;
  return result;
}

}  // namespace

Whitening::Whitening(at::Tensor mean, at::Tensor root, double ridge, std::int64_t images)
    : mean_(std::move(mean)),
      root_(std::move(root)),
      ridge_(ridge),
      images_(images) {}

Whitening Whitening::fit(const at::Tensor& features, double relative_ridge) {
  const at::NoGradGuard no_grad;
  check_fit(features, relative_ridge);
  const std::int64_t images = features.size(0);
  const auto rows = features.to(at::kDouble);
  if (rows.eq(rows.narrow(0, 0, 1)).all().item<bool>()) {
    throw DataError(fmt::format(
        "all {} images have the same features, so that nothing can be said of what changes them "
        "(the encoder has collapsed, or the images are copies of one)",
        images));
  }
  auto mean = rows.mean(0);                                                         // [D]
  const auto centred = rows - mean;                                                 // [M, D]
  auto covariance = centred.t().mm(centred).div_(static_cast<double>(images - 1));  // [D, D]
  const double ridge = relative_ridge * covariance.diagonal().mean().item<double>();
  covariance.diagonal().add_(ridge);
  auto [root, info] = at::linalg_cholesky_ex(covariance);
  if (info.item<std::int64_t>() != 0) {
    throw DataError(
        "these features vary in fewer directions than they have dimensions, and cannot be whitened "
        "as they are (take a ridge above 0, or more images)");
  }
  return {std::move(mean), std::move(root), ridge, images};
}

at::Tensor Whitening::apply(const at::Tensor& features) const {
  const at::NoGradGuard no_grad;
  check_features(features);
  check(features.size(1) == dim(),
        fmt::format("features {} do not fit a whitening of {} dimensions", shape_text(features),
                    dim()));
  const auto centred = features.to(at::kDouble) - mean_;  // [N, D]
  return at::linalg_solve_triangular(root_, centred.t(), /*upper=*/false).t().contiguous();
}

at::Tensor whitened_cosine(const at::Tensor& a, const at::Tensor& b) {
  const at::NoGradGuard no_grad;
  check_pair(a, b);
  // One root of the product: the cosine of a row and itself is then 1 without rounding.
  const auto squares = a.square().sum(-1) * b.square().sum(-1);
  return (a * b).sum(-1).div_(squares.sqrt()).clamp_(-1.0, 1.0);
}

at::Tensor mahalanobis_distance(const at::Tensor& a, const at::Tensor& b) {
  const at::NoGradGuard no_grad;
  check_pair(a, b);
  return length(a - b, false);
}

CountedMean mean_over_grid(const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  check(values.defined() && values.scalar_type() == at::kDouble, "values of a grid are float64");
  const auto missing = values.isnan();
  CountedMean result;
  result.ignored = missing.sum().item<std::int64_t>();
  result.counted = values.numel() - result.ignored;
  if (result.counted > 0) {
    const double sum = values.masked_fill(missing, 0.0).sum().item<double>();
    result.mean = sum / static_cast<double>(result.counted);
  }
  return result;
}

SetSimilarity set_similarity(const at::Tensor& views) {
  const at::NoGradGuard no_grad;
  check(views.defined() && views.dim() == 3 && views.scalar_type() == at::kDouble &&
            views.size(0) >= 1 && views.size(1) >= 2,
        "whitened views must be float64 [objects, views, D], two views or more of each object");
  const std::int64_t count = views.size(1);
  const auto unit = views / length(views, true);                            // [N, V, D]
  const auto cosine = unit.bmm(unit.transpose(1, 2)).clamp_(-1.0, 1.0);     // [N, V, V]
  const auto all = at::ones({count, count}, at::TensorOptions(at::kBool));  // [V, V]
  const auto different = at::eye(count, at::TensorOptions(at::kBool)).logical_not_();
  // By differences: by products, what is identical comes out apart by the root of the rounding.
  constexpr std::int64_t kByDifferences = 2;
  const auto distance = at::cdist(views, views, 2.0, kByDifferences);  // [N, V, V]
  return {.with_diagonal = mean_over_objects(cosine, all),
          .off_diagonal = mean_over_objects(cosine, different),
          .distance = mean_over_objects(distance, different)};
}

}  // namespace viewfold
