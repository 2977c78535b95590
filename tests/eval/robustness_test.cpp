// Tests of accuracy under corruptions and distortions, with an encoder that sees the mean colour.
#include "viewfold/eval/robustness.hpp"

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

constexpr int kSide = 16;

// The mean of each band, moved so that gray is the origin: cosines tell colours apart.
class MeanEncoder final : public Encoder {
 public:
  at::Tensor forward(const at::Tensor& x) override { return x.mean({2, 3}); }
  [[nodiscard]] std::int64_t feature_dim() const override { return 3; }
};

// Reddish and bluish noise.
std::shared_ptr<const Dataset> coloured_images(std::size_t count, std::uint64_t seed) {
  std::vector<Image> images;
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < count; ++i) {
    auto image = testing::random_image(kSide, kSide, 3, seed + i);
    auto values = image.values<std::uint8_t>();
    const std::size_t band = i % 2 == 0 ? 0 : 2;
    for (std::size_t p = 0; p < values.size(); ++p) {
      values[p] = static_cast<std::uint8_t>(p % 3 == band ? 128 + values[p] / 2 : values[p] / 2);
    }
    images.push_back(std::move(image));
    labels.push_back(static_cast<std::int64_t>(i % 2));
  }
  return std::make_shared<testing::ImageList>(std::move(images), std::move(labels));
}

class Robustness : public ::testing::Test {
 protected:
  Robustness() {
    bank_.train = extract_features(encoder_, *coloured_images(40, 1), preprocess_, 8, 1);
  }

  MeanEncoder encoder_;
  Preprocess preprocess_{.input_size = kSide,
                         .bands = 3,
                         .normalization = {.mean = {0.5, 0.5, 0.5}, .std = {0.25, 0.25, 0.25}}};
  EvaluationInput bank_;
};

TEST_F(Robustness, ShufflesDoNothingToAnEncoderOfTheMean) {
  const auto measured =
      measure_robustness(encoder_, preprocess_, bank_, {.images = coloured_images(20, 100)});
  EXPECT_EQ(measured.result.numbers.at("clean_accuracy"), 1.0);
  EXPECT_EQ(measured.rows.size(), 19U);
  EXPECT_EQ(measured.distortions.size(), 10U);
  for (const auto* name : {"global_shuffle:4", "local_shuffle:2", "global_shuffle:8"}) {
    EXPECT_EQ(measured.result.numbers.at(std::string("accuracy_") + name), 1.0) << name;
  }
  const double mean = measured.result.numbers.at("accuracy");
  EXPECT_NEAR(measured.result.numbers.at("drop"), 1.0 - mean, 1e-12);
}

TEST_F(Robustness, MeansAreOverTheKindsOfTheBenchmark) {
  const auto measured = measure_robustness(
      encoder_, preprocess_, bank_,
      {.images = coloured_images(20, 100), .corruptions = {"contrast", "saturate"}});
  ASSERT_EQ(measured.rows.size(), 2U);
  EXPECT_TRUE(measured.distortions.empty());
  double contrast = 0.0;
  for (const double value : measured.rows[0].accuracy) {
    contrast += value / 5.0;
  }
  EXPECT_NEAR(measured.result.numbers.at("accuracy"), contrast, 1e-12);  // saturate is extra
}

TEST_F(Robustness, AnUnknownCorruptionIsToldBeforeAnythingIsMeasured) {
  EXPECT_THROW((void)measure_robustness(encoder_, preprocess_, bank_,
                                        {.images = coloured_images(2, 1), .corruptions = {"fogg"}}),
               UsageError);
}

}  // namespace
}  // namespace viewfold
