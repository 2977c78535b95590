// Tests of what is particular to SwAV: balanced assignments, the queue, frozen prototypes.
#include <cmath>

#include "methods/method_cases.hpp"
#include "tensor/processes.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/losses/assignments.hpp"
#include "viewfold/nn/state.hpp"
#include "viewfold/train/gradient_sum.hpp"
#include "viewfold/train/optimizer.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kBatch = 16;
constexpr std::int64_t kSize = 16;
constexpr double kClose = 1e-9;  // float64, another order of the same sums
const StepContext kFirst{.step = 0, .total_steps = 10};

std::unique_ptr<Config> swav_config(const std::string& settings) {
  auto config = find_method("swav").config(ImageScale::kSmall);
  ConfigSource source;
  source.add_toml_text("hidden_dim = 16\noutput_dim = 8\nprototypes = 5\n" + settings, "test");
  read_config(*config, source);
  return config;
}

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
std::unique_ptr<Method> make_swav(const std::string& settings, std::uint64_t seed = 1) {
  torch::manual_seed(seed);
  const RecipeConfig recipe("swav", kSize);
  auto method = find_method("swav").make(
      *swav_config(settings),
      testing::test_context({.name = "resnet18", .width = 4, .stem = "cifar", .input_size = kSize},
                            recipe, seed));
  compute_in_float64(method->module());
  return method;
}

testing::BatchSpec batch_spec(std::uint64_t seed) {
  return {.samples = kBatch, .size = kSize, .seed = seed, .type = at::kDouble};
}

// 2 large and 6 small crops.
ViewBatch multi_crop(std::uint64_t seed, std::int64_t epoch = 0) {
  auto batch = testing::noise_batch(find_method("swav"), batch_spec(seed));
  batch.epoch = epoch;
  return batch;
}

// 2 views of a recipe without small crops.
ViewBatch two_views(std::uint64_t seed, std::int64_t epoch = 0) {
  auto batch = testing::noise_batch(find_method("simclr"), batch_spec(seed));
  batch.epoch = epoch;
  return batch;
}

at::Tensor prototypes(Method& method) {
  return method.module().named_parameters()["prototypes"];
}

at::Tensor buffer(Method& method, const std::string& name) {
  return method.module().named_buffers()[name];
}

bool close(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.allclose(b, 0.0, kClose);
}

// A step as the loop takes it.
MethodStep take_step(Method& method, Optimizer& optimizer, const ViewBatch& batch) {
  optimizer.zero_grad();
  auto step = method.step(batch, kFirst);
  step.output.loss.backward();
  optimizer.step(0.1, 0.1);
  method.after_optimizer_step(kFirst);
  return step;
}

TEST(Swav, ScoresUnitEmbeddingsWithUnitPrototypes) {
  const auto method = make_swav("");
  {
    const torch::NoGradGuard no_grad;
    prototypes(*method).mul_(3.0);
  }
  const auto step = method->step(multi_crop(1), kFirst);
  EXPECT_TRUE(close(prototypes(*method).norm(2, {1}), at::ones({5}, at::kDouble)));
  EXPECT_TRUE(close(step.output.embedding.norm(2, {1}), at::ones({kBatch}, at::kDouble)));
  EXPECT_TRUE(
      close(step.outputs[0].detach(), step.output.embedding.mm(prototypes(*method).t()).detach()));
  EXPECT_EQ(method->output_dim(), 5);
}

TEST(Swav, TakesItsTargetsFromTheBalancedScoresOfTheLargeViews) {
  const auto method = make_swav("epsilon = 0.2\niterations = 4");
  const auto step = method->step(multi_crop(2), kFirst);
  ASSERT_EQ(step.targets.size(), 2U);
  for (std::size_t v = 0; v < 2; ++v) {
    EXPECT_TRUE(close(step.targets[v], log_sinkhorn(step.outputs[v], 0.2, 4)));
    EXPECT_FALSE(step.targets[v].requires_grad());
  }
}

TEST(Swav, SharesTheBatchOutEvenlyUnlessSinkhornIsOff) {
  const std::string settings = "epsilon = 0.5\niterations = 50\n";
  const auto even = at::full({5}, static_cast<double>(kBatch) / 5.0, at::kDouble);
  const auto balanced = make_swav(settings)->step(multi_crop(3), kFirst);
  EXPECT_TRUE(balanced.targets[0].sum(0).allclose(even, 0.0, 1e-3));
  const auto greedy = make_swav(settings + "sinkhorn = false")->step(multi_crop(3), kFirst);
  EXPECT_FALSE(greedy.targets[0].sum(0).allclose(even, 0.0, 0.1));
  EXPECT_TRUE(close(greedy.targets[0], greedy.outputs[0].detach().div(0.5).softmax(1)));
}

TEST(Swav, LosesTheMeanOverBothAssignmentsOfTheMeanOverAllOtherCrops) {
  const auto method = make_swav("");
  const auto batch = multi_crop(4);
  const auto step = method->step(batch, kFirst);
  ASSERT_EQ(batch.views(), 8);
  double sum = 0.0;
  for (std::int64_t v = 0; v < batch.views(); ++v) {
    const auto scores = method->outputs(batch.view(v));  // by the statistics of this crop again
    if (v < 2) {
      EXPECT_TRUE(close(scores.detach(), step.outputs[static_cast<std::size_t>(v)].detach()));
    }
    for (std::int64_t t = 0; t < 2; ++t) {
      const auto& target = step.targets[static_cast<std::size_t>(t)];
      sum += t == v ? 0.0 : soft_cross_entropy(scores.div(0.1), target).item<double>() / 7.0;
    }
  }
  EXPECT_NEAR(step.output.loss.item<double>(), sum / 2.0, kClose);
}

TEST(Swav, LosesTheSumOfItsPairsForTwoViews) {
  const auto method = make_swav("");
  const auto step = method->step(two_views(5), kFirst);
  const auto pairs = method->pair_loss(step.outputs[0], step.targets[1], kFirst)
                         .add(method->pair_loss(step.outputs[1], step.targets[0], kFirst));
  EXPECT_NEAR(step.output.loss.item<double>(), pairs.item<double>(), kClose);
}

TEST(Swav, StandsAtItsConstantWhenAllPrototypesArePredictedAlike) {
  const auto method = make_swav("");
  const auto step = method->step(two_views(6), kFirst);
  const auto alike = at::zeros({kBatch, 5}, at::kDouble);
  const auto pairs = method->pair_loss(alike, step.targets[1], kFirst)
                         .add(method->pair_loss(alike, step.targets[0], kFirst));
  EXPECT_NEAR(pairs.item<double>(), std::log(5.0), 1e-12);
  EXPECT_NEAR(method->known_constants(kBatch)[0].value, std::log(5.0), 1e-12);
}

TEST(Swav, LeavesFrozenPrototypesToNeitherMomentumNorDecay) {
  for (const std::string optimizer : {"sgd", "lars"}) {
    const auto method = make_swav("freeze_epochs = 1");
    TrainConfig config;
    config.optimizer = optimizer;
    config.weight_decay = 0.1;
    Optimizer steps(*method, config);
    const auto unit = [&method] {
      return (prototypes(*method) / prototypes(*method).norm(2, {1}, true)).detach();
    };
    const auto start = unit();
    (void)take_step(*method, steps, two_views(7, 0));
    EXPECT_TRUE(close(prototypes(*method).detach(), start)) << optimizer;
    (void)take_step(*method, steps, two_views(8, 1));  // fills the momentum
    const auto moved = unit();
    EXPECT_FALSE(moved.allclose(start, 0.0, 1e-7)) << optimizer;
    (void)take_step(*method, steps, two_views(9, 0));
    EXPECT_TRUE(close(prototypes(*method).detach(), moved)) << optimizer;
  }
}

TEST(Swav, AssignsTheBatchTogetherWithAFullQueue) {
  const auto method = make_swav("queue_size = 32\nqueue_from = 2");
  const auto queued = [&method] { return buffer(*method, "queued").item<std::int64_t>(); };
  const auto step = [&method](std::uint64_t seed, std::int64_t epoch) {
    const auto made = method->step(two_views(seed, epoch), kFirst);
    method->after_optimizer_step(kFirst);
    return made;
  };
  const auto alone = [](const MethodStep& made) {
    return close(made.targets[1], log_sinkhorn(made.outputs[1], 0.05, 3));
  };
  EXPECT_TRUE(alone(step(10, 1)));
  EXPECT_EQ(queued(), 0);
  const auto first = step(11, 2);
  EXPECT_TRUE(alone(first));
  EXPECT_EQ(queued(), kBatch);
  EXPECT_TRUE(close(buffer(*method, "queue0.rows").narrow(0, 0, kBatch), first.output.embedding));
  EXPECT_TRUE(alone(step(12, 2)));
  EXPECT_EQ(queued(), 2 * kBatch);
  const auto past = buffer(*method, "queue1.rows").clone();
  const auto full = step(13, 2);
  EXPECT_FALSE(alone(full));
  const auto scores =
      at::cat({full.outputs[1].detach(), past.mm(prototypes(*method).detach().t())});
  EXPECT_TRUE(close(full.targets[1], log_sinkhorn(scores, 0.05, 3).narrow(0, 0, kBatch)));
  EXPECT_EQ(queued(), 2 * kBatch);
  EXPECT_FALSE(buffer(*method, "queue1.rows").equal(past));
}

TEST(Swav, GoesOnWithItsQueueAfterARestart) {
  const std::string settings = "queue_size = 32\nqueue_from = 0\nfreeze_epochs = 0";
  const auto whole = make_swav(settings);
  const auto resumed = make_swav(settings, 9);
  TrainConfig config;
  Optimizer optimizer(*whole, config);
  (void)take_step(*whole, optimizer, two_views(14));
  const auto bytes = write_safetensors(module_state(whole->module()), {});
  Optimizer resumed_optimizer(*resumed, config);
  load_module_state(resumed->module(), parse_safetensors(bytes, "state"));
  resumed_optimizer.load_state(optimizer.state());
  for (std::uint64_t seed = 15; seed < 18; ++seed) {  // the last with a full queue
    const auto a = take_step(*whole, optimizer, two_views(seed));
    const auto b = take_step(*resumed, resumed_optimizer, two_views(seed));
    EXPECT_EQ(a.output.loss.item<double>(), b.output.loss.item<double>());
    EXPECT_TRUE(a.targets[0].equal(b.targets[0]));
  }
  EXPECT_TRUE(prototypes(*whole).equal(prototypes(*resumed)));
}

TEST(Swav, RefusesAQueueThatDoesNotHoldWholeBatchesBeforeItComputesAnything) {
  const auto method = make_swav("queue_size = 40");
  const auto before = buffer(*method, "encoder.bn1.running_mean").clone();
  EXPECT_THROW((void)method->step(two_views(20), kFirst), UsageError);
  EXPECT_TRUE(buffer(*method, "encoder.bn1.running_mean").equal(before));
  const auto entry = find_method("swav");
  EXPECT_THROW(entry.check_batch(*swav_config("queue_size = 40"), kBatch), UsageError);
  EXPECT_NO_THROW(entry.check_batch(*swav_config("queue_size = 48"), kBatch));
  EXPECT_NO_THROW(entry.check_batch(*swav_config("queue_size = 0"), kBatch));
}

TEST(Swav, RefusesARecipeWithOneLargeView) {
  auto batch = multi_crop(21);
  batch.groups.front() = batch.groups.front().narrow(0, 0, kBatch);
  EXPECT_THROW((void)make_swav("")->step(batch, kFirst), UsageError);
}

// Targets of the samples of this process and gradients of the whole batch, of two steps, the second
// of which has a full queue.
struct Outcome {
  std::vector<at::Tensor> targets;
  std::vector<at::Tensor> gradients;  // of the prototypes
};

Outcome take_two_steps(const Communicator& processes) {
  const auto method = make_swav("freeze_epochs = 0\nqueue_size = 16\nqueue_from = 0");
  TrainConfig config;
  Optimizer optimizer(*method, config);
  GradientSum sums(method->module().parameters(), processes);
  share_batch_norm(method->module(), processes);
  const StepContext context{.step = 0, .total_steps = 10, .communicator = processes};
  Outcome outcome;
  for (std::uint64_t seed = 30; seed < 32; ++seed) {
    auto spec = batch_spec(seed);
    spec.part = processes.rank();
    spec.parts = processes.size();
    optimizer.zero_grad();
    const auto step = method->step(testing::noise_batch(find_method("swav"), spec), context);
    step.output.loss.backward();
    sums.finish();
    outcome.targets.push_back(step.targets[1]);
    outcome.gradients.push_back(prototypes(*method).grad().clone());
    optimizer.step(0.01, 0.01);
    method->after_optimizer_step(context);
  }
  return outcome;
}

TEST(Swav, AssignsTheBatchOfAllProcesses) {
  testing::in_joined_processes(2, [](const Communicator& processes) {
    const auto parts = take_two_steps(processes);
    const auto whole = take_two_steps({});
    const auto n = kBatch / 2;
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(
          parts.targets[i].allclose(whole.targets[i].narrow(0, processes.rank() * n, n), 0.0, 1e-6))
          << i;
      EXPECT_TRUE(parts.gradients[i].allclose(whole.gradients[i], 0.0, 1e-6)) << i;
    }
  });
}

}  // namespace
}  // namespace viewfold
