// Tests of projectors and predictors.
#include "viewfold/nn/heads.hpp"

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

std::vector<std::string> names_of(const Mlp& head) {
  std::vector<std::string> names;
  for (const auto& item : head.named_parameters()) {
    names.push_back(item.key());
  }
  return names;
}

TEST(Mlp, WithoutNormalisationIsLinearReluLinearWithBiases) {
  Mlp head({.in = 3, .widths = {5, 2}, .hidden_norm = false});
  EXPECT_EQ(names_of(head), (std::vector<std::string>{"layers.0.weight", "layers.0.bias",
                                                      "layers.2.weight", "layers.2.bias"}));
  const auto x = normal_tensor({4, 3}, 1, at::kFloat);
  const auto p = head.named_parameters();
  const auto hidden = at::linear(x, p["layers.0.weight"], p["layers.0.bias"]).relu();
  const auto expected = at::linear(hidden, p["layers.2.weight"], p["layers.2.bias"]);
  EXPECT_TRUE(head.forward(x).allclose(expected, 0.0, 1e-6));
  EXPECT_EQ(head.output_dim(), 2);
}

TEST(Mlp, HasNoBiasWhereNormalisationFollows) {
  const Mlp predictor({.in = 8, .widths = {4, 8}});
  EXPECT_EQ(names_of(predictor),
            (std::vector<std::string>{"layers.0.weight", "layers.1.weight", "layers.1.bias",
                                      "layers.3.weight", "layers.3.bias"}));
  const Mlp byol({.in = 8, .widths = {4, 8}, .output_bias = false});
  EXPECT_EQ(names_of(byol).back(), "layers.3.weight");
  const Mlp projector({.in = 8, .widths = {4, 6}, .output_norm = OutputNorm::kNoAffine});
  EXPECT_EQ(names_of(projector).back(), "layers.3.weight");
  const Mlp affine({.in = 8, .widths = {6}, .output_norm = OutputNorm::kAffine});
  EXPECT_EQ(names_of(affine),
            (std::vector<std::string>{"layers.0.weight", "layers.1.weight", "layers.1.bias"}));
}

TEST(Mlp, OfSimSiamProjectsToZeroMeanAndUnitVariance) {
  Mlp projector({.in = 16, .widths = {24, 24, 24}, .output_norm = OutputNorm::kNoAffine});
  projector.train();
  const auto z = projector.forward(normal_tensor({64, 16}, 2, at::kFloat)).detach();  // [64, 24]
  EXPECT_EQ(z.sizes(), (std::vector<std::int64_t>{64, 24}));
  EXPECT_TRUE(z.mean(0).allclose(at::zeros({24}), 0.0, 1e-5));
  // Batch norm adds 1e-5 to a variance of about 0.1 before it divides.
  EXPECT_TRUE(z.var(0, false).allclose(at::ones({24}), 0.0, 1e-3));
}

TEST(Mlp, WithoutLayersIsTheIdentity) {
  Mlp head({.in = 7, .widths = {}});
  const auto x = normal_tensor({2, 7}, 3, at::kFloat);
  EXPECT_TRUE(head.forward(x).equal(x));
  EXPECT_EQ(head.output_dim(), 7);
  EXPECT_TRUE(head.parameters().empty());
}

TEST(Mlp, DoesNotChangeItsInput) {
  Mlp head({.in = 4, .widths = {4, 4}, .hidden_norm = false});
  const auto x = normal_tensor({3, 4}, 4, at::kFloat);
  const auto copy = x.clone();
  (void)head.forward(x);
  EXPECT_TRUE(x.equal(copy));
}

TEST(Mlp, RefusesEmptyLayers) {
  EXPECT_THROW(Mlp({.in = 0, .widths = {2}}), ContractViolation);
  EXPECT_THROW(Mlp({.in = 2, .widths = {3, 0}}), ContractViolation);
}

}  // namespace
}  // namespace viewfold
