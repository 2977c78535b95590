// Tests of what is particular to ReLICv2: which views meet which targets, and backgrounds that are
// removed.
#include <algorithm>
#include <cmath>
#include <tuple>

#include "tensor/normal_tensor.hpp"
#include "tensor/processes.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/relic.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kBatch = 8;
constexpr std::int64_t kLarge = 16;
constexpr std::int64_t kSmall = 8;
const StepContext kFirst{.step = 0, .total_steps = 10};

std::unique_ptr<Method> make_method(const std::string& settings) {
  const auto entry = find_method("relicv2");
  const auto config = entry.config(ImageScale::kSmall);
  ConfigSource source;
  source.add_toml_text("hidden_dim = 32\noutput_dim = 16\n" + settings, "test");
  read_config(*config, source);
  torch::manual_seed(1);
  return entry.make(*config,
                    {.encoder = {.name = "resnet18", .width = 4, .stem = "cifar"}, .seed = 1});
}

ViewBatch random_batch(std::int64_t larges,
                       std::int64_t smalls,
                       std::uint64_t seed = 1,
                       std::int64_t n = kBatch) {
  ViewBatch batch;
  const auto add = [&](std::int64_t views, std::int64_t side) {
    batch.groups.push_back(normal_tensor({views * n, 3, side, side},
                                         seed + static_cast<std::uint64_t>(side), at::kFloat)
                               .contiguous(at::MemoryFormat::ChannelsLast));
  };
  add(larges, kLarge);
  if (smalls > 0) {
    add(smalls, kSmall);
  }
  batch.indices.resize(static_cast<std::size_t>(n));
  return batch;
}

// A mask of one class in the upper `rows` of `side` rows.
Image upper_rows(int side, int rows) {
  Image mask(side, side, 1);
  const auto values = mask.values<std::uint8_t>();
  std::fill_n(values.begin(), static_cast<std::ptrdiff_t>(rows) * side, std::uint8_t{3});
  return mask;
}

// The same mask in all views.
void annotate(ViewBatch& batch, const Image& mask) {
  batch.annotations.resize(static_cast<std::size_t>(batch.views() * batch.size()));
  for (auto& known : batch.annotations) {
    known.mask = mask;
  }
}

MethodStep step_of(Method& method, const ViewBatch& batch, std::uint64_t seed = 7) {
  torch::manual_seed(seed);
  return method.step(batch, kFirst);
}

double scalar(const MethodStep& step, const std::string& name) {
  for (const auto& [key, value] : step.output.scalars) {
    if (key == name) {
      return value;
    }
  }
  ADD_FAILURE() << "no scalar " << name;
  return 0.0;
}

std::vector<at::Tensor> projections(Method& method, const ViewBatch& batch) {
  const auto projector =
      std::dynamic_pointer_cast<Mlp>(method.module().named_children()["projector"]);
  std::vector<at::Tensor> all;
  for (std::int64_t v = 0; v < batch.views(); ++v) {
    all.push_back(projector->forward(method.encoder().forward(batch.view(v))));
  }
  return all;
}

// Without training mode every view gives what it gives alone, and the target network is the online
// one until it moves.
TEST(ReLicV2, ComparesEveryViewWithTheTargetsOfTheLargeOnes) {
  for (const bool same_view : {true, false}) {
    const auto method = make_method(
        std::string("negatives = 100\ntemperature = 0.3\n") +
        "alpha = 2.0\nbeta = 3.0\ninclude_same_view = " + (same_view ? "true" : "false"));
    method->module().eval();
    const auto batch = random_batch(2, 1);
    const auto o = projections(*method, batch);
    double nll = 0.0;
    double kl = 0.0;
    int pairs = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t j = 0; j < 2; ++j) {
        if (i != j || same_view) {
          const auto terms = relic({o[i], o[j], o[i], o[j]}, draw_negatives(kBatch, 100), 0.3,
                                   RelicStop::kEntropy);
          nll += terms.nll.item<double>();
          kl += terms.kl.item<double>();
          ++pairs;
        }
      }
    }
    EXPECT_EQ(pairs, same_view ? 6 : 4);
    const auto step = step_of(*method, batch);
    EXPECT_NEAR(scalar(step, "nll"), nll / pairs, 1e-5);
    EXPECT_NEAR(scalar(step, "kl"), kl / pairs, 1e-5);
    EXPECT_NEAR(step.output.loss.item<double>(), (2.0 * nll + 3.0 * kl) / pairs, 1e-5);
    EXPECT_TRUE(step.output.embedding.allclose(o[0], 0.0, 1e-5));
    EXPECT_TRUE(step.features[1].allclose(method->encoder().forward(batch.view(1)), 0.0, 1e-5));
  }
}

TEST(ReLicV2, HasTwoDirectionsThatAreItsLossOfTwoViews) {
  const auto method = make_method("negatives = 100\nbeta = 2.0\ninclude_same_view = false");
  const auto step = step_of(*method, random_batch(2, 0));
  const double sum = method->pair_loss(step.outputs[1], step.targets[0], kFirst).item<double>() +
                     method->pair_loss(step.outputs[0], step.targets[1], kFirst).item<double>();
  EXPECT_NEAR(step.output.loss.item<double>(), sum, 1e-5);
  EXPECT_TRUE(step.outputs[1].requires_grad());
  EXPECT_FALSE(step.targets[1].requires_grad());
}

TEST(ReLicV2, HasNoTargetOfASmallView) {
  const auto method = make_method("");
  const auto step = step_of(*method, random_batch(1, 2));
  ASSERT_EQ(step.targets.size(), 2U);
  EXPECT_TRUE(step.targets[0].defined());
  EXPECT_FALSE(step.targets[1].defined());
}

TEST(ReLicV2, TakesOneGroupOfTwoViews) {
  const auto method = make_method("");
  const auto step = step_of(*method, random_batch(2, 0));
  EXPECT_TRUE(step.output.loss.isfinite().item<bool>());
  EXPECT_EQ(step.features.size(), 2U);
  EXPECT_TRUE(step.features[1].requires_grad());
}

TEST(ReLicV2, RefusesASingleView) {
  const auto method = make_method("");
  EXPECT_THROW((void)step_of(*method, random_batch(1, 0)), UsageError);
}

TEST(ReLicV2, LosesTheSameWithAllNegativesAsWithTheBatchOfThem) {
  const auto all = make_method("negatives = 7");
  const auto more = make_method("negatives = 4096");
  const auto some = make_method("negatives = 3");
  const auto batch = random_batch(2, 1);
  const double loss = step_of(*all, batch).output.loss.item<double>();
  EXPECT_EQ(step_of(*more, batch, 8).output.loss.item<double>(), loss);
  EXPECT_GT(loss - step_of(*some, batch).output.loss.item<double>(), 0.1);
}

TEST(ReLicV2, DrawsItsNegativesFromTheSeedOfTheStep) {
  const auto method = make_method("negatives = 2");
  method->module().eval();
  const auto batch = random_batch(2, 0);
  const double loss = step_of(*method, batch, 3).output.loss.item<double>();
  EXPECT_EQ(step_of(*method, batch, 3).output.loss.item<double>(), loss);
  EXPECT_NE(step_of(*method, batch, 4).output.loss.item<double>(), loss);
}

TEST(ReLicV2, SendsSmallViewsThroughTheOnlineNetworkOnly) {
  const auto method = make_method("");
  (void)step_of(*method, random_batch(3, 2));
  const auto buffers = method->module().named_buffers();
  const auto batches = [&](const std::string& name) {
    return buffers[name + ".layers.1.num_batches_tracked"].item<std::int64_t>();
  };
  EXPECT_EQ(batches("projector"), 5);
  EXPECT_EQ(batches("target_projector"), 3);
}

TEST(ReLicV2, SendsNoGradientToTheTargetNetwork) {
  for (const auto* stop : {"entropy", "distribution"}) {
    const auto method = make_method(std::string("stop_gradient = \"") + stop + "\"");
    step_of(*method, random_batch(2, 1)).output.loss.backward();
    const auto parameters = method->module().named_parameters();
    for (const auto& item : parameters) {
      const bool is_target = item.key().starts_with("target_");
      EXPECT_EQ(item.value().requires_grad(), !is_target) << item.key();
      EXPECT_EQ(item.value().grad().defined(), !is_target) << item.key();
    }
  }
}

TEST(ReLicV2, HasTheSameLossAndOtherGradientsWhereTheWholeDistributionIsStopped) {
  const auto a = make_method("stop_gradient = \"entropy\"");
  const auto b = make_method("stop_gradient = \"distribution\"");
  const auto batch = random_batch(2, 1);
  const auto loss_a = step_of(*a, batch).output.loss;
  const auto loss_b = step_of(*b, batch).output.loss;
  EXPECT_NEAR(loss_a.item<double>(), loss_b.item<double>(), 1e-6);
  loss_a.backward();
  loss_b.backward();
  const auto gradient = [](Method& method) {
    return method.module().named_parameters()["projector.layers.3.weight"].grad();
  };
  EXPECT_GT((gradient(*a) - gradient(*b)).norm().item<double>(), 1e-4);
}

TEST(ReLicV2, MovesItsTargetAfterTheStepBySchedule) {
  // 0.9 at the start, half-way 0.95 (closed form of the cosine); at 1 it stands, at 0 it follows.
  const std::vector<std::tuple<std::string, std::int64_t, double>> schedule{
      {"0.9", 0, 0.9}, {"0.9", 5, 0.95}, {"1.0", 0, 1.0}, {"0.0", 0, 0.0}};
  for (const auto& [setting, at_step, momentum] : schedule) {
    const auto method = make_method("momentum = " + setting);
    const auto parameters = method->module().named_parameters();
    const auto& online = parameters["encoder.conv1.weight"];
    const auto& target = parameters["target_encoder.conv1.weight"];
    const auto before = target.detach().clone();
    {
      const torch::NoGradGuard no_grad;
      online.add_(1.0);
    }
    const StepContext context{.step = at_step, .total_steps = 10};
    (void)method->step(random_batch(2, 0), context);
    EXPECT_TRUE(target.equal(before));
    method->after_optimizer_step(context);
    EXPECT_TRUE(target.allclose(before + (1.0 - momentum), 0.0, 1e-6)) << setting << at_step;
  }
}

// Not in training mode: batch norm would divide the noise of equal images by nothing.
TEST(ReLicV2, StandsAtItsConstantWhenAllImagesLookAlike) {
  const std::vector<std::pair<std::string, double>> cases{
      {"negatives = 3\nalpha = 2.0", 2.0 * std::log(4.0)}, {"negatives = 10", std::log(8.0)}};
  for (const auto& [settings, expected] : cases) {
    const auto method = make_method(settings);
    method->module().eval();
    const auto constants = method->known_constants(kBatch);
    ASSERT_EQ(constants.size(), 1U);
    EXPECT_NEAR(constants[0].value, expected, 1e-12);
    auto batch = random_batch(2, 0);
    batch.groups[0] = batch.groups[0].narrow(0, 0, 1).repeat({2 * kBatch, 1, 1, 1});
    const auto step = step_of(*method, batch);
    EXPECT_NEAR(step.output.loss.item<double>(), expected, 1e-5);
    EXPECT_NEAR(scalar(step, "kl"), 0.0, 1e-5);
  }
}

// Backgrounds: the upper half of every mask is the object.
TEST(ReLicV2, LeavesViewsAsTheyAreWithoutMasking) {
  const auto plain = make_method("");
  const auto with_masks = make_method("mask_probability = 0.0");
  auto batch = random_batch(2, 1);
  const double expected = step_of(*plain, batch).output.loss.item<double>();
  annotate(batch, upper_rows(kLarge, kLarge / 2));
  const auto views = batch.groups[0].clone();
  EXPECT_EQ(step_of(*with_masks, batch).output.loss.item<double>(), expected);
  EXPECT_TRUE(batch.groups[0].equal(views));
}

TEST(ReLicV2, SeesNothingOfTheBackgroundOfLargeViews) {
  const auto method = make_method("mask_probability = 1.0");
  method->module().eval();
  auto batch = random_batch(1, 1);
  annotate(batch, upper_rows(kLarge, kLarge / 2));
  const auto before = step_of(*method, batch);
  const auto views = batch.groups[0].clone();
  batch.groups[0].narrow(2, kLarge / 2, kLarge / 2).add_(1.0);  // below the object
  const auto changed = batch.groups[0].clone();
  const auto after = step_of(*method, batch);
  EXPECT_TRUE(after.features[0].equal(before.features[0]));
  EXPECT_EQ(after.output.loss.item<double>(), before.output.loss.item<double>());  // and targets
  EXPECT_TRUE(batch.groups[0].equal(changed));  // the batch itself stays
  batch.groups[0].copy_(views);
  batch.groups[0].narrow(2, 0, kLarge / 2).add_(1.0);
  EXPECT_FALSE(step_of(*method, batch).features[0].allclose(before.features[0], 0.0, 1e-4));
}

TEST(ReLicV2, LeavesTheBackgroundOfSmallViews) {
  const auto method = make_method("mask_probability = 1.0");
  method->module().eval();
  auto batch = random_batch(1, 1);
  annotate(batch, upper_rows(kLarge, kLarge / 2));
  const auto before = step_of(*method, batch);
  batch.groups[1].narrow(2, kSmall / 2, kSmall / 2).add_(1.0);
  const auto after = step_of(*method, batch);
  EXPECT_TRUE(after.features[0].equal(before.features[0]));
  EXPECT_FALSE(after.features[1].allclose(before.features[1], 0.0, 1e-4));
}

TEST(ReLicV2, MasksViewsThatHaveBeenMadeSmaller) {
  const auto method = make_method("mask_probability = 1.0");
  method->module().eval();
  auto batch = random_batch(2, 0);
  annotate(batch, upper_rows(2 * kLarge, kLarge));
  const auto before = step_of(*method, batch);
  batch.groups[0].narrow(2, kLarge / 2, kLarge / 2).add_(1.0);
  EXPECT_TRUE(step_of(*method, batch).features[0].equal(before.features[0]));
}

TEST(ReLicV2, LeavesViewsAloneWhoseMasksAreMissingEmptyOrTooLarge) {
  const auto method = make_method("mask_probability = 1.0");
  method->module().eval();
  auto batch = random_batch(2, 0);
  const auto expected = method->encoder().forward(batch.view(0));
  for (const int rows : {0, 12, 16}) {  // of 16: nothing, 75 %, everything
    annotate(batch, upper_rows(kLarge, rows));
    EXPECT_TRUE(step_of(*method, batch).features[0].allclose(expected, 0.0, 1e-5)) << rows;
  }
  for (auto& known : batch.annotations) {
    known.mask.reset();
  }
  EXPECT_TRUE(step_of(*method, batch).features[0].allclose(expected, 0.0, 1e-5));
  for (const int rows : {1, 11}) {  // 6 % and 69 %
    annotate(batch, upper_rows(kLarge, rows));
    EXPECT_FALSE(step_of(*method, batch).features[0].allclose(expected, 0.0, 1e-4)) << rows;
  }
}

TEST(ReLicV2, MasksEachViewWithItsProbabilityAndAGreyOfItsOwn) {
  constexpr std::int64_t kMany = 64;
  const auto method = make_method("mask_probability = 0.25");
  method->module().eval();
  auto batch = random_batch(2, 0, 1, 1);
  batch.groups[0] = batch.groups[0].narrow(0, 0, 1).repeat({2 * kMany, 1, 1, 1});  // one picture
  batch.indices.resize(kMany);
  annotate(batch, upper_rows(kLarge, kLarge / 2));
  const auto plain = method->encoder().forward(batch.view(0).narrow(0, 0, 1));
  const auto step = step_of(*method, batch);
  std::vector<at::Tensor> masked;
  for (const auto& features : step.features) {
    const auto moved = (features - plain).norm(2, {1}).gt(1e-3);  // [N]
    // 16 of 64 with a standard deviation of 3.5.
    EXPECT_NEAR(moved.sum().item<double>(), 16.0, 14.0);
    EXPECT_GT(features.index({moved}).std(0).max().item<double>(), 1e-3);  // not all of one grey
    masked.push_back(moved);
  }
  EXPECT_FALSE(masked[0].equal(masked[1]));  // drawn for each crop
}

TEST(ReLicV2, SaysWhatToDoWithoutMasks) {
  const auto method = make_method("mask_probability = 0.1");
  try {
    (void)step_of(*method, random_batch(2, 1));
    FAIL() << "there are no masks";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("mask_probability"), std::string::npos);
  }
}

// The part of a batch that process `rank` of `size` has.
ViewBatch part_of(const ViewBatch& batch, const Communicator& processes) {
  const auto n = batch.size() / processes.size();
  ViewBatch part;
  for (const auto& group : batch.groups) {
    std::vector<at::Tensor> views;
    for (const auto& view : group.chunk(group.size(0) / batch.size())) {
      views.push_back(view.narrow(0, processes.rank() * n, n));
    }
    part.groups.push_back(at::cat(views).contiguous(at::MemoryFormat::ChannelsLast));
  }
  part.indices.resize(static_cast<std::size_t>(n));
  return part;
}

// In float64; the table of all methods is run elsewhere, without masks.
TEST(ReLicV2, MasksAndDrawsAlikeInTwoProcessesAndInOne) {
  testing::in_joined_processes(2, [](const Communicator& processes) {
    const auto loss_in = [](const Communicator& with) {
      const auto method = make_method("mask_probability = 0.5\nnegatives = 3");
      for (auto& parameter : method->module().parameters()) {
        parameter.set_data(parameter.detach().to(at::kDouble));
      }
      for (auto& buffer : method->module().buffers()) {
        if (buffer.is_floating_point()) {
          buffer.set_data(buffer.to(at::kDouble));
        }
      }
      share_batch_norm(method->module(), with);
      auto batch = part_of(random_batch(2, 1), with);
      for (auto& group : batch.groups) {
        group = group.to(at::kDouble);
      }
      annotate(batch, upper_rows(kLarge, kLarge / 2));
      torch::manual_seed(5);
      auto loss = method->step(batch, {.step = 0, .total_steps = 10, .communicator = with})
                      .output.loss.detach()
                      .view({1})
                      .clone();
      with.all_reduce_sum(loss);
      return loss.item<double>() / with.size();
    };
    const double together = loss_in(processes);
    EXPECT_NEAR(together, loss_in({}), 1e-6);
  });
}

}  // namespace
}  // namespace viewfold
