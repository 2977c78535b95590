// Tests of what is particular to Barlow Twins and VICReg.
#include <cmath>
#include <string>
#include <utility>

#include "tensor/normal_tensor.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/losses/redundancy.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kBatch = 32;
constexpr std::int64_t kOutputs = 8;
const StepContext kFirst{.step = 0, .total_steps = 30};

std::unique_ptr<Method> make_method(const std::string& name, const std::string& settings = "") {
  const auto entry = find_method(name);
  const auto config = entry.config(ImageScale::kSmall);
  ConfigSource source;
  source.add_toml_text(fmt::format("hidden_dim = 8\noutput_dim = {}\n{}", kOutputs, settings),
                       "test");
  read_config(*config, source);
  torch::manual_seed(1);
  return entry.make(*config,
                    {.encoder = {.name = "resnet18", .width = 4, .stem = "cifar"}, .seed = 1});
}

ViewBatch batch_of(const at::Tensor& view0, const at::Tensor& view1) {
  ViewBatch batch;
  batch.groups.push_back(at::cat({view0, view1}).contiguous(at::MemoryFormat::ChannelsLast));
  batch.indices.resize(static_cast<std::size_t>(view0.size(0)));
  batch.records.resize(2 * batch.indices.size());
  return batch;
}

// Two views that have half of what is in them in common.
ViewBatch related_views(at::ScalarType type = at::kFloat) {
  const auto images = normal_tensor({kBatch, 3, 16, 16}, 1, type);
  return batch_of(images, images + normal_tensor({kBatch, 3, 16, 16}, 2, type));
}

double scalar(const StepOutput& output, const std::string& name) {
  for (const auto& [key, value] : output.scalars) {
    if (key == name) {
      return value;
    }
  }
  ADD_FAILURE() << "no scalar is called " << name;
  return std::nan("");
}

// In float64: batch norm of equal rows would make float32's rounding large.
StepOutput step_on_equal_images(Method& method) {
  method.module().to(at::kDouble);
  const auto same = normal_tensor({1, 3, 16, 16}, 3).repeat({kBatch, 1, 1, 1});
  return method.training_step(batch_of(same, same), kFirst);
}

double default_of(const std::string& name, ImageScale scale, const std::string& key) {
  for (const auto& field : describe_config(*find_method(name).config(scale))) {
    if (field.key == key) {
      return std::stod(field.default_value);
    }
  }
  ADD_FAILURE() << name << " has no setting " << key;
  return std::nan("");
}

// With views of one and the same image both projections are the embedding.
TEST(BarlowTwins, LosesAsItsEquationOfItsProjections) {
  const auto method = make_method("barlow_twins", "lambda = 0.3\nscale_loss = 0.5");
  method->module().to(at::kDouble);
  const auto view = normal_tensor({kBatch, 3, 16, 16}, 4);
  const auto output = method->training_step(batch_of(view, view), kFirst);
  EXPECT_EQ(output.embedding.sizes(), (std::vector<std::int64_t>{kBatch, kOutputs}));
  const auto expected = barlow_twins(output.embedding, output.embedding, 0.3);
  EXPECT_NEAR(output.loss.item<double>(), 0.5 * expected.loss.item<double>(), 1e-9);
  EXPECT_GT(output.loss.item<double>(), 1e-3);
}

TEST(BarlowTwins, ReportsTheTermsOfItsLoss) {
  const auto method = make_method("barlow_twins", "lambda = 0.3\nscale_loss = 0.5");
  const auto output = method->training_step(related_views(), kFirst);
  const double invariance = scalar(output, "invariance");
  const double redundancy = scalar(output, "redundancy");
  EXPECT_NEAR(output.loss.item<double>(), 0.5 * (invariance + 0.3 * redundancy), 1e-4);
  EXPECT_GT(invariance, 0.0);
  EXPECT_GT(redundancy, 0.0);
}

TEST(BarlowTwins, StandsAtItsConstantWhenAllImagesLookAlike) {
  const auto method = make_method("barlow_twins", "scale_loss = 0.5");
  const auto constants = method->known_constants(kBatch);
  ASSERT_EQ(constants.size(), 1U);
  EXPECT_NEAR(constants[0].value, 0.5 * kOutputs, 1e-12);
  EXPECT_NEAR(step_on_equal_images(*method).loss.item<double>(), constants[0].value, 1e-6);
}

// Where LARS makes steps of weights independent of the loss's scale, there is one rate for two.
TEST(BarlowTwins, HasThePapersTwoRatesForLargeImages) {
  TrainConfig config;
  find_method("barlow_twins").train_defaults(ImageScale::kLarge, config);
  EXPECT_EQ(config.optimizer, "lars");
  EXPECT_FALSE(config.decay_norm_and_bias);
  EXPECT_NEAR(config.base_lr, 0.2, 1e-12);
  const double scale = default_of("barlow_twins", ImageScale::kLarge, "scale_loss");
  EXPECT_NEAR(config.base_lr * scale, 0.0048, 1e-12);
}

TEST(VicReg, LosesAsItsEquationOfItsEmbeddings) {
  const auto method = make_method("vicreg", "variance_weight = 3.0\ncovariance_weight = 7.0");
  method->module().to(at::kDouble);
  const auto view = normal_tensor({kBatch, 3, 16, 16}, 5);
  const auto output = method->training_step(batch_of(view, view), kFirst);
  EXPECT_EQ(output.embedding.sizes(), (std::vector<std::int64_t>{kBatch, kOutputs}));
  const auto expected =
      vicreg(output.embedding, output.embedding, {.variance = 3.0, .covariance = 7.0});
  EXPECT_NEAR(output.loss.item<double>(), expected.loss.item<double>(), 1e-9);
  EXPECT_GT(output.loss.item<double>(), 1e-3);
}

TEST(VicReg, ReportsTheTermsOfItsLoss) {
  const auto method = make_method("vicreg");
  const auto output = method->training_step(related_views(), kFirst);
  const double invariance = scalar(output, "invariance");
  const double variance = scalar(output, "variance");
  const double covariance = scalar(output, "covariance");
  EXPECT_NEAR(output.loss.item<double>(), 25.0 * invariance + 25.0 * variance + covariance, 1e-4);
  EXPECT_GT(invariance, 0.0);
  EXPECT_GT(variance, 0.0);
  EXPECT_GT(covariance, 0.0);
}

TEST(VicReg, StandsAtItsConstantWhenAllImagesLookAlike) {
  const auto method = make_method("vicreg");
  const auto constants = method->known_constants(kBatch);
  ASSERT_EQ(constants.size(), 1U);
  EXPECT_NEAR(constants[0].value, 24.75, 1e-12);
  EXPECT_NEAR(step_on_equal_images(*method).loss.item<double>(), constants[0].value, 1e-6);
}

// Trains on one batch, at a rate that suits the sizes of the terms. Returns the mean over the
// outputs of their standard deviation over the images, before and after.
std::pair<double, double> spread_in_training(Method& method, double lr) {
  const auto batch = related_views();
  torch::optim::SGD optimizer(method.module().parameters(),
                              torch::optim::SGDOptions(lr).momentum(0.8));
  const auto spread = [](const StepOutput& output) {
    return output.embedding.to(at::kDouble).std(0, /*unbiased=*/true).mean().item<double>();
  };
  std::pair<double, double> spreads;
  for (std::int64_t step = 0; step <= kFirst.total_steps; ++step) {
    optimizer.zero_grad();
    const auto output =
        method.training_step(batch, {.step = step, .total_steps = kFirst.total_steps + 1});
    (step == 0 ? spreads.first : spreads.second) = spread(output);
    output.loss.backward();
    optimizer.step();
  }
  return spreads;
}

TEST(VicReg, CollapsesWithoutItsVarianceTerm) {
  const auto method = make_method("vicreg", "variance_weight = 0.0");
  const auto [before, after] = spread_in_training(*method, 0.05);
  EXPECT_GT(before, 0.15);
  EXPECT_LT(after, 0.05);
}

TEST(VicReg, DoesNotCollapseWithIt) {
  const auto method = make_method("vicreg");
  EXPECT_GT(spread_in_training(*method, 0.005).second, 0.3);
}

}  // namespace
}  // namespace viewfold
