// Tests of what is particular to SimCLR, MoCo v2, SimSiam and BYOL.
#include <cmath>

#include "core/test_folder.hpp"
#include "loader/memory_dataset.hpp"
#include "tensor/normal_tensor.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/losses/nt_xent.hpp"
#include "viewfold/train/trainer.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kBatch = 16;
const StepContext kFirst{.step = 0, .total_steps = 10};

std::unique_ptr<Method> make_method(const std::string& name, const std::string& settings) {
  const auto& entry = find_method(name);
  const auto config = entry.config(ImageScale::kSmall);
  ConfigSource source;
  source.add_toml_text(settings, "test");
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

ViewBatch random_batch(std::uint64_t seed) {
  return batch_of(normal_tensor({kBatch, 3, 16, 16}, seed, at::kFloat),
                  normal_tensor({kBatch, 3, 16, 16}, seed + 100, at::kFloat));
}

at::Tensor buffer(Method& method, const std::string& name) {
  return method.module().named_buffers()[name];
}

// With views of one and the same image the anchors of both halves are the embedding.
TEST(SimClr, LosesAsNtXentOfItsProjections) {
  const auto method = make_method("simclr", "temperature = 0.3");
  const auto view = normal_tensor({kBatch, 3, 16, 16}, 1, at::kFloat);
  const auto output = method->training_step(batch_of(view, view), kFirst);
  EXPECT_EQ(output.embedding.sizes(), (std::vector<std::int64_t>{kBatch, 128}));
  EXPECT_NEAR(output.loss.item<double>(),
              nt_xent(output.embedding, output.embedding, 0.3).item<double>(), 1e-5);
}

TEST(SimClr, StandsAtItsConstantWhenAllImagesLookAlike) {
  const auto method = make_method("simclr", "");
  const auto constants = method->known_constants(kBatch);
  ASSERT_EQ(constants.size(), 1U);
  EXPECT_NEAR(constants[0].value, std::log(2.0 * kBatch - 1.0), 1e-12);
  const auto same = normal_tensor({1, 3, 16, 16}, 2, at::kFloat).repeat({kBatch, 1, 1, 1});
  EXPECT_NEAR(method->training_step(batch_of(same, same), kFirst).loss.item<double>(),
              constants[0].value, 1e-4);
}

TEST(Byol, StartsWithTargetsOfTheSameNetworkThatNoGradientReaches) {
  const auto method = make_method("byol", "");
  method->training_step(random_batch(3), kFirst).loss.backward();
  const auto parameters = method->module().named_parameters();
  for (const auto& item : parameters) {
    if (item.key().starts_with("encoder.") || item.key().starts_with("projector.")) {
      const auto& target = parameters["target_" + item.key()];
      EXPECT_TRUE(target.equal(item.value())) << item.key();
      EXPECT_FALSE(target.requires_grad() || target.grad().defined()) << item.key();
    }
  }
}

TEST(Byol, MovesItsTargetAfterTheStepBySchedule) {
  // tau of 0.9 at the start, half-way 0.95, and 1 at the end (closed form of the cosine).
  const std::vector<std::pair<std::int64_t, double>> schedule{{0, 0.9}, {5, 0.95}};
  for (const auto& [step, tau] : schedule) {
    const auto method = make_method("byol", "momentum = 0.9");
    const auto parameters = method->module().named_parameters();
    const auto& online = parameters["encoder.conv1.weight"];
    const auto& target = parameters["target_encoder.conv1.weight"];
    const auto before = target.detach().clone();
    {
      const torch::NoGradGuard no_grad;
      online.add_(1.0);
    }
    const StepContext context{.step = step, .total_steps = 10};
    (void)method->training_step(random_batch(3), context);
    EXPECT_TRUE(target.equal(before));
    method->after_optimizer_step(context);
    EXPECT_TRUE(target.allclose(before + (1.0 - tau), 0.0, 1e-6)) << step;
  }
}

TEST(Byol, LosesNothingWhereBothNetworksAgree) {
  // Without predictor and with one view twice, both networks agree as long as they are equal.
  const auto method = make_method("byol", "predictor = false");
  const auto view = normal_tensor({kBatch, 3, 16, 16}, 5, at::kFloat);
  EXPECT_NEAR(method->training_step(batch_of(view, view), kFirst).loss.item<double>(), 0.0, 1e-5);
  // Between 0 and 8 with one, and not at a corner before training (the paper's Eq. 2).
  const auto other = make_method("byol", "");
  const double loss = other->training_step(random_batch(4), kFirst).loss.item<double>();
  EXPECT_GT(loss, 0.5);
  EXPECT_LT(loss, 8.0);
}

TEST(MocoV2, StartsWithKeysEncodedByTheSameNetwork) {
  const auto method = make_method("moco_v2", "");
  const auto parameters = method->module().named_parameters();
  for (const auto& item : parameters) {
    if (item.key().starts_with("encoder.") || item.key().starts_with("head.")) {
      const auto& key = parameters["key_" + item.key()];
      EXPECT_TRUE(key.equal(item.value())) << item.key();
      EXPECT_FALSE(key.requires_grad()) << item.key();
    }
  }
}

TEST(MocoV2, MovesKeysBeforeTheyAreEncodedAndEnqueuesAfterTheLoss) {
  const auto method = make_method("moco_v2", "queue_size = 64\nsymmetric = false\nmomentum = 0.5");
  const auto parameters = method->module().named_parameters();
  const auto& query = parameters["encoder.conv1.weight"];
  const auto& key = parameters["key_encoder.conv1.weight"];
  const auto before = key.detach().clone();
  {
    const torch::NoGradGuard no_grad;
    query.add_(1.0);
  }
  const auto queue = buffer(*method, "queue.rows").clone();
  (void)method->training_step(random_batch(3), kFirst);
  EXPECT_TRUE(key.allclose(before + 0.5, 0.0, 1e-6));       // moved in the step
  EXPECT_TRUE(buffer(*method, "queue.rows").equal(queue));  // not yet
  method->after_optimizer_step(kFirst);
  const auto rows = buffer(*method, "queue.rows");
  EXPECT_EQ(buffer(*method, "queue.pointer").item<std::int64_t>(), kBatch);
  EXPECT_TRUE(rows.narrow(0, kBatch, 64 - kBatch).equal(queue.narrow(0, kBatch, 64 - kBatch)));
  EXPECT_FALSE(rows.narrow(0, 0, kBatch).equal(queue.narrow(0, 0, kBatch)));
}

TEST(MocoV2, EnqueuesTheKeysOfBothViewsWhenSymmetric) {
  const auto method = make_method("moco_v2", "queue_size = 64\nsymmetric = true");
  (void)method->training_step(random_batch(4), kFirst);
  method->after_optimizer_step(kFirst);
  EXPECT_EQ(buffer(*method, "queue.pointer").item<std::int64_t>(), 2 * kBatch);
}

// With the shuffle undone wrongly, a key would belong to another query.
TEST(MocoV2, GivesEveryQueryItsOwnKey) {
  const auto method = make_method("moco_v2",
                                  "queue_size = 64\nsymmetric = false\nmomentum = 1.0\n"
                                  "norm_splits = 8\ntemperature = 1.0");
  method->module().eval();  // statistics of the module, not of the shuffled parts
  const auto view = normal_tensor({kBatch, 3, 16, 16}, 5, at::kFloat);
  const auto output = method->training_step(batch_of(view, view), kFirst);
  method->after_optimizer_step(kFirst);
  const auto keys = buffer(*method, "queue.rows").narrow(0, 0, kBatch);
  const auto queries = output.embedding / output.embedding.norm(2, {1}, true);
  EXPECT_TRUE(keys.allclose(queries, 0.0, 1e-4));
}

TEST(MocoV2, HasItsConstant) {
  const auto one = make_method("moco_v2", "queue_size = 4096\nsymmetric = false");
  EXPECT_NEAR(one->known_constants(kBatch)[0].value, 8.3180, 5e-5);
  const auto both = make_method("moco_v2", "queue_size = 4096\nsymmetric = true");
  EXPECT_NEAR(both->known_constants(kBatch)[0].value, 2.0 * 8.3180, 1e-4);
}

TEST(MocoV2, TakesBatchesThatItsPartsDoNotDivide) {
  const auto method = make_method("moco_v2", "queue_size = 60\nsymmetric = false");
  for (const std::int64_t n : {2, 3, 10, 15}) {
    const auto view = normal_tensor({n, 3, 16, 16}, 6, at::kFloat);
    const auto output = method->training_step(batch_of(view, view.flip(0)), kFirst);
    EXPECT_TRUE(output.loss.isfinite().item<bool>()) << n;
  }
}

TEST(MocoV2, RefusesAQueueThatDoesNotHoldWholeBatchesBeforeItComputesAnything) {
  const auto method = make_method("moco_v2", "queue_size = 40\nsymmetric = false");
  const auto before = method->module().named_buffers()["encoder.bn1.running_mean"].clone();
  EXPECT_THROW((void)method->training_step(random_batch(7), kFirst), UsageError);
  EXPECT_TRUE(method->module().named_buffers()["encoder.bn1.running_mean"].equal(before));
}

TEST(SimSiam, KeepsTheRateOfThePredictorOnly) {
  const auto method = make_method("simsiam", "output_dim = 32\npredictor_dim = 8");
  int fixed = 0;
  for (const auto& item : method->module().named_parameters()) {
    EXPECT_EQ(method->has_fixed_lr(item.key()), item.key().starts_with("predictor.")) << item.key();
    fixed += method->has_fixed_lr(item.key()) ? 1 : 0;
  }
  EXPECT_EQ(fixed, 5);
  const auto moving =
      make_method("simsiam", "output_dim = 32\npredictor_dim = 8\nfix_predictor_lr = false");
  EXPECT_FALSE(moving->has_fixed_lr("predictor.layers.0.weight"));
}

// Trains on pictures of one colour each; returns the alarms. The rate is high so that a collapse is
// over in forty steps; half and three quarters of it show the same.
std::vector<std::string> alarms_of(const std::string& name, const std::string& settings) {
  const auto method = make_method(name, settings);
  const TestFolder folder(name);
  TrainConfig config;
  find_method(name).train_defaults(ImageScale::kSmall, config);
  config.epochs = 40;
  config.batch_size = 32;
  config.base_lr = 4.0;
  config.precision = "fp32";
  config.checkpoint_minutes = 10000;
  config.log_every = 2;
  constexpr std::int64_t kPerEpoch = 2;
  MetricsWriter metrics(folder.path() / "metrics.jsonl");
  TensorboardWriter tensorboard(folder.path() / "tensorboard");
  std::FILE* silent = std::fopen("/dev/null", "w");
  Progress progress(silent, false);
  MemoryLog log;
  const auto open_loader = [&config](std::int64_t first_step) {
    return std::make_unique<Loader>(
        std::make_shared<MemoryDataset>(64, 10), make_view_plan(RecipeConfig("simsiam", 8), 2, 8),
        Normalization{.mean = {0.5, 0.5, 0.5}, .std = {0.25, 0.25, 0.25}},
        LoaderOptions{.batch_size = config.batch_size,
                      .first_step = first_step,
                      .total_steps = config.epochs * kPerEpoch,
                      .seed = 1});
  };
  (void)train({.task = *method,
               .config = config,
               .seed = 1,
               .steps_per_epoch = kPerEpoch,
               .checkpoints = folder.path() / "checkpoints",
               .metrics = &metrics,
               .tensorboard = &tensorboard,
               .log = log,
               .progress = progress,
               .open_loader = open_loader,
               .after_epoch = {},
               .stop_requested = {}});
  std::fclose(silent);
  return log.warnings;
}

TEST(SimSiam, CollapsesWithoutStopGradientAndTheAlarmSaysSo) {
  const auto alarms =
      alarms_of("simsiam", "output_dim = 8\npredictor_dim = 4\nstop_gradient = false");
  ASSERT_FALSE(alarms.empty());
  EXPECT_NE(alarms[0].find("collapse since step"), std::string::npos);
}

TEST(SimSiam, DoesNotCollapseWithStopGradient) {
  const auto alarms = alarms_of("simsiam", "output_dim = 8\npredictor_dim = 4");
  EXPECT_TRUE(alarms.empty()) << alarms[0];
}

TEST(Byol, CollapsesWithoutPredictorAndMomentumAndTheAlarmSaysSo) {
  const auto alarms =
      alarms_of("byol", "output_dim = 8\nhidden_dim = 16\npredictor = false\nmomentum = 0.0");
  ASSERT_FALSE(alarms.empty());
  EXPECT_NE(alarms[0].find("collapse since step"), std::string::npos);
}

TEST(Byol, DoesNotCollapseWithThem) {
  const auto alarms = alarms_of("byol", "output_dim = 8\nhidden_dim = 16");
  EXPECT_TRUE(alarms.empty()) << alarms[0];
}

}  // namespace
}  // namespace viewfold
