// Tests of the way from pixels to normalised tensors.
#include "viewfold/tensor/image_tensor.hpp"

#include <cmath>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/image/pixel.hpp"
#include "viewfold/tensor/view_batch.hpp"

namespace viewfold {
namespace {

// Every value differs: 7 i + 1, within the range of the type.
Image counting_image(int height, int width, int bands, PixelType type = PixelType::kUint8) {
  Image image(height, width, bands, type);
  with_pixel_type(type, [&image]<class T>() {
    const auto values = image.values<T>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<T>(static_cast<float>(7 * i + 1) *
                                 (std::is_same_v<T, float> ? 1.0F / 255.0F : 1.0F));
    }
  });
  return image;
}

const Normalization kThreeBands{.mean = {0.4, 0.5, 0.6}, .std = {0.2, 0.25, 0.5}};

TEST(ToTensor, NormalisesEachBandByItsOwnStatistics) {
  for (const auto& [type, white] : {std::pair{PixelType::kUint8, 255.0},
                                    {PixelType::kUint16, 65535.0},
                                    {PixelType::kFloat32, 255.0}}) {
    const Image image = counting_image(3, 4, 3, type);
    const auto tensor = to_tensor({&image, 1}, kThreeBands);
    ASSERT_EQ(tensor.sizes(), (std::vector<std::int64_t>{1, 3, 3, 4}));
    for (std::int64_t i = 0; i < 36; ++i) {
      const auto band = static_cast<std::size_t>(i % 3);
      const double pixel = static_cast<double>(7 * i + 1) / white;
      const double expected = (pixel - kThreeBands.mean[band]) / kThreeBands.std[band];
      // The difference of two floats of at most 5 rounds three times.
      EXPECT_NEAR(tensor[0][i % 3][i / 12][i / 3 % 4].item<double>(), expected, 1e-6);
    }
  }
}

TEST(ToTensor, IsChannelsLastAndKeepsTheOrderOfImages) {
  std::vector<Image> images{Image(2, 2, 3), counting_image(2, 2, 3)};
  const auto tensor = to_tensor(images, kThreeBands);
  EXPECT_TRUE(tensor.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(tensor.scalar_type(), at::kFloat);
  EXPECT_NEAR(tensor[0][2][1][1].item<double>(), -0.6 / 0.5, 1e-6);
  EXPECT_TRUE(tensor[1].equal(to_tensor({&images[1], 1}, kThreeBands)[0]));
}

TEST(ToTensor, TakesAnyNumberOfBands) {
  for (const int bands : {1, 2, 5, 13}) {
    const auto count = static_cast<std::size_t>(bands);
    const Normalization plain{.mean = std::vector<double>(count, 0.0),
                              .std = std::vector<double>(count, 1.0)};
    const Image image = counting_image(1, 2, bands);
    const auto tensor = to_tensor({&image, 1}, plain);
    EXPECT_EQ(tensor.size(1), bands);
    EXPECT_NEAR(tensor[0][bands - 1][0][1].item<double>(), (7.0 * (2 * bands - 1) + 1.0) / 255.0,
                1e-7);
  }
}

TEST(ToTensor, RefusesNothingUnequalSizesAndOtherBandCounts) {
  EXPECT_THROW((void)to_tensor({}, kThreeBands), ContractViolation);
  const std::vector<Image> unequal{Image(2, 2, 3), Image(2, 3, 3)};
  EXPECT_THROW((void)to_tensor(unequal, kThreeBands), ContractViolation);
  const Image gray(2, 2, 1);
  EXPECT_THROW((void)to_tensor({&gray, 1}, kThreeBands), ContractViolation);
  std::vector<float> out(11);
  EXPECT_THROW(write_normalized(Image(2, 2, 3), kThreeBands, out), ContractViolation);
}

TEST(ViewBatch, GivesTheViewsOfAllSamplesAsSlices) {
  ViewBatch batch;
  batch.groups.push_back(at::arange(2 * 3 * 2, at::kFloat).view({6, 2, 1, 1}));
  batch.indices = {4, 5, 6};
  EXPECT_EQ(batch.size(), 3);
  EXPECT_TRUE(batch.view(0).equal(batch.groups.front().narrow(0, 0, 3)));
  EXPECT_TRUE(batch.view(1).equal(batch.groups.front().narrow(0, 3, 3)));
  EXPECT_THROW((void)batch.view(2), ContractViolation);
  EXPECT_THROW((void)batch.view(-1), ContractViolation);
}

// Two views of two samples; the operations of the second view differ.
ViewBatch batch_with_records() {
  ViewBatch batch;
  batch.groups.push_back(at::zeros({4, 1, 1, 1}));
  batch.indices = {7, 8};
  batch.ops_per_view = 2;
  batch.records = {make_record("gaussian_blur", {1, 0.5}), make_record("solarize", {1}),
                   make_record("gaussian_blur", {0, 0.0}), make_record("solarize", {0}),
                   make_record("rotation", {1, -3}),       OpRecord{},
                   make_record("rotation", {1, 4}),        OpRecord{}};
  return batch;
}

TEST(ViewBatch, GivesDrawnParametersAsTypedColumns) {
  const auto batch = batch_with_records();
  const auto applied = batch.column("gaussian_blur.applied");  // [V * N]
  EXPECT_EQ(applied.scalar_type(), at::kBool);
  EXPECT_TRUE(applied.equal(at::tensor(std::vector<std::int64_t>{1, 0, 0, 0}).to(at::kBool)));
  const auto sigma = batch.column("gaussian_blur.sigma");
  EXPECT_EQ(sigma.scalar_type(), at::kFloat);
  EXPECT_EQ(sigma[0].item<float>(), 0.5F);
  EXPECT_TRUE(std::isnan(sigma[2].item<float>()));  // the second view has no blur
  EXPECT_EQ(batch.column("rotation.degrees")[3].item<float>(), 4.0F);
}

TEST(ViewBatch, ShrinksItsViews) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    ViewBatch batch;
    batch.indices = {0, 1};
    // A ramp along the width: shrunk by two, each value is the mean of what it covers.
    const auto ramp = at::arange(8, at::kFloat).expand({2, 3, 8, 8});
    batch.groups = {ramp.to(type).contiguous(at::MemoryFormat::ChannelsLast),
                    at::ones({4, 3, 4, 4}, type)};
    batch.shrink([](std::int64_t full) { return full == 8 ? 4 : full; });
    EXPECT_EQ(batch.groups[0].sizes(), (std::vector<std::int64_t>{2, 3, 4, 4}));
    EXPECT_EQ(batch.groups[0].scalar_type(), type);
    EXPECT_TRUE(batch.groups[0].is_contiguous(at::MemoryFormat::ChannelsLast));
    const auto row = batch.groups[0][1][2][3].to(at::kFloat);
    EXPECT_NEAR(row[1].item<double>(), 2.5, 0.02);
    EXPECT_NEAR(row[2].item<double>(), 4.5, 0.02);
    EXPECT_EQ(batch.groups[1].size(2), 4);
  }
}

TEST(ViewBatch, RefusesColumnsThatDoNotExist) {
  const auto batch = batch_with_records();
  for (const char* name : {"rotation", "rotation.sigma", "rotation#2.degrees", "rotation#x.degrees",
                           "rotatoin.degrees", "grayscale.applied", ""}) {
    EXPECT_THROW((void)batch.column(name), UsageError) << name;
  }
}

TEST(ShapeText, ListsAllSizes) {
  EXPECT_EQ(shape_text(at::zeros({256, 128})), "[256, 128]");
  EXPECT_EQ(shape_text(at::zeros({})), "[]");
}

}  // namespace
}  // namespace viewfold
