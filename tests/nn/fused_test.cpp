// Tests of fused residual blocks against the same blocks of LibTorch's modules.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/encoder.hpp"
#include "viewfold/nn/fused/block.hpp"

namespace viewfold {
namespace {

using fused::BlockLayers;
using fused::ConvNorm;
using fused::Shortcut;

// The names of the layers of a case: kernel, stride, and what they lead to.
struct Layer {
  std::int64_t in, out, kernel, stride;
};

struct Case {
  std::string name;
  std::vector<Layer> chain;
  Shortcut shortcut = Shortcut::kNone;
  std::int64_t side = 8;
};

std::vector<Case> cases() {
  return {{"stem", {{3, 16, 3, 1}}},
          {"imagenet_stem", {{3, 32, 7, 2}}, Shortcut::kNone, 19},
          {"basic", {{16, 16, 3, 1}, {16, 16, 3, 1}}, Shortcut::kInput},
          {"basic_projection", {{16, 32, 3, 2}, {32, 32, 3, 1}}, Shortcut::kProjection},
          {"odd_side", {{32, 48, 3, 2}, {48, 48, 3, 1}}, Shortcut::kProjection, 7},
          {"bottleneck", {{64, 16, 1, 1}, {16, 16, 3, 1}, {16, 64, 1, 1}}, Shortcut::kInput, 5},
          {"bottleneck_projection",
           {{32, 16, 1, 1}, {16, 16, 3, 2}, {16, 64, 1, 1}},
           Shortcut::kProjection},
          {"wide", {{80, 80, 3, 1}, {80, 80, 3, 1}}, Shortcut::kInput, 4}};
}

ConvNorm make_layer(const Layer& layer) {
  ConvNorm made{torch::nn::Conv2d(torch::nn::Conv2dOptions(layer.in, layer.out, layer.kernel)
                                      .stride(layer.stride)
                                      .padding(layer.kernel / 2)
                                      .bias(false)),
                BatchNorm2d(layer.out)};
  const torch::NoGradGuard no_grad;
  made.conv->weight.set_data(made.conv->weight.contiguous(at::MemoryFormat::ChannelsLast));
  made.norm->weight.uniform_(0.5, 1.5);
  made.norm->bias.uniform_(-0.5, 0.5);
  return made;
}

BlockLayers make_layers(const Case& c) {
  BlockLayers layers{.chain = {}, .shortcut = c.shortcut};
  std::int64_t stride = 1;
  for (const auto& layer : c.chain) {
    layers.chain.push_back(make_layer(layer));
    stride *= layer.stride;
  }
  if (c.shortcut == Shortcut::kProjection) {
    layers.projection = make_layer({c.chain.front().in, c.chain.back().out, 1, stride});
  }
  return layers;
}

std::vector<ConvNorm> all_of(const BlockLayers& layers) {
  auto all = layers.chain;
  if (layers.shortcut == Shortcut::kProjection) {
    all.push_back(layers.projection);
  }
  return all;
}

ConvNorm copy_of_layer(const ConvNorm& layer) {
  ConvNorm copied{
      torch::nn::Conv2d(std::dynamic_pointer_cast<torch::nn::Conv2dImpl>(layer.conv->clone())),
      BatchNorm2d(layer.norm->options)};
  const torch::NoGradGuard no_grad;
  for (const auto& item : layer.norm->named_parameters()) {
    copied.norm->named_parameters()[item.key()].copy_(item.value());
  }
  for (const auto& item : layer.norm->named_buffers()) {
    copied.norm->named_buffers()[item.key()].copy_(item.value());
  }
  return copied;
}

BlockLayers copy_of(const BlockLayers& layers) {
  BlockLayers copied{.chain = {}, .shortcut = layers.shortcut};
  std::transform(layers.chain.begin(), layers.chain.end(), std::back_inserter(copied.chain),
                 copy_of_layer);
  if (layers.shortcut == Shortcut::kProjection) {
    copied.projection = copy_of_layer(layers.projection);
  }
  return copied;
}

// The plain form: one part after the other through the modules.
at::Tensor plain_forward(const at::Tensor& x, const BlockLayers& layers, std::int64_t parts) {
  std::vector<at::Tensor> outputs;
  for (const auto& part : x.chunk(parts)) {
    auto y = part;
    for (std::size_t k = 0; k < layers.chain.size(); ++k) {
      auto layer = layers.chain[k];
      y = layer.norm(layer.conv(y));
      if (k + 1 < layers.chain.size()) {
        y = y.relu();
      }
    }
    if (layers.shortcut == Shortcut::kInput) {
      y = y + part;
    } else if (layers.shortcut == Shortcut::kProjection) {
      auto projection = layers.projection;
      y = y + projection.norm(projection.conv(part));
    }
    outputs.push_back(y.relu());
  }
  return at::cat(outputs);
}

struct AutocastOn {
  AutocastOn() { at::autocast::set_cpu_enabled(true); }
  ~AutocastOn() {
    at::autocast::clear_cache();
    at::autocast::set_cpu_enabled(false);
  }
  AutocastOn(const AutocastOn&) = delete;
  AutocastOn& operator=(const AutocastOn&) = delete;
  AutocastOn(AutocastOn&&) = delete;
  AutocastOn& operator=(AutocastOn&&) = delete;
};

using Results = std::map<std::string, at::Tensor>;

// Output, gradients and running statistics of a step with the loss sum(y * weight).
template <class Forward>
Results step(const at::Tensor& x, const BlockLayers& layers, const Forward& forward) {
  const auto input = x.clone().requires_grad_();
  const auto y = forward(input);
  torch::manual_seed(7);
  y.to(at::kFloat).mul(at::randn(y.sizes())).sum().backward();
  Results results{{"y", y.detach()}, {"x", input.grad()}};
  int i = 0;
  for (const auto& layer : all_of(layers)) {
    const auto name = std::to_string(i++);
    results["weight" + name] = layer.conv->weight.grad();
    results["gamma" + name] = layer.norm->weight.grad();
    results["beta" + name] = layer.norm->bias.grad();
    results["mean" + name] = layer.norm->running_mean.clone();
    results["var" + name] = layer.norm->running_var.clone();
    results["count" + name] = layer.norm->num_batches_tracked.clone();
  }
  return results;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const auto difference = a.to(at::kDouble).sub(b.to(at::kDouble));
  return difference.norm().item<double>() / std::max(b.to(at::kDouble).norm().item<double>(), 1e-9);
}

void expect_close(const Results& results, const Results& expected, double limit) {
  ASSERT_EQ(results.size(), expected.size());
  for (const auto& [name, tensor] : results) {
    ASSERT_EQ(tensor.sizes(), expected.at(name).sizes()) << name;
    EXPECT_LT(relative_difference(tensor, expected.at(name)), limit) << name;
  }
}

class FusedBlock : public testing::TestWithParam<Case> {};

TEST_P(FusedBlock, EqualsThePlainModulesInFloat) {
  for (const auto& [images, parts] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {12, 1}, {12, 2}, {13, 1}, {26, 2}, {1, 1}}) {
    SCOPED_TRACE(std::to_string(images) + " images in " + std::to_string(parts));
    torch::manual_seed(3);
    const auto layers = make_layers(GetParam());
    const auto plain = copy_of(layers);
    const auto x =
        at::randn({images, GetParam().chain.front().in, GetParam().side, GetParam().side}).add(0.5);
    const auto n = parts;
    const auto results = step(
        x, layers, [&](const at::Tensor& input) { return fused::block_forward(input, layers, n); });
    const auto expected =
        step(x, plain, [&](const at::Tensor& input) { return plain_forward(input, plain, n); });
    expect_close(results, expected, 1e-5);
  }
}

// The step of fp32 modules, of bf16 modules and of the fused block in bf16. `shift` of every batch
// norm: a large one opens every ReLU.
struct Bf16Runs {
  Results exact, plain, fused_block;
};

Bf16Runs run_in_bfloat16(const Case& c, float shift) {
  torch::manual_seed(4);
  const auto layers = make_layers(c);
  for (auto layer : all_of(layers)) {
    const torch::NoGradGuard no_grad;
    layer.norm->bias.add_(shift);
  }
  const auto plain = copy_of(layers);
  const auto exact = copy_of(layers);
  const auto x = at::randn({32, c.chain.front().in, c.side, c.side});
  return {.exact = step(x, exact,
                        [&](const at::Tensor& input) { return plain_forward(input, exact, 2); }),
          .plain = step(x, plain,
                        [&](const at::Tensor& input) {
                          const AutocastOn autocast;
                          return plain_forward(input, plain, 2);
                        }),
          .fused_block = step(x, layers, [&](const at::Tensor& input) {
            return fused::block_forward(input.to(at::kBFloat16), layers, 2);
          })};
}

// A ReLU near zero that rounding switches changes a gradient by much, and gradients that cancel are
// rounding only: there, the modules themselves are as far from fp32.
TEST_P(FusedBlock, IsAsExactInBfloat16AsThePlainModules) {
  for (const float shift : {0.0F, 6.0F}) {
    SCOPED_TRACE(shift);
    const auto runs = run_in_bfloat16(GetParam(), shift);
    EXPECT_LT(relative_difference(runs.fused_block.at("y"), runs.exact.at("y")), 1e-2);
    for (const auto& [name, tensor] : runs.fused_block) {
      const double plain = relative_difference(runs.plain.at(name), runs.exact.at(name));
      EXPECT_LT(relative_difference(tensor, runs.exact.at(name)), std::max(1e-2, 1.5 * plain))
          << name;
    }
  }
}

TEST_P(FusedBlock, EvaluationUsesTheRunningStatistics) {
  torch::manual_seed(5);
  const auto layers = make_layers(GetParam());
  for (auto layer : all_of(layers)) {
    layer.norm->running_mean.uniform_(-0.2, 0.2);
    layer.norm->running_var.uniform_(0.5, 2.0);
    layer.norm->eval();
  }
  const torch::NoGradGuard no_grad;
  const auto x = at::randn({6, GetParam().chain.front().in, GetParam().side, GetParam().side});
  EXPECT_LT(relative_difference(fused::block_forward(x, layers, 1), plain_forward(x, layers, 1)),
            1e-5);
  EXPECT_EQ(layers.chain.front().norm->num_batches_tracked.item<std::int64_t>(), 0);
}

// On 1 to 4 threads.
void expect_the_same_bits(const Case& c) {
  const int before = at::get_num_threads();
  std::vector<Results> runs;
  for (const int threads : {1, 2, 3, 4}) {
    at::set_num_threads(threads);
    torch::manual_seed(6);
    const auto layers = make_layers(c);
    const auto x = at::randn({40, c.chain.front().in, c.side, c.side});
    runs.push_back(step(x, layers, [&](const at::Tensor& input) {
      return fused::block_forward(input.to(at::kBFloat16), layers, 1);
    }));
  }
  at::set_num_threads(before);
  for (const auto& [name, tensor] : runs.front()) {
    for (std::size_t i = 1; i < runs.size(); ++i) {
      EXPECT_TRUE(tensor.equal(runs[i].at(name))) << name << " on " << i + 1;
    }
  }
}

TEST_P(FusedBlock, HasTheSameBitsOnUpToFourThreads) {
  expect_the_same_bits(GetParam());
}

// The number of chunks is limited by the size of the gradients here.
TEST(FusedBlocks, WithLargeWeightsHaveTheSameBitsOnUpToFourThreads) {
  expect_the_same_bits({"large", {{512, 512, 3, 1}}, Shortcut::kInput, 2});
}

INSTANTIATE_TEST_SUITE_P(Cases, FusedBlock, testing::ValuesIn(cases()), [](const auto& info) {
  return info.param.name;
});

TEST(FusedBlocks, StatisticsSurviveAMeanFarFromZero) {
  torch::manual_seed(8);
  const auto layers = make_layers({"", {{16, 16, 1, 1}}, Shortcut::kNone, 8});
  const auto plain = copy_of(layers);
  const auto x = at::randn({64, 16, 8, 8}).add(1000.0);
  const auto y = fused::block_forward(x, layers, 1);
  const auto exact = [&] {
    auto conv = plain.chain.front().conv;
    auto norm = plain.chain.front().norm;
    conv->to(at::kDouble);
    norm->to(at::kDouble);
    return norm(conv(x.to(at::kDouble))).relu();
  }();
  // The convolution itself rounds at 1000 * 2^-24.
  EXPECT_LT(relative_difference(y, exact), 1e-3);
}

TEST(FusedBlocks, WithoutGradientsNothingIsKept) {
  const auto layers = make_layers(cases()[2]);
  const torch::NoGradGuard no_grad;
  const auto y = fused::block_forward(at::randn({4, 16, 8, 8}), layers, 1);
  EXPECT_FALSE(y.requires_grad());
  EXPECT_EQ(y.grad_fn(), nullptr);
}

TEST(FusedBlocks, ABlockIsDifferentiatedOnce) {
  const auto layers = make_layers(cases()[2]);
  const auto y = fused::block_forward(at::randn({4, 16, 8, 8}), layers, 1).sum();
  y.backward({}, true);
  EXPECT_THROW(y.backward(), std::exception);
  const auto again = fused::block_forward(at::randn({4, 16, 8, 8}), layers, 1).sum();
  EXPECT_THROW(again.backward({}, false, true), ContractViolation);
}

TEST(FusedBlocks, AreRefusedWhereTheyWouldBeWrong) {
  const auto x = at::randn({4, 16, 8, 8});
  EXPECT_FALSE(fused::supports(x, make_layers({"", {{16, 24, 3, 1}}})));
  EXPECT_FALSE(fused::supports(x.to(at::kDouble), make_layers(cases()[2])));
  EXPECT_FALSE(fused::supports(at::randn({4, 32, 8, 8}), make_layers(cases()[2])));
  EXPECT_FALSE(fused::supports(x, make_layers({"", {{16, 32, 3, 1}, {16, 16, 3, 1}}})));
  auto grouped = make_layers(cases()[2]);
  grouped.chain[0].conv =
      torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 16, 3).padding(1).bias(false).groups(2));
  EXPECT_FALSE(fused::supports(x, grouped));
  auto evaluated = make_layers(cases()[2]);
  for (auto& layer : evaluated.chain) {
    layer.norm->eval();
  }
  EXPECT_FALSE(fused::supports(x, evaluated)) << "no gradients in evaluation";
  EXPECT_THROW((void)fused::block_forward(x, grouped, 1), ContractViolation);
  EXPECT_THROW((void)fused::block_forward(x, make_layers(cases()[2]), 3), ContractViolation);
}

// The whole network, both ways.
class FusedResNet : public testing::TestWithParam<std::string> {};

TEST_P(FusedResNet, EqualsThePlainNetwork) {
  for (const std::string stem : {"cifar", "half", "imagenet"}) {
    std::vector<Results> runs;
    for (const bool fused_on : {true, false}) {
      torch::manual_seed(9);
      const auto encoder =
          make_encoder({.name = GetParam(), .width = 16, .stem = stem, .input_size = 32});
      const std::int64_t side = stem == "cifar" ? 24 : 96;
      const auto x = at::randn({16, 3, side, side});
      const fused::FusedGuard guard(fused_on);
      const auto features = encoder->forward_parts(x, 2);
      features.mul(at::randn(features.sizes())).sum().backward();
      Results results{{"features", features.detach()}};
      for (const auto& item : encoder->named_parameters()) {
        results[item.key()] = item.value().grad();
      }
      for (const auto& item : encoder->named_buffers()) {
        results[item.key()] = item.value();
      }
      runs.push_back(std::move(results));
    }
    SCOPED_TRACE(stem);
    for (const auto& [name, tensor] : runs[0]) {
      // Rounding switches a few of all the ReLUs that are behind a weight.
      const bool gradient = tensor.dim() > 0 && name != "features" && !name.ends_with("_mean") &&
                            !name.ends_with("_var");
      EXPECT_LT(relative_difference(tensor, runs[1].at(name)), gradient ? 0.1 : 1e-4) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Depths, FusedResNet, testing::Values("resnet18", "resnet50"));

TEST(FusedResNets, TooNarrowOnesRunPlain) {
  const auto encoder = make_encoder({.name = "resnet18", .width = 8, .input_size = 32});
  const fused::FusedGuard guard(true);
  const auto features = encoder->forward_parts(at::randn({4, 3, 32, 32}), 2);
  EXPECT_EQ(features.sizes(), (std::vector<std::int64_t>{4, 64}));
  features.sum().backward();
  EXPECT_TRUE(encoder->parameters().front().grad().defined());
}

}  // namespace
}  // namespace viewfold
