// Tests of spectral normalisation.
#include "viewfold/nn/spectral_norm.hpp"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace viewfold {
namespace {

double largest_singular_value(const at::Tensor& weight) {
  return at::linalg_svdvals(weight.reshape({weight.size(0), -1}).to(at::kDouble))
      .max()
      .item<double>();
}

TEST(SpectralNorm, HoldsTheLargestSingularValueAtOne) {
  torch::manual_seed(1);
  const auto weight = at::randn({8, 3, 3, 3}) * 5.0;
  SpectralNorm norm(weight);
  for (int i = 0; i < 200; ++i) {
    (void)norm.forward(weight);
  }
  EXPECT_NEAR(largest_singular_value(norm.forward(weight)), 1.0, 1e-3);
}

TEST(SpectralNorm, MovesNothingInEvaluation) {
  torch::manual_seed(1);
  const auto weight = at::randn({4, 6});
  SpectralNorm norm(weight);
  norm.eval();
  EXPECT_TRUE(norm.forward(weight).equal(norm.forward(weight)));
  EXPECT_NEAR(largest_singular_value(norm.forward(weight)), 1.0, 0.2);  // from the beginning
}

// d(w / s)/dw with s = l^T w r, for one number: w / w = 1 has no gradient.
TEST(SpectralNorm, LetsTheGradientThroughTheSingularValue) {
  const auto weight = at::full({1, 1}, 3.0).set_requires_grad(true);
  SpectralNorm norm(weight);
  norm.forward(weight).sum().backward();
  EXPECT_NEAR(weight.grad().item<double>(), 0.0, 1e-6);
}

TEST(SpectralLayers, StartOrthogonalAndKeepShapes) {
  torch::manual_seed(1);
  SpectralLinear linear(6, 4, true);
  EXPECT_TRUE(at::allclose(linear.weight.mm(linear.weight.t()), at::eye(4), 1e-4, 1e-5));
  EXPECT_EQ(linear.forward(at::randn({3, 6})).sizes(), at::IntArrayRef({3, 4}));
  SpectralConv conv(3, 5, 3);
  EXPECT_EQ(conv.forward(at::randn({2, 3, 7, 9})).sizes(), at::IntArrayRef({2, 5, 7, 9}));
}

}  // namespace
}  // namespace viewfold
