// Tests that an encoder loads in PyTorch, where it is installed.
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <sys/wait.h>
#include <vector>

#include "core/test_folder.hpp"
#include "eval/small_sets.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/version.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/nn/safetensors.hpp"

namespace viewfold {
namespace {

using testing::ImageList;

constexpr std::size_t kImages = 50;

// Real images, or nothing where there are none.
std::vector<Image> real_images() {
  std::vector<Image> images;
  if (std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    const auto dataset = open_dataset({.spec = "fashion-mnist", .split = "test"});
    for (std::size_t i = 0; i < kImages; ++i) {
      images.push_back(dataset->image(i));
    }
  }
  return images;
}

// The exit code of the script; its output goes to the test's.
int run_script(const std::filesystem::path& folder) {
  const std::string command = fmt::format("/usr/bin/python3 {}/tests/eval/torch_encoder.py {}",
                                          VIEWFOLD_SOURCE_DIR, folder.string());
  const int status = std::system(command.c_str());  // NOLINT(cert-env33-c): a fixed command
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void write_all(const EncoderSpec& spec,
               const std::vector<Image>& images,
               const std::filesystem::path& folder) {
  const auto encoder = testing::used_encoder(spec);
  auto card = testing::card_of(*encoder, spec);
  card.version = version();
  write_encoder(*encoder, card, folder / "encoder.safetensors", folder / "card.json");
  write_torchscript(*encoder, card, folder / "encoder.pt");
  const auto loaded = read_encoder(folder / "encoder.safetensors", folder / "card.json");
  const auto features =
      extract_features(*loaded.encoder, ImageList(images), loaded.preprocess(), 32, 2).features;
  const auto bands = static_cast<std::size_t>(spec.in_channels);
  const Normalization none{.mean = std::vector<double>(bands, 0.0),
                           .std = std::vector<double>(bands, 1.0)};
  std::vector<Image> converted;
  for (const auto& image : images) {
    converted.push_back(convert_bands(image, static_cast<int>(spec.in_channels)));
  }
  write_file_atomically(
      folder / "expected.safetensors",
      write_safetensors({{"images", to_tensor(converted, none)}, {"features", features}}, {}));
}

class InPyTorch : public ::testing::TestWithParam<EncoderSpec> {};

TEST_P(InPyTorch, TheEncoderGivesTheSameFeatures) {
  const auto images = real_images();
  if (images.empty()) {
    GTEST_SKIP() << "Fashion-MNIST is not installed (Debian: dataset-fashion-mnist)";
  }
  const TestFolder folder("in_pytorch");
  write_all(GetParam(), images, folder.path());
  const int code = run_script(folder.path());
  if (code == 77 || code == 127) {
    GTEST_SKIP() << "PyTorch is not installed (Debian: python3-torch, python3-torchvision)";
  }
  EXPECT_EQ(code, 0);
}

// Torchvision's own width, and narrow ones with every kind of stem, block and number of bands.
INSTANTIATE_TEST_SUITE_P(Encoders,
                         InPyTorch,
                         ::testing::Values(EncoderSpec{.name = "resnet18",
                                                       .width = 64,
                                                       .stem = "cifar",
                                                       .in_channels = 3,
                                                       .input_size = 28,
                                                       .zero_init_residual = false},
                                           EncoderSpec{.name = "resnet18",
                                                       .width = 16,
                                                       .stem = "cifar",
                                                       .in_channels = 1,
                                                       .input_size = 28,
                                                       .zero_init_residual = false},
                                           EncoderSpec{.name = "patches",
                                                       .width = 2,
                                                       .stem = "half",
                                                       .in_channels = 1,
                                                       .input_size = 28,
                                                       .zero_init_residual = false},
                                           EncoderSpec{.name = "resnet10",
                                                       .width = 16,
                                                       .stem = "half",
                                                       .in_channels = 3,
                                                       .input_size = 28,
                                                       .zero_init_residual = false},
                                           EncoderSpec{.name = "resnet50",
                                                       .width = 16,
                                                       .stem = "imagenet",
                                                       .in_channels = 3,
                                                       .input_size = 28,
                                                       .zero_init_residual = false}),
                         [](const auto& info) {
                           return info.param.name + "_" + std::to_string(info.param.width) + "_" +
                                  info.param.stem;
                         });

}  // namespace
}  // namespace viewfold
