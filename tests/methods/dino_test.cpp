// Tests of what is particular to DINO: the teacher, its centre and temperature, the last layer.
#include <cmath>

#include "methods/method_cases.hpp"
#include "tensor/processes.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/losses/assignments.hpp"
#include "viewfold/train/gradient_sum.hpp"
#include "viewfold/train/optimizer.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kBatch = 16;
constexpr std::int64_t kSize = 16;
constexpr std::int64_t kOutputs = 6;
constexpr double kClose = 1e-9;  // float64, another order of the same sums
const StepContext kFirst{.step = 0, .total_steps = 10};

void compute_in_float64(torch::nn::Module& module) {
  for (auto& parameter : module.parameters()) {
    parameter.set_data(parameter.detach().to(at::kDouble));
  }
  for (auto& buffer : module.buffers()) {
    if (buffer.is_floating_point()) {
      buffer.set_data(buffer.to(at::kDouble));
    }
  }
}

// In float64.
std::unique_ptr<Method> make_dino(const std::string& settings) {
  const auto entry = find_method("dino");
  const auto config = entry.config(ImageScale::kSmall);
  ConfigSource source;
  source.add_toml_text("hidden_dim = 16\nbottleneck_dim = 8\noutput_dim = 6\n" + settings, "test");
  read_config(*config, source);
  torch::manual_seed(1);
  const RecipeConfig recipe("dino", kSize);
  auto method = entry.make(
      *config, testing::test_context(
                   {.name = "resnet18", .width = 4, .stem = "cifar", .input_size = kSize}, recipe));
  compute_in_float64(method->module());
  return method;
}

testing::BatchSpec batch_spec(std::uint64_t seed) {
  return {.samples = kBatch, .size = kSize, .seed = seed, .type = at::kDouble};
}

// 2 large and 8 small crops.
ViewBatch multi_crop(std::uint64_t seed) {
  return testing::noise_batch(find_method("dino"), batch_spec(seed));
}

// 2 views of a recipe without small crops.
ViewBatch two_views(std::uint64_t seed, std::int64_t epoch = 0) {
  auto batch = testing::noise_batch(find_method("simclr"), batch_spec(seed));
  batch.epoch = epoch;
  return batch;
}

// Both views of all samples are one and the same image.
ViewBatch one_image(std::uint64_t seed) {
  auto batch = two_views(seed);
  auto& views = batch.groups.front();
  views = views.narrow(0, 0, 1)
              .repeat({2 * kBatch, 1, 1, 1})
              .contiguous(at::MemoryFormat::ChannelsLast);
  return batch;
}

at::Tensor parameter(Method& method, const std::string& name) {
  return method.module().named_parameters()[name];
}

at::Tensor centre(Method& method) {
  return method.module().named_buffers()["centre"];
}

bool close(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.allclose(b, 0.0, kClose);
}

TEST(Dino, StartsWithATeacherOfTheSameNetworkThatNoGradientReaches) {
  const auto method = make_dino("freeze_epochs = 0");
  method->step(multi_crop(1), kFirst).output.loss.backward();
  const auto parameters = method->module().named_parameters();
  int pairs = 0;
  for (const auto& item : parameters) {
    if (item.key().starts_with("encoder.") || item.key().starts_with("head.")) {
      const auto& teacher = parameters["teacher_" + item.key()];
      EXPECT_TRUE(teacher.equal(item.value())) << item.key();
      EXPECT_FALSE(teacher.requires_grad() || teacher.grad().defined()) << item.key();
      EXPECT_TRUE(item.value().grad().defined()) << item.key();
      ++pairs;
    }
  }
  EXPECT_EQ(2 * pairs, static_cast<int>(parameters.size()));
}

TEST(Dino, MovesItsTeacherAfterTheStepBySchedule) {
  // m of 0.9 at the start, half-way 0.95, and 1 at the end (closed form of the cosine).
  const std::vector<std::pair<std::int64_t, double>> schedule{{0, 0.9}, {5, 0.95}};
  for (const auto& [step, m] : schedule) {
    const auto method = make_dino("momentum = 0.9");
    for (const std::string name : {"encoder.conv1.weight", "head.last.weight"}) {
      const auto teacher = parameter(*method, "teacher_" + name);
      const auto before = teacher.detach().clone();
      {
        const torch::NoGradGuard no_grad;
        parameter(*method, name).add_(1.0);
      }
      const StepContext context{.step = step, .total_steps = 10};
      (void)method->step(two_views(2), context);
      EXPECT_TRUE(teacher.equal(before));
      method->after_optimizer_step(context);
      EXPECT_TRUE(close(teacher, before + (1.0 - m))) << name << " at " << step;
    }
  }
}

TEST(Dino, ComparesUnitVectorsWithUnitRowsOfTheLastLayer) {
  const auto method = make_dino("");
  const auto images = two_views(3).view(0);
  const auto outputs = method->outputs(images).detach();
  EXPECT_EQ(outputs.sizes(), (std::vector<std::int64_t>{kBatch, kOutputs}));
  EXPECT_EQ(method->output_dim(), kOutputs);
  EXPECT_LE(outputs.abs().max().item<double>(), 1.0 + kClose);
  {
    const torch::NoGradGuard no_grad;
    parameter(*method, "head.last.weight").mul_(3.0);
  }
  EXPECT_TRUE(close(method->outputs(images).detach(), outputs));
}

// As long as both networks are equal, the outputs are the teacher's as well.
TEST(Dino, SharpensTheCentredOutputsOfTheTeacher) {
  const auto method = make_dino("teacher_temperature = 0.2");
  {
    const torch::NoGradGuard no_grad;
    centre(*method).copy_(normal_tensor({kOutputs}, 4));
  }
  const auto step = method->step(multi_crop(4), kFirst);
  ASSERT_EQ(step.targets.size(), 2U);
  for (std::size_t v = 0; v < 2; ++v) {
    const auto expected = step.outputs[v].detach().sub(centre(*method)).div(0.2).softmax(1);
    EXPECT_TRUE(close(step.targets[v], expected)) << v;
    EXPECT_FALSE(step.targets[v].requires_grad());
  }
}

TEST(Dino, WarmsTheTeacherUpByEpochs) {
  const auto method = make_dino(
      "first_teacher_temperature = 0.04\nteacher_temperature = 0.08\nteacher_warmup_epochs = 3");
  const std::vector<std::pair<std::int64_t, double>> schedule{
      {0, 0.04}, {1, 0.06}, {2, 0.08}, {3, 0.08}, {50, 0.08}};
  for (const auto& [epoch, temperature] : schedule) {
    const auto step = method->step(two_views(5, epoch), kFirst);
    EXPECT_TRUE(close(step.targets[0], step.outputs[0].detach().div(temperature).softmax(1)))
        << epoch;
  }
}

TEST(Dino, MovesItsCentreAfterTheStepToTheMeanOfBothViews) {
  const auto method = make_dino("");
  const auto step = method->step(two_views(6), kFirst);
  EXPECT_TRUE(centre(*method).equal(at::zeros({kOutputs}, at::kDouble)));
  const auto mean = at::cat(step.outputs).detach().mean(0);
  EXPECT_GT(mean.abs().max().item<double>(), 1e-3);
  method->after_optimizer_step(kFirst);
  EXPECT_TRUE(close(centre(*method), mean * 0.1));
  (void)method->step(two_views(6), kFirst);  // the teacher has not moved: it equals the student
  method->after_optimizer_step(kFirst);
  EXPECT_TRUE(close(centre(*method), mean * 0.19));
}

TEST(Dino, TakesAwayWhatAllImagesShareUnlessCentringIsOff) {
  const std::string settings = "head_norm = false\ncentre_momentum = 0.0\n";
  const auto targets = [](const std::string& text) {
    const auto method = make_dino(text);
    (void)method->step(one_image(7), kFirst);
    method->after_optimizer_step(kFirst);
    return method->step(one_image(7), kFirst).targets[0];
  };
  const auto uniform = at::full({kBatch, kOutputs}, 1.0 / kOutputs, at::kDouble);
  EXPECT_TRUE(targets(settings).allclose(uniform, 0.0, 1e-6));
  const auto uncentred = targets(settings + "centring = false");
  EXPECT_GT(uncentred.max().item<double>(), 2.0 / kOutputs);
}

TEST(Dino, KeepsItsCentreAtZeroWithoutCentring) {
  const auto method = make_dino("centring = false");
  (void)method->step(two_views(8), kFirst);
  method->after_optimizer_step(kFirst);
  EXPECT_TRUE(centre(*method).equal(at::zeros({kOutputs}, at::kDouble)));
}

TEST(Dino, LosesTheMeanOverAllPairsOfDifferentCrops) {
  const auto method = make_dino("student_temperature = 0.3");
  const auto batch = multi_crop(9);
  const auto step = method->step(batch, kFirst);
  ASSERT_EQ(batch.views(), 10);
  double sum = 0.0;
  int pairs = 0;
  for (std::int64_t v = 0; v < batch.views(); ++v) {
    const auto outputs = method->outputs(batch.view(v));  // by the statistics of this crop again
    if (v < 2) {
      EXPECT_TRUE(close(outputs.detach(), step.outputs[static_cast<std::size_t>(v)].detach()));
    }
    for (std::int64_t t = 0; t < 2; ++t) {
      if (t != v) {
        const auto& target = step.targets[static_cast<std::size_t>(t)];
        sum += soft_cross_entropy(outputs.div(0.3), target).item<double>();
        ++pairs;
      }
    }
  }
  EXPECT_EQ(pairs, 18);
  EXPECT_NEAR(step.output.loss.item<double>(), sum / pairs, kClose);
}

TEST(Dino, LosesTheSumOfItsPairsForTwoViews) {
  const auto method = make_dino("");
  const auto step = method->step(two_views(10), kFirst);
  const auto pairs = method->pair_loss(step.outputs[0], step.targets[1], kFirst)
                         .add(method->pair_loss(step.outputs[1], step.targets[0], kFirst));
  EXPECT_NEAR(step.output.loss.item<double>(), pairs.item<double>(), kClose);
}

TEST(Dino, StandsAtItsConstantWhenAllOutputsArePredictedAlike) {
  const auto method = make_dino("");
  const auto step = method->step(two_views(11), kFirst);
  const auto alike = at::zeros({kBatch, kOutputs}, at::kDouble);
  const auto pairs = method->pair_loss(alike, step.targets[1], kFirst)
                         .add(method->pair_loss(alike, step.targets[0], kFirst));
  EXPECT_NEAR(pairs.item<double>(), std::log(6.0), 1e-12);
  EXPECT_NEAR(method->known_constants(kBatch)[0].value, std::log(6.0), 1e-12);
}

TEST(Dino, LeavesAFrozenLastLayerToNeitherMomentumNorDecay) {
  const auto method = make_dino("freeze_epochs = 1");
  TrainConfig config;
  config.weight_decay = 0.1;
  Optimizer optimizer(*method, config);
  const auto step = [&](std::uint64_t seed, std::int64_t epoch) {
    optimizer.zero_grad();
    method->step(two_views(seed, epoch), kFirst).output.loss.backward();
    optimizer.step(0.1, 0.1);
    method->after_optimizer_step(kFirst);
    return parameter(*method, "head.last.weight").detach().clone();
  };
  const auto start = parameter(*method, "head.last.weight").detach().clone();
  EXPECT_TRUE(step(12, 0).equal(start));
  const auto moved = step(13, 1);  // fills the momentum
  EXPECT_FALSE(moved.allclose(start, 0.0, 1e-5));
  EXPECT_TRUE(step(14, 0).equal(moved));
}

TEST(Dino, RefusesARecipeWithOneLargeView) {
  auto batch = multi_crop(15);
  batch.groups.front() = batch.groups.front().narrow(0, 0, kBatch);
  EXPECT_THROW((void)make_dino("")->step(batch, kFirst), UsageError);
}

// What the whole batch decides.
struct Outcome {
  at::Tensor gradient;  // of the last layer
  at::Tensor centre;    // after two steps
};

Outcome take_two_steps(const Communicator& processes) {
  const auto method = make_dino("freeze_epochs = 0");
  TrainConfig config;
  Optimizer optimizer(*method, config);
  GradientSum sums(method->module().parameters(), processes);
  share_batch_norm(method->module(), processes);
  const StepContext context{.step = 0, .total_steps = 10, .communicator = processes};
  Outcome outcome;
  for (std::uint64_t seed = 20; seed < 22; ++seed) {
    auto spec = batch_spec(seed);
    spec.part = processes.rank();
    spec.parts = processes.size();
    optimizer.zero_grad();
    method->step(testing::noise_batch(find_method("dino"), spec), context).output.loss.backward();
    sums.finish();
    outcome.gradient = parameter(*method, "head.last.weight").grad().clone();
    optimizer.step(0.01, 0.01);
    method->after_optimizer_step(context);
  }
  outcome.centre = centre(*method).clone();
  return outcome;
}

TEST(Dino, CentresByTheBatchOfAllProcesses) {
  testing::in_joined_processes(2, [](const Communicator& processes) {
    const auto parts = take_two_steps(processes);
    const auto whole = take_two_steps({});
    EXPECT_TRUE(parts.centre.allclose(whole.centre, 0.0, 1e-6));
    EXPECT_TRUE(parts.gradient.allclose(whole.gradient, 0.0, 1e-6));
  });
}

}  // namespace
}  // namespace viewfold
