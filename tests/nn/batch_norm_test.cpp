// Tests of batch normalisation whose batch lies in several processes: beside one that has all of
// it.
#include "viewfold/nn/batch_norm.hpp"

#include "tensor/normal_tensor.hpp"
#include "tensor/processes.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/nn/heads.hpp"

namespace viewfold {
namespace {

using testing::in_joined_processes;

struct Case {
  std::vector<std::int64_t> sizes;  // of the batch of one process
  at::ScalarType type = at::kFloat;
  bool affine = true;
  bool channels_last = false;
};

// What is compared: output, gradients of input, weight and bias, running statistics.
struct Outcome {
  std::vector<at::Tensor> of_samples;  // [N, ...]
  std::vector<at::Tensor> of_layer;
};

template <class Layer>
Outcome run(Layer layer, const at::Tensor& x, const at::Tensor& slope) {
  const auto input = x.detach().clone().requires_grad_(true);
  const auto y = layer->forward(input);
  (y.to(at::kFloat) * slope).sum().backward();
  Outcome outcome{{y.detach(), input.grad()}, {layer->running_mean, layer->running_var}};
  if (layer->weight.defined()) {
    outcome.of_layer.push_back(layer->weight.grad());
    outcome.of_layer.push_back(layer->bias.grad());
  }
  return outcome;
}

template <class Layer, class Options>
void compare(const Communicator& processes, const Case& c) {
  auto sizes = c.sizes;
  sizes[0] *= processes.size();
  const auto channels = sizes[1];
  const auto offset = at::arange(channels, at::kFloat).view({1, channels});
  auto x = normal_tensor(sizes, 3, at::kFloat) * 2 +
           (sizes.size() == 4 ? offset.view({1, channels, 1, 1}) : offset);
  x = x.to(c.type);
  if (c.channels_last) {
    x = x.contiguous(at::MemoryFormat::ChannelsLast);
  }
  const auto slope = normal_tensor(sizes, 5, at::kFloat);
  const auto make = [&] {
    Layer layer{Options(channels).affine(c.affine)};
    if (c.affine) {
      const torch::NoGradGuard no_grad;
      layer->weight.copy_(normal_tensor({channels}, 6, at::kFloat));
      layer->bias.copy_(normal_tensor({channels}, 7, at::kFloat));
    }
    return layer;
  };
  const auto whole = run(make(), x, slope);
  auto shared = make();
  shared->share_batch(processes);
  const auto n = c.sizes[0];
  const auto own = [&](const at::Tensor& t) { return t.narrow(0, processes.rank() * n, n); };
  const auto part = run(shared, own(x), own(slope));
  const double tolerance = c.type == at::kFloat ? 2e-5 : 3e-2;
  for (std::size_t i = 0; i < part.of_samples.size(); ++i) {
    EXPECT_EQ(part.of_samples[i].scalar_type(), c.type);
    EXPECT_TRUE(part.of_samples[i].allclose(own(whole.of_samples[i]), tolerance, tolerance))
        << "of samples " << i << " "
        << (part.of_samples[i] - own(whole.of_samples[i])).abs().max().template item<double>();
  }
  for (std::size_t i = 0; i < part.of_layer.size(); ++i) {
    auto value = part.of_layer[i].clone();
    if (i >= 2) {  // gradients of parameters are parts of a sum
      processes.all_reduce_sum(value);
    }
    EXPECT_TRUE(value.allclose(whole.of_layer[i], tolerance, 10 * tolerance)) << "of layer " << i;
  }
  EXPECT_EQ(shared->num_batches_tracked.template item<int>(), 1);
}

TEST(BatchNorm, OverSeveralProcessesEqualsOneWithTheWholeBatch) {
  in_joined_processes(2, [](const Communicator& processes) {
    using Options = torch::nn::BatchNormOptions;
    for (const bool affine : {true, false}) {
      compare<BatchNorm1d, Options>(processes, {.sizes = {6, 5}, .affine = affine});
      compare<BatchNorm2d, Options>(processes, {.sizes = {3, 4, 5, 5}, .affine = affine});
    }
    compare<BatchNorm1d, Options>(processes, {.sizes = {1, 5}});
    compare<BatchNorm2d, Options>(processes, {.sizes = {3, 16, 4, 4}, .channels_last = true});
    compare<BatchNorm2d, Options>(
        processes, {.sizes = {8, 16, 4, 4}, .type = at::kBFloat16, .channels_last = true});
    compare<BatchNorm1d, Options>(processes, {.sizes = {32, 16}, .type = at::kBFloat16});
  });
}

TEST(BatchNorm, TakesRunningStatisticsInEvaluation) {
  in_joined_processes(2, [](const Communicator& processes) {
    BatchNorm2d layer(4);
    layer->share_batch(processes);
    layer->eval();
    const auto x =
        normal_tensor({2, 4, 3, 3}, static_cast<std::uint64_t>(processes.rank()), at::kFloat);
    EXPECT_TRUE(layer->forward(x).allclose(x, 1e-4, 1e-4));
  });
}

TEST(BatchNorm, OfOneProcessIsThatOfLibTorch) {
  BatchNorm2d ours(4);
  torch::nn::BatchNorm2d theirs(4);
  const auto x = normal_tensor({2, 4, 3, 3}, 1, at::kFloat);
  EXPECT_TRUE(ours->forward(x).equal(theirs->forward(x)));
  EXPECT_TRUE(ours->running_var.equal(theirs->running_var));
}

TEST(BatchNorm, IsFoundInsideOfAHead) {
  in_joined_processes(2, [](const Communicator& processes) {
    Mlp head({.in = 3, .widths = {4, 2}, .output_norm = OutputNorm::kNoAffine});
    share_batch_norm(head, processes);
    int found = 0;
    for (const auto& module : head.modules(/*include_self=*/false)) {
      if (const auto* layer = dynamic_cast<SharesBatch*>(module.get())) {
        EXPECT_EQ(layer->communicator().size(), 2);
        ++found;
      }
    }
    EXPECT_EQ(found, 2);
  });
}

}  // namespace
}  // namespace viewfold
