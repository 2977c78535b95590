// What the tests of all losses need: slow cosines, and derivatives by differences.
#pragma once

#include <cmath>
#include <functional>

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace viewfold {

/// Rounding of float32: 2^-24.
inline constexpr double kEps32 = 5.9604644775390625e-8;

/// Cosine of row i of a and row j of b, by loops in double precision.
inline double cosine_of_rows(const at::Tensor& a,
                             std::int64_t i,
                             const at::Tensor& b,
                             std::int64_t j) {
  double dot = 0.0;
  double a2 = 0.0;
  double b2 = 0.0;
  for (std::int64_t d = 0; d < a.size(1); ++d) {
    const double x = a[i][d].item<double>();
    const double y = b[j][d].item<double>();
    dot += x * y;
    a2 += x * x;
    b2 += y * y;
  }
  return dot / std::sqrt(a2 * b2);
}

/// Compares the gradient of `loss` at `point` (float64) with central differences. With steps of
/// 1e-5 and losses of order one, these are exact to about 1e-9.
inline void expect_gradient_by_differences(const std::function<at::Tensor(const at::Tensor&)>& loss,
                                           const at::Tensor& point) {
  constexpr double kStep = 1e-5;
  const auto leaf = point.clone().requires_grad_(true);
  loss(leaf).backward();
  const torch::NoGradGuard no_grad;
  for (std::int64_t i = 0; i < point.numel(); ++i) {
    const auto moved = [&](double by) {
      auto at_point = point.clone();
      at_point.view({-1})[i] += by;
      return loss(at_point).item<double>();
    };
    const double expected = (moved(kStep) - moved(-kStep)) / (2.0 * kStep);
    ASSERT_NEAR(leaf.grad().view({-1})[i].item<double>(), expected, 1e-8) << "at element " << i;
  }
}

/// Switches autocast to bfloat16 on while alive.
class Autocast {
 public:
  Autocast() { at::autocast::set_cpu_enabled(true); }
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_cpu_enabled(false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

}  // namespace viewfold
