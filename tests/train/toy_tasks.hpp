// Small tasks that make every part of a checkpoint matter.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <torch/torch.h>

#include "viewfold/train/task.hpp"

namespace viewfold {

/// A matrix "weight" and a vector "bias" in double precision, whose gradients the test sets.
class ParameterTask final : public Task {
 public:
  ParameterTask() {
    weight = module_.register_parameter(
        "weight", at::tensor({1.0, -2.0, 0.5, 3.0, 0.25, -1.0}, at::kDouble).view({2, 3}));
    bias = module_.register_parameter("bias", at::tensor({0.5, -1.5}, at::kDouble));
  }

  StepOutput training_step(const ViewBatch& /*batch*/, const StepContext& /*context*/) override {
    return {};
  }
  torch::nn::Module& module() override { return module_; }
  [[nodiscard]] bool has_fixed_lr(const std::string& parameter) const override {
    return parameter == fixed;
  }

  at::Tensor weight;
  at::Tensor bias;
  std::string fixed;  // name of the parameter whose rate stays

 private:
  torch::nn::Module module_;
};

/// Pulls two views of an image together by a convolution with batch norm, draws random numbers in
/// its step, and counts steps in a buffer that enters the loss.
class ToyTask final : public Task {
 public:
  ToyTask() {
    conv_ = module_.register_module("conv", torch::nn::Conv2d(3, 4, 3));
    norm_ = module_.register_module("norm", torch::nn::BatchNorm2d(4));
    count_ = module_.register_buffer("count", at::zeros({}));
  }

  StepOutput training_step(const ViewBatch& batch, const StepContext& context) override {
    sizes.push_back(batch.groups.front().size(2));
    const auto embed = [this](const at::Tensor& x) { return norm_(conv_(x)).mean({2, 3}); };
    const auto z0 = embed(batch.view(0)).to(at::kFloat);
    const auto z1 = embed(batch.view(1)).to(at::kFloat);
    auto loss = (z0 - z1 + 0.01 * at::randn_like(z0)).pow(2).mean() + 0.001 * count_;
    if (context.step == nan_at_step) {
      loss = loss * std::numeric_limits<double>::quiet_NaN();
    }
    const auto spread = collapsed ? at::ones_like(z0) : at::randn({64, 4});
    return {.loss = loss, .embedding = spread, .scalars = {{"extra", 7.0}}};
  }

  void after_optimizer_step(const StepContext& /*context*/) override { count_ += 1.0; }
  torch::nn::Module& module() override { return module_; }

  std::int64_t nan_at_step = -1;
  bool collapsed = false;
  std::vector<std::int64_t> sizes;  // of the views of each step

 private:
  torch::nn::Conv2d conv_{nullptr};
  torch::nn::BatchNorm2d norm_{nullptr};
  at::Tensor count_;
  torch::nn::Module module_;
};

}  // namespace viewfold
