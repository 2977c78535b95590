// Tests of frozen features.
#include "viewfold/eval/features.hpp"

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold {
namespace {

using testing::ImageList;
using testing::random_image;
using testing::random_images;
using testing::small_spec;
using testing::used_encoder;

Preprocess preprocess_of(const EncoderSpec& spec) {
  const auto bands = static_cast<std::size_t>(spec.in_channels);
  return {.input_size = spec.input_size,
          .bands = spec.in_channels,
          .normalization = {.mean = std::vector<double>(bands, 0.5),
                            .std = std::vector<double>(bands, 0.25)}};
}

/// Its features are the pixels it is given, [C, H, W]; misbehaves on demand.
class PixelEncoder final : public Encoder {
 public:
  explicit PixelEncoder(std::int64_t dim) : dim_(dim) {
    buffer_ = register_buffer("buffer", at::zeros({2}));
    inner_ = register_module("inner", torch::nn::BatchNorm1d(1));
  }
  at::Tensor forward(const at::Tensor& x) override {
    saw_training = saw_training || is_training() || inner_->is_training();
    saw_gradients = saw_gradients || at::GradMode::is_enabled();
    if (moves) {
      buffer_.neg_();  // 0 becomes -0: equal, but not the same bits
    }
    if (fails) {
      throw DataError("no");
    }
    return x.contiguous().flatten(1);
  }
  [[nodiscard]] std::int64_t feature_dim() const override { return dim_; }
  torch::nn::BatchNorm1d& inner() { return inner_; }

  bool moves = false;
  bool fails = false;
  bool saw_training = false;
  bool saw_gradients = false;

 private:
  std::int64_t dim_;
  at::Tensor buffer_;
  torch::nn::BatchNorm1d inner_{nullptr};
};

TEST(ExtractFeatures, DoNotDependOnBatchSizeOrThreads) {
  const auto spec = small_spec();
  const auto encoder = used_encoder(spec);
  const ImageList images(random_images(13, 8, 3));
  const auto expected = extract_features(*encoder, images, preprocess_of(spec), 13, 1).features;
  EXPECT_EQ(expected.sizes(), (std::vector<std::int64_t>{13, 32}));
  for (const std::int64_t batch : {1, 4, 5, 100}) {
    const auto features =
        extract_features(*encoder, images, preprocess_of(spec), batch, 3).features;
    EXPECT_LT((features - expected).abs().max().item<double>(), 1e-5) << batch;
  }
}

TEST(ExtractFeatures, AreInTheOrderOfTheDataSet) {
  const auto spec = small_spec(2);
  PixelEncoder encoder(2 * 8 * 8);
  const auto images = random_images(5, 8, 2);
  const auto features =
      extract_features(encoder, ImageList(images), preprocess_of(spec), 2, 2).features;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto expected =
        to_tensor(std::span(&images[i], 1), preprocess_of(spec).normalization).contiguous();
    EXPECT_TRUE(features[static_cast<std::int64_t>(i)].equal(expected.flatten())) << i;
  }
}

TEST(ExtractFeatures, ScaleAndCutImagesOfAnotherSize) {
  const auto spec = small_spec(1);
  PixelEncoder encoder(8 * 8);
  const Image wide = random_image(11, 19, 1, 1);
  const Image small = random_image(4, 4, 1, 2);
  const Image colour = random_image(8, 8, 3, 3);
  const auto features =
      extract_features(encoder, ImageList({wide, small, colour}), preprocess_of(spec), 3, 1)
          .features;
  const std::vector<Image> expected{resize_center_crop(wide, 8), resize_center_crop(small, 8),
                                    convert_bands(colour, 1)};
  EXPECT_TRUE(features.equal(
      to_tensor(expected, preprocess_of(spec).normalization).contiguous().flatten(1)));
}

TEST(ExtractFeatures, CarryLabelsWhenAllImagesHaveOne) {
  const auto spec = small_spec(1);
  PixelEncoder encoder(8 * 8);
  const auto labels = [&](std::vector<std::int64_t> given) {
    return extract_features(encoder, ImageList(random_images(3, 8, 1), std::move(given)),
                            preprocess_of(spec), 2, 1)
        .labels;
  };
  EXPECT_TRUE(labels({4, 0, 2}).equal(at::tensor({4, 0, 2}, at::kLong)));
  EXPECT_FALSE(labels({4, 0}).defined());
  EXPECT_FALSE(labels({}).defined());
}

TEST(ExtractFeatures, OfNoImagesAreNoRows) {
  PixelEncoder encoder(8 * 8);
  const auto set = extract_features(encoder, ImageList({}), preprocess_of(small_spec(1)), 2, 1);
  EXPECT_EQ(set.features.sizes(), (std::vector<std::int64_t>{0, 64}));
  EXPECT_FALSE(set.labels.defined());
}

TEST(ExtractFeatures, RestoreTheModeOfEveryPart) {
  PixelEncoder encoder(8 * 8);
  encoder.train();
  encoder.inner()->eval();
  const ImageList images(random_images(3, 8, 1));
  (void)extract_features(encoder, images, preprocess_of(small_spec(1)), 2, 1);
  EXPECT_FALSE(encoder.saw_training);
  EXPECT_FALSE(encoder.saw_gradients);
  EXPECT_TRUE(encoder.is_training());
  EXPECT_FALSE(encoder.inner()->is_training());
  encoder.fails = true;
  EXPECT_THROW((void)extract_features(encoder, images, preprocess_of(small_spec(1)), 2, 1),
               DataError);
  EXPECT_TRUE(encoder.is_training());
}

TEST(ExtractFeatures, NoticeAnEncoderThatMoved) {
  PixelEncoder encoder(8 * 8);
  encoder.moves = true;
  const ImageList images(random_images(3, 8, 1));
  try {
    (void)extract_features(encoder, images, preprocess_of(small_spec(1)), 3, 1);
    FAIL() << "a changed buffer was not noticed";
  } catch (const ContractViolation& error) {
    EXPECT_NE(std::string(error.what()).find("'buffer'"), std::string::npos) << error.what();
  }
}

TEST(ExtractFeatures, RefuseWhatDoesNotFit) {
  PixelEncoder encoder(7);
  const ImageList images(random_images(3, 8, 1));
  EXPECT_THROW((void)extract_features(encoder, images, preprocess_of(small_spec(1)), 3, 1),
               ContractViolation);
  EXPECT_THROW((void)extract_features(encoder, images, preprocess_of(small_spec(1)), 0, 1),
               ContractViolation);
}

TEST(ExtractFeatures, NameTheImageThatHasOtherBands) {
  PixelEncoder encoder(8 * 8);
  const ImageList images({random_image(8, 8, 1, 1), random_image(8, 8, 4, 2)});
  try {
    (void)extract_features(encoder, images, preprocess_of(small_spec(1)), 2, 2);
    FAIL() << "four bands became one";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("list#1"), std::string::npos) << error.what();
  }
}

TEST(PixelFeatures, AreTheNormalisedPixels) {
  const auto spec = small_spec(2);
  const auto images = random_images(4, 8, 2);
  const auto set = pixel_features(ImageList(images, {1, 0, 1, 1}), preprocess_of(spec), 2);
  const auto expected = to_tensor(images, preprocess_of(spec).normalization);
  EXPECT_TRUE(set.features.equal(expected.permute({0, 2, 3, 1}).flatten(1)));
  EXPECT_TRUE(set.features.is_contiguous());
  EXPECT_TRUE(set.labels.equal(at::tensor({1, 0, 1, 1}, at::kLong)));
}

}  // namespace
}  // namespace viewfold
