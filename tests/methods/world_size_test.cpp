// Every method takes the same steps whatever the number of processes: over the whole table.
#include "methods/method_cases.hpp"
#include "tensor/processes.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/config.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/fused/block.hpp"
#include "viewfold/nn/state.hpp"
#include "viewfold/train/gradient_sum.hpp"
#include "viewfold/train/optimizer.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kBatch = 32;
constexpr std::int64_t kSize = 16;
constexpr std::int64_t kSteps = 2;
// Relative to the largest. Encoders and heads compute in float64: in float32 rounding moves a few
// of millions of values across the threshold of a ReLU, where gradients jump.
constexpr double kTolerance = 1e-5;
// Fused blocks have no float64: each gradient by its length. A sum that is missed is off by 1.
constexpr double kFusedTolerance = 5e-2;

using Settings = std::vector<std::pair<std::string, std::string>>;

struct Case {
  MethodEntry entry;
  ImageScale scale = ImageScale::kSmall;
  Settings settings = {};
  bool fused = false;

  [[nodiscard]] std::string name() const {
    std::string text(entry.name);
    text += scale == ImageScale::kSmall ? " small" : " large";
    for (const auto& [key, value] : settings) {
      text += " " + key + "=" + value;
    }
    return text + (fused ? " fused" : "");
  }
};

std::unique_ptr<Method> make_method(const Case& c) {
  const auto config = testing::small_config(c.entry, c.scale);
  ConfigSource source;
  source.add_toml_text(print_config(*config), "test");
  for (const auto& [key, value] : c.settings) {
    source.set(key, value, "test");
  }
  read_config(*config, source);
  torch::manual_seed(1);
  const std::string stem = c.scale == ImageScale::kSmall ? "cifar" : "imagenet";
  const RecipeConfig recipe(c.entry.recipe, kSize);
  return c.entry.make(
      *config,
      testing::test_context(
          {.name = "resnet18", .width = c.fused ? 16 : 4, .stem = stem, .input_size = kSize},
          recipe));
}

// The part of the batch of a step that process `rank` of `size` has.
ViewBatch make_batch(const Case& c, std::int64_t step, const Communicator& processes) {
  return testing::noise_batch(c.entry, {.samples = kBatch,
                                        .size = kSize,
                                        .seed = static_cast<std::uint64_t>(step + 1),
                                        .type = c.fused ? at::kFloat : at::kDouble,
                                        .part = processes.rank(),
                                        .parts = processes.size()});
}

// What must not depend on the number of processes.
struct Outcome {
  std::vector<double> losses;
  std::vector<at::Tensor> gradients;  // of the first step
  std::vector<NamedTensor> state;     // parameters, running statistics, queue
};

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

// Steps as the loop takes them.
Outcome take_steps(const Case& c, const Communicator& processes) {
  const fused::FusedGuard guard(c.fused);
  const auto method = make_method(c);
  if (!c.fused) {
    compute_in_float64(method->module());
  }
  TrainConfig config;
  Optimizer optimizer(*method, config);
  GradientSum gradients(method->module().parameters(), processes);
  share_batch_norm(method->module(), processes);
  Outcome outcome;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    torch::manual_seed(static_cast<std::uint64_t>(step));
    const StepContext context{.step = step, .total_steps = 10, .communicator = processes};
    optimizer.zero_grad();
    const auto output = method->training_step(make_batch(c, step, processes), context);
    output.loss.backward();
    gradients.finish();
    auto loss = output.loss.detach().to(at::kDouble).view({1}).clone();
    processes.all_reduce_sum(loss);
    outcome.losses.push_back(loss.item<double>() / processes.size());
    for (const auto& parameter : method->module().parameters()) {
      if (parameter.requires_grad() && step == 0) {
        outcome.gradients.push_back(parameter.grad().clone());
      }
    }
    optimizer.step(0.01, 0.01);
    method->after_optimizer_step(context);
  }
  for (const auto& item : module_state(method->module())) {
    outcome.state.push_back({item.name, item.tensor.clone()});
  }
  return outcome;
}

double largest(const at::Tensor& t) {
  return t.numel() == 0 ? 0.0 : t.to(at::kDouble).abs().max().item<double>();
}

// The key networks of MoCo and the target networks of BYOL normalise by their batches only: nothing
// reads their running statistics.
bool is_read(const std::string& name) {
  return !(name.starts_with("key_") || name.starts_with("target_")) ||
         (name.find("running_") == std::string::npos &&
          name.find("num_batches") == std::string::npos);
}

double relative_distance(const at::Tensor& a, const at::Tensor& b) {
  const auto wide = b.to(at::kDouble);
  return (a.to(at::kDouble) - wide).norm().item<double>() /
         std::max(wide.norm().item<double>(), 1e-12);
}

double largest_of(const std::vector<at::Tensor>& tensors) {
  double all = 0.0;
  for (const auto& tensor : tensors) {
    all = std::max(all, largest(tensor));
  }
  return all;
}

void expect_close_losses(double a, double b, const std::string& name) {
  EXPECT_NEAR(a, b, kTolerance * std::max(1.0, std::abs(b))) << name;
}

void expect_the_same_first_step(const Outcome& a, const Outcome& b, const Case& c) {
  expect_close_losses(a.losses[0], b.losses[0], c.name());
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  const double scale = largest_of(b.gradients);
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    if (c.fused) {
      EXPECT_LT(relative_distance(a.gradients[i], b.gradients[i]), kFusedTolerance)
          << c.name() << " " << i;
    } else {
      EXPECT_LT(largest(a.gradients[i] - b.gradients[i]), kTolerance * scale)
          << c.name() << " " << i;
    }
  }
}

void expect_the_same_end(const Outcome& a, const Outcome& b, const std::string& name) {
  expect_close_losses(a.losses.back(), b.losses.back(), name);
  for (std::size_t i = 0; i < a.state.size(); ++i) {
    const auto& expected = b.state[i];
    if (is_read(expected.name)) {
      const auto difference = a.state[i].tensor.to(at::kDouble) - expected.tensor.to(at::kDouble);
      EXPECT_LT(largest(difference), kTolerance * std::max(1.0, largest(expected.tensor)))
          << name << " " << expected.name;
    }
  }
}

void expect_the_state_of_rank_0(const Outcome& outcome,
                                const Communicator& processes,
                                const std::string& name) {
  for (const auto& item : outcome.state) {
    if (is_read(item.name)) {
      const auto first = item.tensor.contiguous().clone();
      processes.broadcast(first);
      EXPECT_TRUE(first.equal(item.tensor)) << name << " " << item.name;
    }
  }
}

std::vector<Case> cases_of(int processes) {
  std::vector<Case> cases;
  for (const auto& entry : testing::all_methods()) {
    const bool is_extended = entry.name.find('+') != std::string::npos;
    if (entry.closed_form ||
        (is_extended && processes > 2)) {  // in one process only; two are enough
      continue;
    }
    cases.push_back({entry, ImageScale::kSmall});
    // Blocks know nothing of the objective: one without and one with a second network.
    if (entry.name == "simclr" || entry.name == "moco_v2") {
      cases.push_back({entry, ImageScale::kSmall, {}, true});
    }
    if (entry.name == "swav" || entry.name == "dino") {
      cases.push_back({entry, ImageScale::kSmall, {{"freeze_epochs", "0"}}});
    }
    if (processes == 2) {
      cases.push_back({entry, ImageScale::kLarge});
    }
    if (entry.name == "moco_v2") {
      cases.push_back({entry, ImageScale::kSmall, {{"norm_splits", "1"}}});
      cases.push_back({entry, ImageScale::kSmall, {{"norm_splits", "2"}}});
      cases.push_back({entry, ImageScale::kSmall, {{"norm_splits", "2"}}, true});
      cases.push_back({entry, ImageScale::kSmall, {{"symmetric", "false"}, {"norm_splits", "4"}}});
    }
  }
  return cases;
}

void compare_with_one_process(const Communicator& processes) {
  for (const auto& c : cases_of(processes.size())) {
    SCOPED_TRACE(c.name());
    const auto outcome = take_steps(c, processes);
    expect_the_state_of_rank_0(outcome, processes, c.name());
    if (processes.rank() == 0) {
      const auto expected = take_steps(c, {});
      expect_the_same_first_step(outcome, expected, c);
      if (!c.fused) {
        expect_the_same_end(outcome, expected, c.name());
      }
    }
  }
}

TEST(EveryMethod, TakesTheSameStepsInTwoProcessesAsInOne) {
  testing::in_joined_processes(2, compare_with_one_process);
}

TEST(EveryMethod, TakesTheSameStepsInFourProcessesAsInOne) {
  testing::in_joined_processes(4, compare_with_one_process);
}

TEST(MocoV2, RefusesSubBatchesThatDoNotDivideAmongProcesses) {
  testing::in_joined_processes(4, [](const Communicator& processes) {
    ViewBatch batch;
    batch.groups.push_back(at::zeros({2 * 12, 3, 16, 16}));  // 48 of four processes: 6 parts
    batch.indices.resize(12);
    const auto method = make_method(
        {find_method("moco_v2"), ImageScale::kSmall, {{"norm_splits", "6"}, {"queue_size", "96"}}});
    EXPECT_THROW((void)method->training_step(
                     batch, {.step = 0, .total_steps = 1, .communicator = processes}),
                 UsageError);
  });
}

}  // namespace
}  // namespace viewfold
