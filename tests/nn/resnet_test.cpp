// Tests of the residual networks.
#include "viewfold/nn/resnet.hpp"

#include <cstdio>
#include <set>
#include <sys/wait.h>

#include "core/test_folder.hpp"
#include "tensor/normal_tensor.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/nn/safetensors.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

std::int64_t parameter_count(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const auto& parameter : module.parameters()) {
    count += parameter.numel();
  }
  return count;
}

EncoderSpec small(const std::string& name, const std::string& stem = "cifar") {
  return {.name = name, .width = 4, .stem = stem, .input_size = 32};
}

// Weights and statistics as after training: nothing is zero or one.
void randomise(Encoder& encoder) {
  const torch::NoGradGuard no_grad;
  std::uint64_t seed = 0;
  for (auto& item : module_state(encoder)) {
    if (item.tensor.is_floating_point() && item.tensor.dim() == 1) {
      item.tensor.copy_(0.5 + 0.5 * normal_tensor({item.tensor.size(0)}, ++seed).abs());
    }
  }
}

TEST(ResNet, GivesTheFeaturesOfTorchvisionForItsNamesAndShapes) {
  const TestFolder folder("torchvision");
  std::string command = "/usr/bin/python3 " VIEWFOLD_SOURCE_DIR "/tests/nn/torchvision_features.py";
  for (const std::string name : {"resnet18", "resnet34", "resnet50"}) {
    torch::manual_seed(5);
    const auto encoder = make_encoder({.name = name, .width = 64, .stem = "imagenet"});
    randomise(*encoder);
    encoder->eval();
    const torch::NoGradGuard no_grad;
    auto state = module_state(*encoder);
    const auto input = normal_tensor({2, 3, 64, 64}, 6, at::kFloat);
    state.push_back({"input", input});
    state.push_back({"features", encoder->forward(input)});
    const auto path = folder.path() / (name + ".safetensors");
    write_file_atomically(path, write_safetensors(state, {}));
    command += " " + path.string();
  }
  std::FILE* process = ::popen((command + " 2>&1").c_str(), "r");
  ASSERT_NE(process, nullptr);
  std::string output;
  for (int c = std::fgetc(process); c != EOF; c = std::fgetc(process)) {
    output += static_cast<char>(c);
  }
  const int status = WEXITSTATUS(::pclose(process));
  if (status == 77 || status == 127) {
    GTEST_SKIP() << "python3 with torchvision is not installed: " << output;
  }
  EXPECT_EQ(status, 0) << output;
}

TEST(ResNet, HasThePublishedNumberOfParameters) {
  // torchvision's 11689512, 21797672 and 25557032 without their classifiers.
  const auto count = [](const std::string& name) {
    return parameter_count(*make_encoder({.name = name, .width = 64, .stem = "imagenet"}));
  };
  EXPECT_EQ(count("resnet18"), 11689512 - 513 * 1000);
  // One block of two less in each stage: 2 * 9 * C^2 + 4 * C for C = 64, 128, 256, 512.
  EXPECT_EQ(count("resnet10"), count("resnet18") - 18 * 348160 - 4 * 960);
  EXPECT_EQ(count("resnet34"), 21797672 - 513 * 1000);
  EXPECT_EQ(count("resnet50"), 25557032 - 2049 * 1000);
}

TEST(ResNet, ScalesAllStagesWithItsWidth) {
  for (const auto& [name, factor] : {std::pair{"resnet18", 8}, {"resnet34", 8}, {"resnet50", 32}}) {
    const auto encoder = make_encoder(small(name));
    EXPECT_EQ(encoder->feature_dim(), factor * 4) << name;
    EXPECT_EQ(encoder->named_parameters()["layer3.0.conv1.weight"].size(0), 16) << name;
    EXPECT_EQ(encoder->forward(at::zeros({2, 3, 32, 32})).sizes(),
              (std::vector<std::int64_t>{2, factor * 4}));
  }
}

TEST(ResNet, TakesAnyNumberOfBands) {
  for (const std::int64_t bands : {1, 4, 13}) {
    auto spec = small("resnet18");
    spec.in_channels = bands;
    const auto features =
        make_encoder(spec)->forward(normal_tensor({2, bands, 32, 32}, 1, at::kFloat));
    EXPECT_EQ(features.sizes(), (std::vector<std::int64_t>{2, 32}));
  }
}

TEST(ResNet, HasAStemForSmallAndOneForLargeImages) {
  const auto weight = [](const std::string& stem) {
    return make_encoder(small("resnet18", stem))->named_parameters()["conv1.weight"].sizes().vec();
  };
  EXPECT_EQ(weight("cifar"), (std::vector<std::int64_t>{4, 3, 3, 3}));
  EXPECT_EQ(weight("half"), (std::vector<std::int64_t>{4, 3, 3, 3}));
  const auto side = [](const std::string& stem) {
    return make_encoder(small("resnet18", stem))->stages(at::zeros({2, 3, 32, 32}))[0].size(2);
  };
  EXPECT_EQ(side("cifar"), 32);
  EXPECT_EQ(side("half"), 16);
  EXPECT_EQ(side("imagenet"), 8);
  EXPECT_EQ(weight("imagenet"), (std::vector<std::int64_t>{4, 3, 7, 7}));
  EXPECT_EQ(resolve_stem("auto", 64), "cifar");
  EXPECT_EQ(resolve_stem("auto", 65), "imagenet");
  EXPECT_EQ(resolve_stem("imagenet", 32), "imagenet");
  EXPECT_THROW((void)resolve_stem("vgg", 32), UsageError);
}

TEST(ResNet, EndsInMapsOfAnEighthOrAThirtySecondByItsStem) {
  for (const auto& [stem, side] : {std::pair{"cifar", 4}, {"imagenet", 1}}) {
    const auto encoder = make_encoder(small("resnet18", stem));
    at::Tensor x = normal_tensor({2, 3, 32, 32}, 2, at::kFloat);
    const auto children = encoder->named_children();
    x = children["conv1"]->as<torch::nn::Conv2d>()->forward(x);
    if (std::string(stem) == "imagenet") {
      x = at::max_pool2d(x, 3, 2, 1);
    }
    for (const auto* stage : {"layer1", "layer2", "layer3", "layer4"}) {
      x = children[stage]->as<torch::nn::Sequential>()->forward(x);
    }
    EXPECT_EQ(x.size(2), side) << stem;
    EXPECT_EQ(x.size(3), side) << stem;
  }
}

TEST(ResNet, GivesOneAnswerInAnyMemoryFormat) {
  torch::manual_seed(1);
  const auto encoder = make_encoder(small("resnet50"));
  encoder->eval();
  const auto x = normal_tensor({3, 3, 32, 32}, 3, at::kFloat);
  const torch::NoGradGuard no_grad;
  const auto expected = encoder->forward(x);
  for (auto& parameter : encoder->parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
  const auto features = encoder->forward(x.contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(features.allclose(expected, 1e-4, 1e-5));
}

TEST(ResNet, StartsFromKaimingNormalWithFanOut) {
  torch::manual_seed(1);
  const auto encoder = make_encoder({.name = "resnet18", .width = 64, .stem = "cifar"});
  const auto weight =
      encoder->named_parameters()["layer3.1.conv1.weight"].detach();  // 256 x 256 x 9
  const double expected = std::sqrt(2.0 / (256.0 * 9.0));
  // 590 k draws: the sample deviation is within 0.1 % (one sigma) of the true one.
  EXPECT_NEAR(weight.std().item<double>(), expected, 0.005 * expected);
  EXPECT_NEAR(weight.mean().item<double>(), 0.0, 0.01 * expected);
}

TEST(ResNet, StartsResidualBlocksAsTheIdentityWhenAsked) {
  for (const std::string name : {"resnet18", "resnet50"}) {
    auto spec = small(name);
    spec.zero_init_residual = true;
    const auto zero = make_encoder(spec);
    spec.zero_init_residual = false;
    const auto one = make_encoder(spec);
    const std::string last = name == "resnet18" ? "layer2.1.bn2.weight" : "layer2.1.bn3.weight";
    EXPECT_EQ(zero->named_parameters()[last].abs().max().item<double>(), 0.0);
    EXPECT_EQ(one->named_parameters()[last].min().item<double>(), 1.0);
  }
}

TEST(ResNet, SendsAFiniteGradientToEveryParameter) {
  for (const auto& entry : encoder_table()) {
    torch::manual_seed(2);
    const auto encoder = make_encoder(small(std::string(entry.name)));
    const auto features = encoder->forward(normal_tensor({4, 3, 32, 32}, 4, at::kFloat));
    features.mul(normal_tensor({4, encoder->feature_dim()}, 5, at::kFloat)).sum().backward();
    for (const auto& item : encoder->named_parameters()) {
      ASSERT_TRUE(item.value().grad().defined()) << entry.name << " " << item.key();
      EXPECT_TRUE(item.value().grad().isfinite().all().item<bool>()) << entry.name << item.key();
      EXPECT_GT(item.value().grad().abs().max().item<double>(), 0.0) << entry.name << item.key();
    }
  }
}

TEST(EncoderTable, HasUniqueNamesAndASummaryEach) {
  std::set<std::string_view> names;
  for (const auto& entry : encoder_table()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_FALSE(entry.summary.empty()) << entry.name;
    EXPECT_EQ(find_encoder(entry.name).name, entry.name);
  }
  EXPECT_GE(names.size(), 3U);
}

TEST(EncoderTable, NamesTheNearestOfAnUnknownName) {
  try {
    (void)make_encoder({.name = "resnet19"});
    FAIL() << "there is no resnet19";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean resnet1"), std::string::npos)
        << error.what();
  }
  EXPECT_THROW((void)make_encoder({.name = "resnet18", .width = 0}), ContractViolation);
}

}  // namespace
}  // namespace viewfold
