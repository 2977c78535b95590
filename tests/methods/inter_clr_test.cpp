// Tests of InterCLR as an extension of methods with targets.
#include <algorithm>
#include <cmath>

#include "tensor/normal_tensor.hpp"
#include "tensor/processes.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/state.hpp"
#include "viewfold/train/gradient_sum.hpp"

namespace viewfold {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

constexpr std::int64_t kImages = 32;
constexpr std::int64_t kBatch = 8;  // four make an epoch

const Settings kMoco{
    {"queue_size", "32"}, {"symmetric", "false"}, {"output_dim", "16"}, {"norm_splits", "1"}};
const Settings kInter{{"inter_clr.warmup_epochs", "1"},
                      {"inter_clr.clusters", "4"},
                      {"inter_clr.negatives", "12"},
                      {"inter_clr.pool", "20"},
                      {"inter_clr.min_cluster", "2"}};

Settings joined(Settings settings, const Settings& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

std::unique_ptr<Method> make_method(const std::string& name,
                                    const Settings& settings,
                                    std::int64_t samples = kImages) {
  const auto entry = find_method(name);
  const auto config = entry.config(ImageScale::kSmall);
  ConfigSource source;
  for (const auto& [key, value] : settings) {
    source.set(key, value, "test");
  }
  read_config(*config, source);
  torch::manual_seed(1);
  MethodContext context;
  context.encoder = {.name = "resnet18", .width = 4, .stem = "cifar", .input_size = 16};
  context.seed = 1;
  context.samples = samples;
  return entry.make(*config, context);
}

std::unique_ptr<Method> make_inter(const Settings& settings = {}) {
  return make_method("moco_v2+inter_clr", joined(joined(kMoco, kInter), settings));
}

// Images `first` ... of the data set, with a little noise of the epoch; the part of process `rank`
// of `size`.
ViewBatch batch_of(std::int64_t first,
                   std::int64_t epoch,
                   at::ScalarType type = at::kFloat,
                   const Communicator& processes = {}) {
  const auto n = kBatch / processes.size();
  ViewBatch batch;
  std::vector<at::Tensor> views;
  const auto images = normal_tensor({kImages, 3, 16, 16}, 11);
  for (std::uint64_t v = 0; v < 2; ++v) {
    const auto seed = 100 + 2 * static_cast<std::uint64_t>(epoch) + v;
    const auto noise = normal_tensor({kImages, 3, 16, 16}, seed).mul(0.2);
    views.push_back((images + noise).narrow(0, first + processes.rank() * n, n).to(type));
  }
  batch.groups.push_back(at::cat(views).contiguous(at::MemoryFormat::ChannelsLast));
  for (std::int64_t i = 0; i < n; ++i) {
    batch.indices.push_back(static_cast<std::uint32_t>(first + processes.rank() * n + i));
  }
  batch.records.resize(2 * batch.indices.size());
  batch.epoch = epoch;
  return batch;
}

// One step without an update of the parameters.
StepOutput step(Method& method, const ViewBatch& batch, std::int64_t index) {
  torch::manual_seed(static_cast<std::uint64_t>(index));
  const StepContext context{.step = index, .total_steps = 100};
  auto output = method.training_step(batch, context);
  method.after_optimizer_step(context);
  return output;
}

// The steps of epoch 0 up to image `end`.
void fill_bank(Method& method, std::int64_t end = kImages) {
  for (std::int64_t first = 0; first < end; first += kBatch) {
    (void)step(method, batch_of(first, 0), first / kBatch);
  }
}

at::Tensor buffer(Method& method, const std::string& name) {
  return method.module().named_buffers()[name];
}

double scalar(const StepOutput& output, const std::string& name) {
  for (const auto& [key, value] : output.scalars) {
    if (key == name) {
      return value;
    }
  }
  return std::nan("");
}

at::Tensor label_counts(Method& method) {
  return buffer(method, "inter_clr.bank.labels").add(1).bincount();
}

TEST(InterClr, LosesAsTheMethodAloneWhileItFillsTheBank) {
  const auto alone = make_method("moco_v2", kMoco);
  const auto both = make_inter();
  for (std::int64_t i = 0; i < 2; ++i) {
    const auto batch = batch_of(8 + kBatch * i, 0);
    const auto expected = step(*alone, batch, i);
    const auto output = step(*both, batch, i);
    EXPECT_EQ(output.loss.item<double>(), expected.loss.item<double>());
    EXPECT_EQ(output.scalars, expected.scalars);
  }
  const auto filled = buffer(*both, "inter_clr.bank.filled");
  EXPECT_TRUE(filled.narrow(0, 8, 16).all().item<bool>());
  EXPECT_EQ(filled.sum().item<std::int64_t>(), 16);
  // The queue has the keys of both steps too.
  EXPECT_TRUE(buffer(*both, "inter_clr.bank.rows")
                  .narrow(0, 8, 16)
                  .allclose(buffer(*both, "queue.rows").narrow(0, 0, 16), 0.0, 1e-6));
  EXPECT_TRUE(buffer(*both, "inter_clr.bank.labels").eq(-1).all().item<bool>());
}

TEST(InterClr, WeighsBothLossesFromTheEpochAfterTheWarmUp) {
  const auto alone = make_method("moco_v2", kMoco);
  const auto both = make_inter();
  fill_bank(*alone);
  fill_bank(*both);
  const auto expected = step(*alone, batch_of(0, 1), 4);
  const auto output = step(*both, batch_of(0, 1), 4);
  const double inter = scalar(output, "inter_loss");
  EXPECT_GT(inter, 0.0);
  EXPECT_NEAR(output.loss.item<double>(), 0.75 * expected.loss.item<double>() + 0.25 * inter, 1e-5);
  const double changed = scalar(output, "changed_labels");
  EXPECT_GE(changed, 0.0);
  EXPECT_LE(changed, 1.0);
  EXPECT_GE(scalar(output, "clusters"), 1.0);
  EXPECT_LE(scalar(output, "clusters"), 4.0);
  EXPECT_EQ(output.loss.scalar_type(), at::kFloat);
}

TEST(InterClr, WithoutWeightIsTheMethodAlone) {
  const auto alone = make_method("moco_v2", kMoco);
  const auto both =
      make_inter({{"inter_clr.intra_weight", "1.0"}, {"inter_clr.inter_weight", "0.0"}});
  fill_bank(*alone);
  fill_bank(*both);
  const auto expected = step(*alone, batch_of(0, 1), 4);
  const auto output = step(*both, batch_of(0, 1), 4);
  ASSERT_GT(scalar(output, "inter_loss"), 0.0);
  EXPECT_EQ(output.loss.item<double>(), expected.loss.item<double>());
  expected.loss.backward();
  output.loss.backward();
  const auto parameters = both->module().named_parameters();
  for (const auto& item : alone->module().named_parameters()) {
    if (item.value().requires_grad()) {
      EXPECT_TRUE(parameters[item.key()].grad().equal(item.value().grad())) << item.key();
    }
  }
}

TEST(InterClr, SendsItsGradientToTheNetworkOfTheQueryOnly) {
  for (const std::string sampling : {"random", "semi_hard", "hard", "semi_easy"}) {
    const auto method =
        make_inter({{"inter_clr.intra_weight", "0.0"}, {"inter_clr.sampling", sampling}});
    fill_bank(*method);
    step(*method, batch_of(8, 1), 4).loss.backward();
    for (const auto& item : method->module().named_parameters()) {
      const auto& gradient = item.value().grad();
      EXPECT_EQ(gradient.defined(), !item.key().starts_with("key_")) << item.key();
      if (gradient.defined()) {
        EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << item.key();
      }
    }
    const auto parameters = method->module().named_parameters();
    EXPECT_GT(parameters["encoder.conv1.weight"].grad().abs().max().item<double>(), 0.0)
        << sampling;
    for (const auto& item : method->module().named_buffers()) {
      EXPECT_FALSE(item.value().requires_grad()) << item.key();
    }
  }
}

TEST(InterClr, KeepsEveryClusterAlive) {
  const auto method = make_inter({{"inter_clr.centroid_every", "2"}});
  fill_bank(*method);
  for (std::int64_t i = 4; i < 8; ++i) {
    (void)step(*method, batch_of(kBatch * (i - 4), 1), i);
    const auto counts = label_counts(*method);
    ASSERT_EQ(counts.size(0), 5);  // no label above the last
    EXPECT_EQ(counts[0].item<std::int64_t>(), 0);
    EXPECT_TRUE(counts.narrow(0, 1, 4).gt(0).all().item<bool>()) << counts;
    EXPECT_EQ(counts.sum().item<std::int64_t>(), kImages);
    const auto rows = buffer(*method, "inter_clr.bank.rows");
    EXPECT_TRUE(rows.norm(2, {1}).allclose(at::ones({kImages}), 0.0, 1e-6));
  }
}

TEST(InterClr, LeavesImagesOutThatItHasNotSeen) {
  const auto alone = make_method("moco_v2", kMoco);
  const auto both = make_inter();
  fill_bank(*alone, 24);
  fill_bank(*both, 24);
  const auto batch = batch_of(24, 1);
  const auto expected = step(*alone, batch, 4);
  const auto output = step(*both, batch, 4);
  EXPECT_EQ(scalar(output, "inter_loss"), 0.0);
  EXPECT_NEAR(output.loss.item<double>(), 0.75 * expected.loss.item<double>(), 1e-6);
  EXPECT_EQ(scalar(output, "changed_labels"), 1.0);  // first labels
  EXPECT_EQ(label_counts(*both)[0].item<std::int64_t>(), 0);
  EXPECT_GT(scalar(step(*both, batch, 5), "inter_loss"), 0.0);
}

TEST(InterClr, WaitsForAsManyImagesAsClusters) {
  const auto method = make_inter({{"inter_clr.clusters", "10"}});
  fill_bank(*method, 8);
  EXPECT_TRUE(std::isnan(scalar(step(*method, batch_of(8, 1), 4), "inter_loss")));
  EXPECT_FALSE(std::isnan(scalar(step(*method, batch_of(16, 1), 5), "inter_loss")));
}

TEST(InterClr, GoesOnFromItsSavedStateAsIfItHadNeverStopped) {
  const auto whole = make_inter();
  fill_bank(*whole);
  (void)step(*whole, batch_of(0, 1), 4);
  const auto bytes = write_safetensors(module_state(whole->module()), {});
  const auto resumed = make_inter();
  load_module_state(resumed->module(), parse_safetensors(bytes, "state"));
  const auto expected = step(*whole, batch_of(8, 1), 5);
  const auto output = step(*resumed, batch_of(8, 1), 5);
  EXPECT_EQ(output.loss.item<double>(), expected.loss.item<double>());
  EXPECT_EQ(output.scalars, expected.scalars);
  const auto left = module_state(whole->module());
  const auto right = module_state(resumed->module());
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(left[i].tensor.equal(right[i].tensor)) << left[i].name;
  }
}

TEST(InterClr, KeepsOfflineLabelsUntilTheNextClustering) {
  const auto method =
      make_inter({{"inter_clr.labels", "offline"}, {"inter_clr.offline_every", "2"}});
  fill_bank(*method);
  (void)step(*method, batch_of(0, 1), 4);
  const auto labels = buffer(*method, "inter_clr.bank.labels").clone();
  const auto centroids = buffer(*method, "inter_clr.bank.centroids").clone();
  const auto rows = buffer(*method, "inter_clr.bank.rows").clone();
  const auto output = step(*method, batch_of(8, 2), 9);
  EXPECT_TRUE(std::isnan(scalar(output, "changed_labels")));
  EXPECT_TRUE(buffer(*method, "inter_clr.bank.labels").equal(labels));
  EXPECT_TRUE(buffer(*method, "inter_clr.bank.centroids").equal(centroids));
  EXPECT_FALSE(buffer(*method, "inter_clr.bank.rows").equal(rows));  // written all the same
  (void)step(*method, batch_of(16, 3), 10);
  EXPECT_EQ(buffer(*method, "inter_clr.clustered").item<std::int64_t>(), 3);
  EXPECT_FALSE(buffer(*method, "inter_clr.bank.centroids").equal(centroids));
}

TEST(InterClr, GoesWithMethodsWithoutNegatives) {
  const std::vector<std::pair<std::string, Settings>> cases{
      {"simsiam", {{"output_dim", "16"}, {"predictor_dim", "8"}}},
      {"byol", {{"output_dim", "16"}, {"hidden_dim", "16"}}}};
  for (const auto& [name, settings] : cases) {
    const auto alone = make_method(name, settings);
    const auto both = make_method(name + "+inter_clr", joined(settings, kInter));
    fill_bank(*alone);
    fill_bank(*both);
    const auto expected = step(*alone, batch_of(0, 1), 4);
    const auto output = step(*both, batch_of(0, 1), 4);
    EXPECT_NEAR(output.loss.item<double>(),
                0.75 * expected.loss.item<double>() + 0.25 * scalar(output, "inter_loss"), 1e-5)
        << name;
    output.loss.backward();
  }
}

// The queue and the bank are full of one and the same key.
TEST(InterClr, StandsAtItsConstantWhenAllImagesLookAlike) {
  for (const std::string margin : {"-0.5", "0.25"}) {
    const auto method = make_inter({{"momentum", "1.0"}, {"inter_clr.margin", margin}});
    const auto constants = method->known_constants(kBatch);
    ASSERT_EQ(constants.size(), 1U);
    const double m = std::stod(margin);
    EXPECT_NEAR(constants[0].value,
                0.75 * std::log(33.0) + 0.25 * std::log(1.0 + 12.0 * std::exp(m / 0.2)), 1e-9);
    const auto same = normal_tensor({1, 3, 16, 16}, 5, at::kFloat).repeat({2 * kBatch, 1, 1, 1});
    double loss = 0.0;
    for (std::int64_t i = 0; i < 5; ++i) {
      auto batch = batch_of(kBatch * (i % 4), i / 4);
      batch.groups.front() = same.contiguous(at::MemoryFormat::ChannelsLast);
      loss = step(*method, batch, i).loss.item<double>();
    }
    EXPECT_NEAR(loss, constants[0].value, 1e-4);
  }
}

TEST(InterClr, KnowsNoConstantOfAnArc) {
  EXPECT_TRUE(make_inter({{"inter_clr.margin_kind", "arc"}})->known_constants(kBatch).empty());
}

TEST(InterClr, TakesAnImageThatComesTwice) {
  const auto method = make_inter();
  fill_bank(*method);
  auto batch = batch_of(0, 1);
  batch.indices.assign(batch.indices.size(), 3);
  EXPECT_TRUE(step(*method, batch, 4).loss.isfinite().item<bool>());
  EXPECT_EQ(label_counts(*method).sum().item<std::int64_t>(), kImages);
}

// What the settings become for a data set of this size.
struct Scaled {
  std::int64_t clusters = 0;
  std::int64_t negatives = 0;
};

Scaled scaled(std::int64_t samples) {
  // With these the constant is the logarithm of 1 + R.
  const auto method = make_method("moco_v2+inter_clr",
                                  {{"queue_size", "8"},
                                   {"output_dim", "2"},
                                   {"inter_clr.margin", "0.0"},
                                   {"inter_clr.intra_weight", "0.0"},
                                   {"inter_clr.inter_weight", "1.0"}},
                                  samples);
  return {.clusters = buffer(*method, "inter_clr.bank.centroids").size(0),
          .negatives = std::llround(std::expm1(method->known_constants(kBatch)[0].value))};
}

TEST(InterClr, ScalesItsSizesWithTheNumberOfImages) {
  EXPECT_EQ(scaled(12800).clusters, 100);
  EXPECT_EQ(scaled(12800).negatives, 164);  // 12.8 % of a tenth
  EXPECT_EQ(scaled(40).clusters, 2);
  EXPECT_EQ(scaled(40).negatives, 64);
  const auto imagenet = scaled(1281167);
  EXPECT_NEAR(static_cast<double>(imagenet.clusters), 10000.0, 20.0);
  EXPECT_NEAR(static_cast<double>(imagenet.negatives), 16384.0, 20.0);
}

TEST(InterClr, RefusesSettingsAndImagesThatDoNotFit) {
  const auto with = [](const Settings& settings, std::int64_t samples) {
    return make_method("moco_v2+inter_clr", joined(kMoco, settings), samples);
  };
  EXPECT_THROW((void)with({}, 0), UsageError);
  EXPECT_THROW((void)with({{"inter_clr.clusters", "33"}}, kImages), UsageError);
  EXPECT_THROW((void)with({{"inter_clr.clusters", "1"}}, kImages), UsageError);
  EXPECT_THROW((void)with({{"inter_clr.pool", "8"}, {"inter_clr.negatives", "9"}}, kImages),
               UsageError);
  EXPECT_NO_THROW((void)with(
      {{"inter_clr.pool", "8"}, {"inter_clr.negatives", "9"}, {"inter_clr.sampling", "random"}},
      kImages));
  const auto small = with({}, 8);
  EXPECT_THROW((void)step(*small, batch_of(8, 0), 0), ContractViolation);
}

TEST(InterClr, DoesNotGoWithMethodsWithoutTargets) {
  EXPECT_THROW((void)find_method("sparse_manifold+inter_clr"), UsageError);
}

// What must not depend on the number of processes.
struct Outcome {
  std::vector<double> losses;
  std::vector<at::Tensor> gradients;  // of the last step
  at::Tensor labels;
  at::Tensor rows;
};

Outcome take_steps(const Communicator& processes) {
  const auto method = make_inter();
  for (auto& parameter : method->module().parameters()) {
    parameter.set_data(parameter.detach().to(at::kDouble));
  }
  for (auto& item : method->module().buffers()) {
    if (item.is_floating_point()) {
      item.set_data(item.to(at::kDouble));
    }
  }
  GradientSum gradients(method->module().parameters(), processes);
  share_batch_norm(method->module(), processes);
  Outcome outcome;
  for (std::int64_t i = 0; i < 6; ++i) {
    torch::manual_seed(static_cast<std::uint64_t>(i));
    const StepContext context{.step = i, .total_steps = 10, .communicator = processes};
    method->module().zero_grad();
    // Images 24 to 27 come in the last step only: these queries have no label.
    const std::int64_t epoch = i / 3;
    const auto output = method->training_step(
        batch_of(kBatch * (i % 3) + 4 * epoch, epoch, at::kDouble, processes), context);
    output.loss.backward();
    gradients.finish();
    auto loss = output.loss.detach().to(at::kDouble).view({1}).clone();
    processes.all_reduce_sum(loss);
    outcome.losses.push_back(loss.item<double>() / processes.size());
    method->after_optimizer_step(context);
  }
  for (const auto& parameter : method->module().parameters()) {
    if (parameter.requires_grad()) {
      outcome.gradients.push_back(parameter.grad().clone());
    }
  }
  outcome.labels = buffer(*method, "inter_clr.bank.labels").clone();
  outcome.rows = buffer(*method, "inter_clr.bank.rows").clone();
  return outcome;
}

void compare_with_one_process(const Communicator& processes) {
  const auto outcome = take_steps(processes);
  const auto labels = outcome.labels.clone();
  processes.broadcast(labels);
  EXPECT_TRUE(labels.equal(outcome.labels));  // all have those of rank 0
  if (processes.rank() != 0) {
    return;
  }
  const auto expected = take_steps({});
  EXPECT_TRUE(outcome.labels.equal(expected.labels));
  EXPECT_TRUE(outcome.rows.allclose(expected.rows, 0.0, 1e-5));
  for (std::size_t i = 0; i < expected.losses.size(); ++i) {
    EXPECT_NEAR(outcome.losses[i], expected.losses[i], 1e-5) << i;
  }
  ASSERT_EQ(outcome.gradients.size(), expected.gradients.size());
  for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
    const double largest = expected.gradients[i].abs().max().item<double>();
    EXPECT_TRUE(
        outcome.gradients[i].allclose(expected.gradients[i], 0.0, 1e-5 * std::max(1.0, largest)))
        << i;
  }
}

TEST(InterClr, TakesTheSameStepsInTwoProcessesAsInOne) {
  testing::in_joined_processes(2, compare_with_one_process);
}

TEST(InterClr, TakesTheSameStepsInFourProcessesAsInOne) {
  testing::in_joined_processes(4, compare_with_one_process);
}

}  // namespace
}  // namespace viewfold
