// Tests of the count of multiply-adds against products of sizes.
#include "viewfold/train/multiply_adds.hpp"

#include <functional>
#include <thread>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/encoder.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

double counted(const std::function<void()>& work) {
  const MultiplyAdds count;
  work();
  return count.total();
}

TEST(MultiplyAdds, OfAConvolutionAreOutputsTimesTheSizeOfAFilter) {
  const auto x = at::randn({2, 6, 9, 9});
  const auto weight = at::randn({4, 6, 3, 3});
  const auto grouped = at::randn({4, 3, 3, 3});
  EXPECT_EQ(counted([&] { (void)at::conv2d(x, weight); }), 2.0 * 4 * 7 * 7 * (6 * 9));
  EXPECT_EQ(counted([&] { (void)at::conv2d(x, weight, {}, 2, 1); }), 2.0 * 4 * 5 * 5 * (6 * 9));
  EXPECT_EQ(counted([&] {
              (void)at::conv2d(x, grouped, {}, 1, at::IntArrayRef({0, 0}), 1, 2);
            }),
            2.0 * 4 * 7 * 7 * (3 * 9));
}

TEST(MultiplyAdds, OfLinearLayersWithAndWithoutBias) {
  const auto x = at::randn({5, 3});
  torch::nn::Linear with_bias(3, 7);
  torch::nn::Linear without(torch::nn::LinearOptions(3, 7).bias(false));
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(counted([&] { (void)with_bias(x); }), 5.0 * 3 * 7);
  EXPECT_EQ(counted([&] { (void)without(x); }), 5.0 * 3 * 7);
  EXPECT_EQ(counted([&] { (void)at::linear(x, without->weight); }), 5.0 * 3 * 7);
}

TEST(MultiplyAdds, CountGradientsOfWeightsAndInputOnceEach) {
  const auto x = at::randn({2, 3, 8, 8});
  const auto deeper = x.clone().requires_grad_(true);
  const auto weight = at::randn({4, 3, 3, 3}).requires_grad_(true);
  const double forward = 2.0 * 4 * 6 * 6 * (3 * 9);
  EXPECT_EQ(counted([&] { at::conv2d(x, weight).sum().backward(); }), 2 * forward);
  EXPECT_EQ(counted([&] { at::conv2d(deeper, weight).sum().backward(); }), 3 * forward);
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(counted([&] { (void)at::conv2d(deeper, weight); }), forward);
}

TEST(MultiplyAdds, AreTheSameInBfloat16) {
  const auto x = at::randn({2, 3, 8, 8});
  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(3, 4, 3).bias(false));
  Mlp head({.in = 4, .widths = {6, 5}});
  const auto train = [&](bool bf16) {
    at::Tensor out;
    {
      const AutocastGuard autocast(bf16);
      out = head.forward(conv(x).mean({2, 3}));
    }
    out.to(at::kFloat).sum().backward();
  };
  const double expected = 2.0 * (2 * 4 * 6 * 6 * (3 * 9)) + 3.0 * (2 * 4 * 6 + 2 * 6 * 5);
  EXPECT_EQ(counted([&] { train(false); }), expected);
  EXPECT_EQ(counted([&] { train(true); }), expected);
}

// He et al., arXiv:1512.03385, Table 1: 1.8e9 multiply-adds for ResNet-18 at 224 pixels, classifier
// included; summed by hand without it, 1.814e9 - 0.0005e9.
TEST(MultiplyAdds, OfResNet18AreThoseOfThePaper) {
  const auto encoder = make_encoder({.name = "resnet18", .stem = "imagenet", .input_size = 224});
  const torch::NoGradGuard no_grad;
  EXPECT_NEAR(counted([&] {
                (void)encoder->forward(at::randn({1, 3, 224, 224}));
              }),
              1.8136e9, 0.0005e9);
}

TEST(MultiplyAdds, SeeTheirOwnThreadOnly) {
  const auto x = at::randn({4, 4});
  const MultiplyAdds count;
  std::thread([&x] { (void)x.mm(x); }).join();
  EXPECT_EQ(count.total(), 0.0);
  EXPECT_THROW(MultiplyAdds(), ContractViolation);
}

}  // namespace
}  // namespace viewfold
