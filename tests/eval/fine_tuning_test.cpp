// Tests of fine-tuning with few labels.
#include "viewfold/eval/fine_tuning.hpp"

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

constexpr int kSide = 16;

// Upright stripes are one class, level ones the other; brightness says nothing.
std::shared_ptr<const Dataset> stripes(std::size_t count, std::uint64_t seed) {
  Rng rng({.seed = seed, .stream = "stripes"});
  std::vector<Image> images;
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::int64_t>(i % 2);
    const auto phase = static_cast<int>(rng.below(4));
    const auto light = 80 + rng.below(80);
    Image image(kSide, kSide, 1, PixelType::kUint8);
    auto values = image.values<std::uint8_t>();
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const int along = (label == 0 ? x : y) + phase;
        values[static_cast<std::size_t>(y * kSide + x)] =
            static_cast<std::uint8_t>(along % 4 < 2 ? light : light + 60);
      }
    }
    images.push_back(std::move(image));
    labels.push_back(label);
  }
  return std::make_shared<testing::ImageList>(std::move(images), std::move(labels));
}

LoadedEncoder small_encoder() {
  LoadedEncoder loaded;
  loaded.card.encoder = {
      .name = "resnet10", .width = 4, .stem = "cifar", .in_channels = 1, .input_size = kSide};
  loaded.card.normalization = {.mean = {0.5}, .std = {0.25}};
  torch::manual_seed(1);
  loaded.encoder = make_encoder(loaded.card.encoder);
  loaded.encoder->eval();
  return loaded;
}

FineTuningSpec spec_of(std::size_t train, std::int64_t draws) {
  return {.train = stripes(train, 1), .test = stripes(40, 2), .draws = draws};
}

TEST(FineTuning, LearnsWhatALabelInTenShows) {
  const auto loaded = small_encoder();
  const auto result = fine_tune(loaded, spec_of(1280, 1));
  EXPECT_GE(result.numbers.at("accuracy_10"), 0.9);
  EXPECT_EQ(result.numbers.at("accuracy"), result.numbers.at("accuracy_10"));
  EXPECT_EQ(result.numbers.at("sd_10"), 0.0);
  EXPECT_NE(result.protocol.find("10 % is 128 labels"), std::string::npos) << result.protocol;
}

TEST(FineTuning, LeavesTheEncoderAsItIs) {
  const auto loaded = small_encoder();
  std::vector<at::Tensor> before;
  for (const auto& item : module_state(*loaded.encoder)) {
    before.push_back(item.tensor.clone());
  }
  (void)fine_tune(loaded, spec_of(40, 1));
  const auto after = module_state(*loaded.encoder);
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_TRUE(before[i].equal(after[i].tensor)) << after[i].name;
  }
  EXPECT_FALSE(loaded.encoder->is_training());
}

TEST(FineTuning, GivesTheSameNumbersForTheSameSeed) {
  const auto loaded = small_encoder();
  const auto spec = spec_of(40, 2);
  EXPECT_EQ(fine_tune(loaded, spec).numbers, fine_tune(loaded, spec).numbers);
}

TEST(FineTuning, SaysHowFarItIs) {
  auto spec = spec_of(40, 2);
  std::vector<std::int64_t> seen;
  spec.progress = [&](std::int64_t done, std::int64_t all) {
    seen.push_back(done);
    EXPECT_EQ(all, 4);
  };
  (void)fine_tune(small_encoder(), spec);
  EXPECT_EQ(seen, (std::vector<std::int64_t>{1, 2, 3, 4}));
  EXPECT_DOUBLE_EQ(fine_tuning_views(1000), 600.0 + 3000.0);
}

TEST(FineTuning, NeedsLabels) {
  auto spec = spec_of(40, 1);
  spec.train = std::make_shared<testing::ImageList>(std::vector<Image>(4, Image(kSide, kSide, 1)));
  EXPECT_THROW((void)fine_tune(small_encoder(), spec), DataError);
}

}  // namespace
}  // namespace viewfold
