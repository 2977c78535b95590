// Implements the contrast with other images, and the margins of its positive.
#include "viewfold/nn/losses/inter_image.hpp"

#include <cmath>
#include <numbers>

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {
namespace {

at::Tensor with_arc_margin(const at::Tensor& cosine, double m) {
  // At a cosine of 1 the root has no derivative.
  constexpr double kSmallestSquare = 1e-14;
  if (m == 0.0) {
    return cosine;
  }
  const auto sine = (1.0 - cosine * cosine).clamp_min(kSmallestSquare).sqrt();
  const auto arc = cosine * std::cos(m) - sine * std::sin(m);  // cos(theta + m)
  if (m < 0.0) {
    return at::where(cosine < std::cos(m), arc, cosine + m * std::sin(m));
  }
  const double last = std::numbers::pi - m;
  return at::where(cosine > std::cos(last), arc, cosine - m * std::sin(last));
}

}  // namespace

at::Tensor with_margin(const at::Tensor& cosine, const Margin& margin) {
  if (margin.kind == MarginKind::kCosine) {
    return cosine - margin.m;
  }
  check(std::abs(margin.m) <= std::numbers::pi,
        fmt::format("an arc of {} radians is more than half a turn", margin.m));
  return with_arc_margin(cosine, margin.m);
}

at::Tensor inter_image(const at::Tensor& q,
                       const at::Tensor& positives,
                       const at::Tensor& negatives,
                       const Margin& margin,
                       double temperature) {
  check_pairs(q, positives);
  check(negatives.dim() == 3 && negatives.size(0) == q.size(0) && negatives.size(1) >= 1 &&
            negatives.size(2) == q.size(1),
        fmt::format("negatives [{}] do not fit queries [{}]", fmt::join(negatives.sizes(), ", "),
                    fmt::join(q.sizes(), ", ")));
  check(temperature > 0, fmt::format("temperature {} must be positive", temperature));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto query = unit_rows(q);                                                   // [N, C]
  const auto cosine = (query * positives.detach().to(query.dtype())).sum(1);         // [N]
  const auto others = negatives.detach().to(query.dtype()).bmm(query.unsqueeze(2));  // [N, R, 1]
  const auto positive = with_margin(cosine, margin).mul(1.0 / temperature);          // [N]
  const auto negative = others.squeeze(2).mul(1.0 / temperature).logsumexp(1);       // [N]
  // -log(e^p / (e^p + sum e^n)) = log(1 + e^(lse(n) - p))
  return at::softplus(negative - positive).mean();
}

}  // namespace viewfold
