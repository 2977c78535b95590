// Tests of the training of an instance-conditioned GAN.
#include "viewfold/manifold/ic_gan_task.hpp"

#include <fstream>

#include "core/test_folder.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

const Normalization kHalf{.mean = {0.5, 0.5, 0.5}, .std = {0.25, 0.25, 0.25}};
const GeneratorSpec kSpec{.size = 16,
                          .bands = 3,
                          .condition_dim = 6,
                          .channels = 8,
                          .embedding_dim = 6,
                          .noise_chunk = 4};

struct Trained {
  explicit Trained(const IcGanConfig& config = {}) {
    torch::manual_seed(1);
    manifold = make_local_manifold(at::randn({20, 6}), at::randn({20, 6}), 3);
    discriminator =
        make_pixel_discriminator({.size = 16, .bands = 3, .condition_dim = 6, .channels = 8});
    task = std::make_unique<IcGanTask>(config, kSpec, manifold, discriminator, kHalf);
  }
  StepOutput step(std::int64_t number = 0) {
    torch::manual_seed(7);
    ViewBatch batch;
    batch.groups = {at::randn({4, 3, 16, 16})};
    batch.indices = {1, 5, 9, 13};
    return task->training_step(batch, {.step = number, .total_steps = 10});
  }
  LocalManifold manifold;
  std::shared_ptr<Discriminator> discriminator;
  std::unique_ptr<IcGanTask> task;
};

TEST(Hinge, HasItsClosedForms) {
  const auto one = at::ones({2, 4}).set_requires_grad(true);
  const auto minus = at::full({2, 4}, -1.0).set_requires_grad(true);
  const auto satisfied = hinge_discriminator(one, minus);
  EXPECT_EQ(satisfied.item<double>(), 0.0);
  satisfied.backward();
  EXPECT_EQ(one.grad().abs().sum().item<double>(), 0.0);
  EXPECT_EQ(minus.grad().abs().sum().item<double>(), 0.0);
  const auto zero = at::zeros({2, 4});
  EXPECT_EQ(hinge_discriminator(zero, zero).item<double>(), 2.0);
  EXPECT_EQ(hinge_discriminator(zero, zero, zero, 0.3).item<double>(), 2.0);
  EXPECT_NEAR(hinge_discriminator(zero, zero + 1.0, zero + 2.0, 0.25).item<double>(),
              1.0 + 0.75 * 2.0 + 0.25 * 3.0, 1e-6);
  EXPECT_EQ(hinge_generator(zero).item<double>(), 0.0);
  EXPECT_EQ(hinge_generator(one.detach()).item<double>(), -1.0);
}

TEST(Translation, MovesEachPictureByItself) {
  torch::manual_seed(2);
  const auto x = at::arange(1, 257, at::kFloat).view({1, 1, 16, 16}).repeat({8, 1, 1, 1});
  const auto moved = translate_each(x, 0.125);
  std::set<double> corners;
  for (std::int64_t i = 0; i < 8; ++i) {
    // Pixel (8, 8) holds what was within two pixels of it.
    const double value = moved[i][0][8][8].item<double>() - 1;
    EXPECT_LE(std::abs(static_cast<int>(value) / 16 - 8), 2);
    EXPECT_LE(std::abs(static_cast<int>(value) % 16 - 8), 2);
    corners.insert(value);
  }
  EXPECT_GT(corners.size(), 2U);
  EXPECT_TRUE(translate_each(x, 0.0).equal(x));
}

TEST(Generated, AreNormalisedAsPixelsAre) {
  const auto images = at::tensor({-1.0F, 0.0F, 1.0F}).view({1, 3, 1, 1});
  const auto seen =
      normalize_generated(images, {.mean = {0.5, 0.25, 0.5}, .std = {0.25, 0.5, 1.0}});
  EXPECT_NEAR(seen[0][0][0][0].item<double>(), (0.0 - 0.5) / 0.25, 1e-6);
  EXPECT_NEAR(seen[0][1][0][0].item<double>(), (0.5 - 0.25) / 0.5, 1e-6);
  EXPECT_NEAR(seen[0][2][0][0].item<double>(), (1.0 - 0.5) / 1.0, 1e-6);
}

// The generator's part of the loss gives the discriminator no gradient, and its own none to the
// generator: each has what its own loss alone would give it.
TEST(IcGanTask, GivesEachNetworkTheGradientOfItsOwnLoss) {
  Trained both;
  both.step().loss.backward();
  std::map<std::string, at::Tensor> together;
  for (const auto& item : both.task->module().named_parameters()) {
    if (item.value().grad().defined()) {
      together[item.key()] = item.value().grad().clone();
    }
  }
  // The discriminator alone, on the same draws: the generator cannot answer.
  Trained fixed;
  for (const auto& item : fixed.task->module().named_parameters()) {
    if (item.key().starts_with("generator")) {
      item.value().set_requires_grad(false);
    }
  }
  fixed.step().loss.backward();
  int compared = 0;
  for (const auto& item : fixed.task->module().named_parameters()) {
    if (item.key().starts_with("discriminator")) {
      ASSERT_TRUE(item.value().grad().defined()) << item.key();
      EXPECT_TRUE(at::allclose(item.value().grad(), together.at(item.key()), 1e-4, 1e-6))
          << item.key();
      ++compared;
    }
  }
  EXPECT_GT(compared, 5);
  EXPECT_TRUE(together.contains("generator.last.weight"));
  for (const auto& [name, gradient] : together) {
    EXPECT_FALSE(name.starts_with("averaged")) << name;
    EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << name;
  }
}

// At the beginning all answers are near 0, where every hinge is open: if the generator's images
// were not cut off from the discriminator's loss, that would undo its own gradient exactly.
TEST(IcGanTask, KeepsTheDiscriminatorsLossFromTheGenerator) {
  IcGanConfig config;
  config.mismatched = 0.0;
  Trained trained(config);
  trained.step().loss.backward();
  const auto gradient = trained.task->module().named_parameters()["generator.last.weight"].grad();
  EXPECT_GT(gradient.norm().item<double>(), 1e-4);
}

TEST(IcGanTask, AveragesTheGeneratorWithItsBatchStatistics) {
  IcGanConfig config;
  config.ema = 0.9;
  config.ema_start = 5;
  Trained trained(config);
  const auto state = [&](const std::string& name) {
    for (const auto& item : module_state(trained.task->module())) {
      if (item.name == name) {
        return item.tensor;
      }
    }
    throw std::logic_error("no tensor " + name);
  };
  trained.step();
  const auto before = state("averaged.last.weight").clone();
  {
    const torch::NoGradGuard no_grad;
    state("generator.last.weight").add_(1.0);
  }
  trained.task->after_optimizer_step({.step = 5, .total_steps = 10});
  EXPECT_TRUE(at::allclose(state("averaged.last.weight"), before + 0.1, 1e-5, 1e-6));
  EXPECT_TRUE(
      state("averaged.last_norm.running_mean").equal(state("generator.last_norm.running_mean")));
  trained.task->after_optimizer_step({.step = 4, .total_steps = 10});
  EXPECT_TRUE(state("averaged.last.weight").equal(state("generator.last.weight")));
}

TEST(IcGanTask, TakesConditionsOfOthersAsAControl) {
  IcGanConfig permuted;
  permuted.permute_pairs = true;
  permuted.flip = false;
  IcGanConfig plain;
  plain.flip = false;
  const auto real = [](const StepOutput& output) { return output.scalars[2].second; };
  EXPECT_NE(real(Trained(plain).step()), real(Trained(permuted).step()));
}

TEST(GeneratorFile, GivesTheSameImagesBack) {
  const TestFolder folder("generator");
  Trained trained;
  trained.step();
  trained.task->averaged().eval();
  const auto path = folder.path() / "generator.safetensors";
  write_generator(trained.task->averaged(), {{"frechet", 1.5}}, path);
  const auto loaded = read_generator(path);
  EXPECT_EQ(loaded.numbers.at("frechet"), 1.5);
  const auto z = at::randn({2, loaded.generator->noise_dim()});
  const auto h = at::randn({2, 6});
  EXPECT_TRUE(loaded.generator->forward(z, h).equal(trained.task->averaged().forward(z, h)));
  EXPECT_FALSE(loaded.generator->forward(z, h).requires_grad());
}

TEST(GeneratorFile, NamesWhatIsWrong) {
  const TestFolder folder("generator");
  const auto path = folder.path() / "generator.safetensors";
  EXPECT_THROW((void)read_generator(path), DataError);
  write_file_atomically(path, write_safetensors({{"x", at::ones({2})}}, {{"size", "16"}}));
  EXPECT_THROW((void)read_generator(path), DataError);
  const std::map<std::string, std::string> impossible{{"size", "17"},         {"bands", "3"},
                                                      {"condition_dim", "6"}, {"channels", "8"},
                                                      {"embedding_dim", "6"}, {"noise_chunk", "4"}};
  write_file_atomically(path, write_safetensors({{"x", at::ones({2})}}, impossible));
  EXPECT_THROW((void)read_generator(path), DataError);
}

}  // namespace
}  // namespace viewfold
