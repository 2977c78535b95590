// Tests of what is particular to NNCLR: which past projection is the positive, and what the queue
// keeps.
#include <cmath>

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/losses/info_nce.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kBatch = 8;
constexpr std::int64_t kQueue = 32;
constexpr std::int64_t kDim = 6;
const StepContext kFirst{.step = 0, .total_steps = 10};

std::unique_ptr<Config> config_of(const std::string& settings,
                                  ImageScale scale = ImageScale::kSmall) {
  auto config = find_method("nnclr").config(scale);
  ConfigSource source;
  source.add_toml_text(
      "hidden_dim = 16\noutput_dim = 6\npredictor_dim = 12\nqueue_size = 32\n" + settings, "test");
  read_config(*config, source);
  return config;
}

std::unique_ptr<Method> make_method(const std::string& settings,
                                    ImageScale scale = ImageScale::kSmall) {
  torch::manual_seed(1);
  return find_method("nnclr").make(
      *config_of(settings, scale),
      {.encoder = {.name = "resnet18", .width = 4, .stem = "cifar"}, .seed = 1});
}

ViewBatch batch_of(const at::Tensor& views) {
  ViewBatch batch;
  batch.groups.push_back(views.contiguous(at::MemoryFormat::ChannelsLast));
  batch.indices.resize(static_cast<std::size_t>(views.size(0) / 2));
  return batch;
}

ViewBatch random_batch(std::uint64_t seed, std::int64_t n = kBatch) {
  return batch_of(normal_tensor({2 * n, 3, 16, 16}, seed, at::kFloat));
}

at::Tensor queue_rows(Method& method) {
  return method.module().named_buffers()["queue.rows"];
}

at::Tensor head(Method& method, const std::string& name, const at::Tensor& x) {
  return std::dynamic_pointer_cast<Mlp>(method.module().named_children()[name])->forward(x);
}

at::Tensor projections(Method& method, const at::Tensor& images) {
  return head(method, "projector", method.encoder().forward(images));
}

// The row of `queue` at the smallest distance to the direction of each row of z, by loops.
at::Tensor nearest_by_loops(const at::Tensor& z, const at::Tensor& queue) {
  std::vector<at::Tensor> nearest;
  for (const auto& row : unit_rows(z).unbind(0)) {
    std::int64_t best = 0;
    double smallest = 1e9;
    for (std::int64_t k = 0; k < queue.size(0); ++k) {
      const double distance = (queue[k] - row).norm().item<double>();
      if (distance < smallest) {
        smallest = distance;
        best = k;
      }
    }
    nearest.push_back(queue[best]);
  }
  return at::stack(nearest);
}

// Without training mode every view gives what it gives alone.
TEST(Nnclr, ContrastsTheNearestPastProjectionsOfOneViewWithPredictionsOfTheOther) {
  const auto method = make_method("temperature = 0.3");
  method->module().eval();
  const auto batch = random_batch(2);
  const auto z0 = projections(*method, batch.view(0));
  const auto z1 = projections(*method, batch.view(1));
  const auto queue = queue_rows(*method).clone();
  const auto nearest0 = nearest_by_loops(z0, queue);
  const auto nearest1 = nearest_by_loops(z1, queue);
  const double expected =
      0.5 * info_nce(nearest0, head(*method, "predictor", z1), 0.3).item<double>() +
      0.5 * info_nce(nearest1, head(*method, "predictor", z0), 0.3).item<double>();
  const auto step = method->step(batch, kFirst);
  EXPECT_NEAR(step.output.loss.item<double>(), expected, 1e-5);
  EXPECT_TRUE(step.targets[0].allclose(nearest0, 0.0, 1e-6));
  EXPECT_TRUE(step.targets[1].allclose(nearest1, 0.0, 1e-6));
  EXPECT_TRUE(step.output.embedding.allclose(z0, 0.0, 1e-5));
}

TEST(Nnclr, TakesARowOfTheQueueThatIsTheProjectionItself) {
  const auto method = make_method("");
  method->module().eval();
  const auto batch = random_batch(3);
  const auto own = unit_rows(projections(*method, batch.view(0))).detach();  // [N, D]
  queue_rows(*method)[20].copy_(own[3]);
  const auto step = method->step(batch, kFirst);
  EXPECT_TRUE(step.targets[0][3].allclose(own[3], 0.0, 1e-6));
}

TEST(Nnclr, IsTheSumOfItsPairLosses) {
  const auto method = make_method("");
  const auto step = method->step(random_batch(4), kFirst);
  const double sum = method->pair_loss(step.outputs[1], step.targets[0], kFirst).item<double>() +
                     method->pair_loss(step.outputs[0], step.targets[1], kFirst).item<double>();
  EXPECT_NEAR(step.output.loss.item<double>(), sum, 1e-6);
  EXPECT_TRUE(find_method("nnclr").has_targets);
}

TEST(Nnclr, MakesOfFurtherImagesWhatItMakesOfViews) {
  const auto method = make_method("");
  const auto batch = random_batch(5);
  const auto step = method->step(batch, kFirst);
  const auto outputs = method->outputs(batch.view(1));
  EXPECT_TRUE(outputs.allclose(step.outputs[1], 0.0, 1e-5));
  EXPECT_EQ(outputs.size(1), method->output_dim());
}

TEST(Nnclr, SendsGradientsThroughPredictionsOnly) {
  const auto method = make_method("");
  const auto step = method->step(random_batch(6), kFirst);
  EXPECT_TRUE(step.outputs[0].requires_grad());
  EXPECT_FALSE(step.targets[0].requires_grad());
  EXPECT_FALSE(queue_rows(*method).requires_grad());
}

TEST(Nnclr, EnqueuesTheProjectionsOfTheFirstViewAfterTheStep) {
  const auto method = make_method("");
  const auto before = queue_rows(*method).clone();
  const auto step = method->step(random_batch(7), kFirst);
  EXPECT_TRUE(queue_rows(*method).equal(before));
  method->after_optimizer_step(kFirst);
  const auto rows = queue_rows(*method);
  EXPECT_TRUE(rows.narrow(0, 0, kBatch).allclose(unit_rows(step.output.embedding), 0.0, 1e-6));
  EXPECT_TRUE(
      rows.narrow(0, kBatch, kQueue - kBatch).equal(before.narrow(0, kBatch, kQueue - kBatch)));
  // The next step finds them.
  method->module().eval();
  (void)method->step(random_batch(7), kFirst);
  method->after_optimizer_step(kFirst);
  const auto again = method->step(random_batch(7), kFirst);
  EXPECT_TRUE(again.targets[0].allclose(unit_rows(again.output.embedding), 0.0, 1e-5));
}

TEST(Nnclr, StartsWithRandomUnitRows) {
  const auto method = make_method("");
  const auto rows = queue_rows(*method);
  EXPECT_EQ(rows.sizes(), (std::vector<std::int64_t>{kQueue, kDim}));
  EXPECT_TRUE(rows.norm(2, {1}).allclose(at::ones({kQueue}), 0.0, 1e-6));
  EXPECT_GT(rows.std(0).min().item<double>(), 0.1);
}

// Not in training mode: batch norm would divide the noise of equal images by nothing.
TEST(Nnclr, StandsAtItsConstantWhenAllImagesLookAlike) {
  const auto method = make_method("");
  method->module().eval();
  const auto constants = method->known_constants(kBatch);
  ASSERT_EQ(constants.size(), 1U);
  EXPECT_NEAR(constants[0].value, std::log(8.0), 1e-12);
  const auto image = normal_tensor({1, 3, 16, 16}, 8, at::kFloat);
  const auto step = method->step(batch_of(image.repeat({2 * kBatch, 1, 1, 1})), kFirst);
  EXPECT_NEAR(step.output.loss.item<double>(), constants[0].value, 1e-5);
}

TEST(Nnclr, NormalisesEveryLayerOfTheProjectorAndTheHiddenOneOfThePredictor) {
  const std::vector<std::pair<ImageScale, int>> scales{{ImageScale::kSmall, 2},
                                                       {ImageScale::kLarge, 3}};
  for (const auto& [scale, layers] : scales) {
    const auto method = make_method("", scale);
    int in_projector = 0;
    int in_predictor = 0;
    for (const auto& item : method->module().named_buffers()) {
      if (item.key().ends_with("running_mean")) {
        in_projector += item.key().starts_with("projector.") ? 1 : 0;
        in_predictor += item.key().starts_with("predictor.") ? 1 : 0;
      }
    }
    EXPECT_EQ(in_projector, layers);
    EXPECT_EQ(in_predictor, 1);
  }
}

TEST(Nnclr, RefusesAQueueThatDoesNotHoldWholeBatchesBeforeItComputesAnything) {
  const auto entry = find_method("nnclr");
  EXPECT_THROW(entry.check_batch(*config_of(""), 12), UsageError);
  EXPECT_NO_THROW(entry.check_batch(*config_of(""), 16));
  const auto method = make_method("");
  const auto before = method->module().named_buffers()["encoder.bn1.running_mean"].clone();
  EXPECT_THROW((void)method->step(random_batch(9, 12), kFirst), UsageError);
  EXPECT_TRUE(method->module().named_buffers()["encoder.bn1.running_mean"].equal(before));
}

}  // namespace
}  // namespace viewfold
