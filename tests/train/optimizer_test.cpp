// Tests of the optimisers against steps computed by hand, in double precision.
#include "viewfold/train/optimizer.hpp"

#include <cmath>

#include "tensor/normal_tensor.hpp"
#include "train/toy_tasks.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

constexpr double kRounding = 1e-14;  // a few roundings of numbers below ten

TrainConfig config_of(const std::string& optimizer, double decay, bool decay_bias = true) {
  TrainConfig config;
  config.optimizer = optimizer;
  config.weight_decay = decay;
  config.decay_norm_and_bias = decay_bias;
  return config;
}

std::vector<double> values_of(const at::Tensor& tensor) {
  const auto flat = tensor.detach().contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

void set_gradients(ParameterTask& task, std::uint64_t step) {
  task.weight.mutable_grad() = normal_tensor({2, 3}, 10 + step);
  task.bias.mutable_grad() = normal_tensor({2}, 20 + step);
}

double norm_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) {
    sum += value * value;
  }
  return std::sqrt(sum);
}

void expect_values(const at::Tensor& tensor, const std::vector<double>& expected) {
  const auto values = values_of(tensor);
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(values[i], expected[i], kRounding) << "element " << i;
  }
}

// One parameter by the formulas in the header.
struct Reference {
  std::vector<double> w;
  std::vector<double> v = std::vector<double>(w.size(), 0.0);

  void sgd(const std::vector<double>& g, double lr, double decay) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      v[i] = 0.9 * v[i] + g[i] + decay * w[i];
      w[i] -= lr * v[i];
    }
  }

  // simclr/lars_optimizer.py with classic_momentum
  void lars(std::vector<double> g, double lr, double decay, bool adapted) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      g[i] += decay * w[i];
    }
    const double w_norm = norm_of(w);
    const double g_norm = norm_of(g);
    const bool positive = w_norm > 0.0 && g_norm > 0.0;
    const double trust = adapted && positive ? 0.001 * w_norm / g_norm : 1.0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      v[i] = 0.9 * v[i] + lr * trust * g[i];
      w[i] -= v[i];
    }
  }
};

TEST(Sgd, TakesTheStepsOfItsFormula) {
  ParameterTask task;
  Optimizer optimizer(task, config_of("sgd", 0.1));
  Reference weight{values_of(task.weight)};
  Reference bias{values_of(task.bias)};
  for (std::uint64_t step = 0; step < 4; ++step) {
    const double lr = 0.5 / static_cast<double>(step + 1);
    set_gradients(task, step);
    weight.sgd(values_of(task.weight.grad()), lr, 0.1);
    bias.sgd(values_of(task.bias.grad()), lr, 0.1);
    optimizer.step(lr, 99.0);
    expect_values(task.weight, weight.w);
    expect_values(task.bias, bias.w);
  }
}

TEST(Sgd, EqualsLibTorchs) {
  ParameterTask task;
  ParameterTask other;
  Optimizer optimizer(task, config_of("sgd", 0.05));
  torch::optim::SGD reference({other.weight, other.bias},
                              torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.05));
  for (std::uint64_t step = 0; step < 5; ++step) {
    set_gradients(task, step);
    set_gradients(other, step);
    optimizer.step(0.1, 0.1);
    reference.step();
  }
  EXPECT_TRUE(task.weight.allclose(other.weight, 0.0, kRounding));
  EXPECT_TRUE(task.bias.allclose(other.bias, 0.0, kRounding));
}

TEST(Sgd, LeavesVectorsOutOfDecayWhenAsked) {
  ParameterTask task;
  Optimizer optimizer(task, config_of("sgd", 0.1, false));
  Reference bias{values_of(task.bias)};
  Reference weight{values_of(task.weight)};
  set_gradients(task, 0);
  bias.sgd(values_of(task.bias.grad()), 0.5, 0.0);
  weight.sgd(values_of(task.weight.grad()), 0.5, 0.1);
  optimizer.step(0.5, 0.5);
  expect_values(task.bias, bias.w);
  expect_values(task.weight, weight.w);
}

TEST(Lars, TakesTheStepsOfSimClrsCodeAndExcludesVectors) {
  ParameterTask task;
  Optimizer optimizer(task, config_of("lars", 0.01, false));
  Reference weight{values_of(task.weight)};
  Reference bias{values_of(task.bias)};
  for (std::uint64_t step = 0; step < 4; ++step) {
    const double lr = 2.0 / static_cast<double>(step + 1);
    set_gradients(task, step);
    weight.lars(values_of(task.weight.grad()), lr, 0.01, true);
    bias.lars(values_of(task.bias.grad()), lr, 0.0, false);
    optimizer.step(lr, 99.0);
    expect_values(task.weight, weight.w);
    expect_values(task.bias, bias.w);
  }
}

TEST(Lars, AdaptsVectorsToWhenTheyDecay) {
  ParameterTask task;
  Optimizer optimizer(task, config_of("lars", 0.01, true));
  Reference bias{values_of(task.bias)};
  set_gradients(task, 0);
  bias.lars(values_of(task.bias.grad()), 1.0, 0.01, true);
  optimizer.step(1.0, 1.0);
  expect_values(task.bias, bias.w);
}

TEST(Lars, DoesNotScaleWeightsOrGradientsThatAreZero) {
  ParameterTask task;
  Optimizer optimizer(task, config_of("lars", 0.0, false));
  const auto before = values_of(task.weight);
  task.weight.mutable_grad() = at::zeros({2, 3}, at::kDouble);
  optimizer.step(1.0, 1.0);
  expect_values(task.weight, before);
  {
    const torch::NoGradGuard no_grad;
    task.weight.zero_();
  }
  task.weight.mutable_grad() = at::ones({2, 3}, at::kDouble);
  optimizer.step(0.25, 1.0);
  expect_values(task.weight, std::vector<double>(6, -0.25));
}

TEST(AdamW, EqualsLibTorchs) {
  ParameterTask task;
  ParameterTask other;
  Optimizer optimizer(task, config_of("adamw", 0.05));
  torch::optim::AdamW reference(
      {other.weight, other.bias},
      torch::optim::AdamWOptions(0.01).betas({0.9, 0.999}).eps(1e-8).weight_decay(0.05));
  for (std::uint64_t step = 0; step < 6; ++step) {
    set_gradients(task, step);
    set_gradients(other, step);
    optimizer.step(0.01, 0.01);
    reference.step();
  }
  EXPECT_TRUE(task.weight.allclose(other.weight, 0.0, kRounding));
  EXPECT_TRUE(task.bias.allclose(other.bias, 0.0, kRounding));
}

TEST(AdamW, MovesByTheRateInItsFirstStepAndLeavesVectorsOutOfDecayWhenAsked) {
  ParameterTask task;
  Optimizer optimizer(task, config_of("adamw", 0.5, false));
  set_gradients(task, 0);
  const auto weight = task.weight.detach() * (1.0 - 0.1 * 0.5) - 0.1 * task.weight.grad().sign();
  const auto bias = task.bias.detach() - 0.1 * task.bias.grad().sign();
  optimizer.step(0.1, 0.1);
  // g / (|g| + 1e-8) is not quite one.
  EXPECT_TRUE(task.weight.allclose(weight, 0.0, 1e-7));
  EXPECT_TRUE(task.bias.allclose(bias, 0.0, 1e-7));
}

TEST(Optimizer, StepsParametersOfFixedRateWithThatRate) {
  for (const std::string name : {"sgd", "lars", "adamw"}) {
    ParameterTask task;
    task.fixed = "bias";
    Optimizer optimizer(task, config_of(name, 0.1));
    const auto weight = task.weight.detach().clone();
    const auto bias = task.bias.detach().clone();
    set_gradients(task, 0);
    optimizer.step(0.0, 0.3);
    EXPECT_TRUE(task.weight.equal(weight)) << name;
    EXPECT_GT((task.bias - bias).abs().min().item<double>(), 1e-5) << name;
  }
}

TEST(Optimizer, LeavesAloneWhatHasNoGradientOrWantsNone) {
  ParameterTask task;
  task.bias.requires_grad_(false);
  Optimizer optimizer(task, config_of("sgd", 0.1));
  EXPECT_EQ(optimizer.size(), 1U);
  const auto weight = task.weight.detach().clone();
  const auto bias = task.bias.detach().clone();
  set_gradients(task, 0);
  optimizer.zero_grad();
  EXPECT_FALSE(task.weight.grad().defined());
  optimizer.step(1.0, 1.0);
  EXPECT_TRUE(task.weight.equal(weight));
  EXPECT_TRUE(task.bias.equal(bias));
}

TEST(Optimizer, GoesOnFromItsStateAsIfItHadNeverStopped) {
  for (const std::string name : {"sgd", "lars", "adamw"}) {
    ParameterTask task;
    Optimizer optimizer(task, config_of(name, 0.01));
    for (std::uint64_t step = 0; step < 3; ++step) {
      set_gradients(task, step);
      optimizer.step(0.1, 0.1);
    }
    ParameterTask copy;
    {
      const torch::NoGradGuard no_grad;
      copy.weight.copy_(task.weight);
      copy.bias.copy_(task.bias);
    }
    Optimizer resumed(copy, config_of(name, 0.01));
    resumed.load_state(optimizer.state());
    for (std::uint64_t step = 3; step < 5; ++step) {
      set_gradients(task, step);
      set_gradients(copy, step);
      optimizer.step(0.1, 0.1);
      resumed.step(0.1, 0.1);
    }
    EXPECT_TRUE(copy.weight.equal(task.weight)) << name;
    EXPECT_TRUE(copy.bias.equal(task.bias)) << name;
  }
}

TEST(Optimizer, RefusesTheStateOfAnother) {
  ParameterTask task;
  Optimizer sgd(task, config_of("sgd", 0.0));
  Optimizer adamw(task, config_of("adamw", 0.0));
  EXPECT_THROW(adamw.load_state(sgd.state()), DataError);
  EXPECT_THROW(sgd.load_state(adamw.state()), DataError);
  auto state = sgd.state();
  state.back().tensor = at::zeros({9});
  EXPECT_THROW(sgd.load_state(state), DataError);
}

TEST(CosineLr, HasItsCorners) {
  EXPECT_DOUBLE_EQ(cosine_lr(2.0, 0, 12, 4), 0.5);  // warm-up ends at the peak
  EXPECT_DOUBLE_EQ(cosine_lr(2.0, 1, 12, 4), 1.0);
  EXPECT_DOUBLE_EQ(cosine_lr(2.0, 3, 12, 4), 2.0);
  EXPECT_DOUBLE_EQ(cosine_lr(2.0, 4, 12, 4), 2.0);
  EXPECT_DOUBLE_EQ(cosine_lr(2.0, 8, 12, 4), 1.0);  // half of the cosine
  EXPECT_NEAR(cosine_lr(2.0, 12, 12, 4), 0.0, 1e-15);
  EXPECT_GT(cosine_lr(2.0, 11, 12, 4), 0.0);
  EXPECT_DOUBLE_EQ(cosine_lr(2.0, 0, 10, 0), 2.0);
  EXPECT_DOUBLE_EQ(cosine_lr(2.0, 4, 4, 4), 2.0);  // nothing but warm-up
  EXPECT_DOUBLE_EQ(cosine_lr(2.0, 1, 4, 8), 0.5);
}

TEST(SizeAt, GrowsInMultiplesOfFour) {
  TrainConfig config;
  EXPECT_EQ(size_at(config, 32, 0, 100), 32) << "off by default";
  config.first_size = 18;
  config.growth = 0.5;
  EXPECT_EQ(size_at(config, 32, 0, 100), 18);
  EXPECT_EQ(size_at(config, 32, 5, 100), 18);   // 19.4
  EXPECT_EQ(size_at(config, 32, 10, 100), 20);  // 20.8
  EXPECT_EQ(size_at(config, 32, 30, 100), 24);  // 26.4
  EXPECT_EQ(size_at(config, 32, 49, 100), 28);  // 31.7
  EXPECT_EQ(size_at(config, 32, 50, 100), 32);
  EXPECT_EQ(size_at(config, 32, 99, 100), 32);
  EXPECT_EQ(size_at(config, 16, 0, 100), 16) << "smaller views stay as they are";
  config.growth = 0.0;
  EXPECT_EQ(size_at(config, 32, 0, 100), 32);
}

TEST(PeakLr, ScalesWithTheBatch) {
  TrainConfig config;
  config.base_lr = 0.3;
  config.batch_size = 4096;
  EXPECT_DOUBLE_EQ(peak_lr(config), 4.8);  // SimCLR's
  config.batch_size = 64;
  EXPECT_DOUBLE_EQ(peak_lr(config), 0.075);
}

}  // namespace
}  // namespace viewfold
