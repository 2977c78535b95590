// Tests of the profile: what belongs to which part, and that no time is counted twice.
#include "viewfold/train/step_profile.hpp"

#include <chrono>
#include <functional>
#include <numeric>
#include <thread>

#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/nt_xent.hpp"
#include "viewfold/nn/momentum.hpp"

namespace viewfold {
namespace {

double seconds_in(const StepProfile& profile, StepPart part) {
  return profile.seconds().at(static_cast<std::size_t>(part));
}

// The names of the parts that took time.
std::vector<std::string_view> parts_of(const std::function<void()>& work) {
  const StepProfile profile;
  work();
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < kStepParts; ++i) {
    if (profile.seconds().at(i) > 0.0) {
      names.push_back(name_of(static_cast<StepPart>(i)));
    }
  }
  return names;
}

using Names = std::vector<std::string_view>;

TEST(StepProfile, KnowsTheOperationsOfAStepForward) {
  const auto x = at::randn({2, 3, 8, 8});
  const auto weight = at::randn({4, 3, 3, 3});
  const auto rows = at::randn({5, 6});
  EXPECT_EQ(parts_of([&] { (void)at::conv2d(x, weight); }), Names{"convolution"});
  EXPECT_EQ(parts_of([&] { (void)at::native_batch_norm(x, {}, {}, {}, {}, true, 0.1, 1e-5); }),
            Names{"batch_norm"});
  EXPECT_EQ(parts_of([&] { (void)at::relu(x); }), Names{"relu_add"});
  EXPECT_EQ(parts_of([&] { (void)at::add(x, x); }), Names{"relu_add"});
  EXPECT_EQ(parts_of([&] { (void)x.to(at::kBFloat16); }), Names{"copy"});
  EXPECT_EQ(parts_of([&] { (void)rows.mm(rows.t()); }), (Names{"linear", "other"}));
  EXPECT_EQ(parts_of([&] { (void)x.sin(); }), Names{"other"});
}

TEST(StepProfile, KnowsTheGradientsOfALayer) {
  const auto x = at::randn({2, 3, 8, 8}).requires_grad_(true);
  const auto weight = at::randn({4, 3, 3, 3}).requires_grad_(true);
  const auto y = at::conv2d(x, weight);
  const auto ones = at::ones_like(y);
  const StepProfile profile;
  y.backward(ones);
  EXPECT_GT(seconds_in(profile, StepPart::kConvolution), 0.0);
  EXPECT_EQ(seconds_in(profile, StepPart::kBatchNorm), 0.0);
  EXPECT_EQ(seconds_in(profile, StepPart::kLinear), 0.0);
}

TEST(StepProfile, GivesALossItsOperationsAndTheirGradients) {
  const auto z0 = at::randn({8, 4}).requires_grad_(true);
  const auto z1 = at::randn({8, 4}).requires_grad_(true);
  at::Tensor loss;
  EXPECT_EQ(parts_of([&] { loss = nt_xent(z0, z1, 0.5); }), Names{"loss"});
  const StepProfile profile;
  loss = nt_xent(z0, z1, 0.5);
  const double forward = seconds_in(profile, StepPart::kLoss);
  loss.backward();
  EXPECT_GT(seconds_in(profile, StepPart::kLoss), forward);
  EXPECT_EQ(seconds_in(profile, StepPart::kLinear), 0.0);  // its products are the loss's
}

TEST(StepProfile, DoesNotGiveALossWhatFollowsIt) {
  const auto z = at::randn({8, 4}).requires_grad_(true);
  const auto weight = at::randn({4, 4}).requires_grad_(true);
  const StepProfile profile;
  (void)nt_xent(z, z, 0.5);
  const auto y = z.mm(weight).sum();
  const double linear = seconds_in(profile, StepPart::kLinear);
  y.backward();
  EXPECT_GT(seconds_in(profile, StepPart::kLinear), linear);
}

TEST(StepProfile, GivesTheUpdateAllThatItCalls) {
  torch::nn::Linear target(4, 4);
  torch::nn::Linear source(4, 4);
  EXPECT_EQ(parts_of([&] { ema_update(*target, *source, 0.9); }), Names{"update"});
}

TEST(StepProfile, CountsNoTimeTwice) {
  constexpr auto kPause = std::chrono::milliseconds(20);
  const auto pause_as = [kPause](const char* name, const std::function<void()>& then) {
    RECORD_USER_SCOPE(name);
    std::this_thread::sleep_for(kPause);
    then();
  };
  const auto start = std::chrono::steady_clock::now();
  const StepProfile profile;
  pause_as("aten::conv2d", [&] { pause_as("aten::copy_", [] {}); });
  pause_as("viewfold::update", [&] { pause_as("aten::conv2d", [] {}); });
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  const double pause = std::chrono::duration<double>(kPause).count();
  EXPECT_GE(seconds_in(profile, StepPart::kConvolution), pause);
  EXPECT_GE(seconds_in(profile, StepPart::kCopy), pause);
  EXPECT_GE(seconds_in(profile, StepPart::kUpdate), 2 * pause);
  const auto& seconds = profile.seconds();
  EXPECT_LE(std::accumulate(seconds.begin(), seconds.end(), 0.0), passed.count());
}

TEST(StepProfile, SeesItsOwnThreadOnlyAndOnlyWhileItLives) {
  const auto x = at::randn({4, 4});
  {
    const StepProfile profile;
    std::thread([&x] { (void)at::relu(x); }).join();
    EXPECT_EQ(seconds_in(profile, StepPart::kReluAdd), 0.0);
    EXPECT_THROW(StepProfile(), ContractViolation);
  }
  (void)at::relu(x);
  EXPECT_EQ(parts_of([] {}), Names{});
}

}  // namespace
}  // namespace viewfold
