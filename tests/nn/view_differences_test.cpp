// Tests of the differences between views by hand cases.
#include "viewfold/nn/view_differences.hpp"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// One image with two views.
ViewBatch batch_of(std::vector<std::vector<OpRecord>> views) {
  ViewBatch batch;
  batch.indices = {0};
  batch.groups.push_back(at::zeros({2, 3, 4, 4}));
  batch.ops_per_view = views[0].size();
  for (const auto& records : views) {
    batch.records.insert(batch.records.end(), records.begin(), records.end());
  }
  return batch;
}

OpRecord crop(float x, float y, float width, float height) {
  return make_record("random_resized_crop", {x, y, width, height, 100.0F, 100.0F});
}

OpRecord flip(bool applied) {
  return make_record("horizontal_flip", {applied ? 1.0F : 0.0F});
}

OpRecord jitter(float brightness, float hue) {
  return make_record("color_jitter", {1.0F, 1234.0F, brightness, 1.0F, 1.0F, hue});
}

void expect_rows(const at::Tensor& actual, const std::vector<std::vector<float>>& expected) {
  ASSERT_EQ(actual.size(0), static_cast<std::int64_t>(expected.size()));
  for (std::size_t row = 0; row < expected.size(); ++row) {
    const auto wanted = torch::tensor(expected[row]);
    EXPECT_TRUE(actual[static_cast<std::int64_t>(row)].allclose(wanted, 0.0, 1e-6))
        << actual << " row " << row;
  }
}

TEST(CropDifferences, AreThoseOfCentreAndSize) {
  const auto batch = batch_of({{crop(20, 10, 60, 40)}, {crop(0, 0, 100, 100)}});
  expect_rows(crop_differences(batch), {{-0.2F, 0.0F, -0.6F, -0.4F}, {0.2F, 0.0F, 0.6F, 0.4F}});
}

TEST(CropDifferences, AreInTheFrameOfTheFirstView) {
  const auto left = crop(0, 10, 60, 40);  // centre at 0.3
  const auto whole = crop(0, 0, 100, 100);
  expect_rows(crop_differences(batch_of({{left, flip(false)}, {whole, flip(false)}}))
                  .select(1, 1)
                  .unsqueeze(1),
              {{-0.2F}, {0.2F}});
  // Where one view is mirrored, both orders have the same sign; where both are, opposite ones.
  expect_rows(crop_differences(batch_of({{left, flip(true)}, {whole, flip(false)}}))
                  .select(1, 1)
                  .unsqueeze(1),
              {{0.2F}, {0.2F}});
  expect_rows(crop_differences(batch_of({{left, flip(true)}, {whole, flip(true)}}))
                  .select(1, 1)
                  .unsqueeze(1),
              {{0.2F}, {-0.2F}});
}

TEST(CropDifferences, TakeAViewWithoutACropForTheWhole) {
  const auto batch = batch_of({{crop(20, 10, 60, 40)}, {OpRecord{}}});
  expect_rows(crop_differences(batch), {{-0.2F, 0.0F, -0.6F, -0.4F}, {0.2F, 0.0F, 0.6F, 0.4F}});
}

TEST(ColorDifferences, AreSharesOfTheRanges) {
  const JitterRanges ranges{.brightness = 0.8, .contrast = 0.8, .saturation = 0.0, .hue = 0.2};
  const auto batch = batch_of({{jitter(1.4F, 0.1F)}, {jitter(0.6F, 0.0F)}});
  expect_rows(color_differences(batch, ranges),
              {{1.0F, 0.0F, 0.0F, 0.5F}, {-1.0F, 0.0F, 0.0F, -0.5F}});
}

TEST(EqualFlips, IsOneForEqualViewsInBothOrders) {
  expect_rows(equal_flips(batch_of({{flip(true)}, {flip(true)}})), {{1.0F}, {1.0F}});
  expect_rows(equal_flips(batch_of({{flip(false)}, {flip(false)}})), {{1.0F}, {1.0F}});
  expect_rows(equal_flips(batch_of({{flip(true)}, {flip(false)}})), {{0.0F}, {0.0F}});
}

TEST(BlurDifferences, CountAnAbsentBlurAsNone) {
  const auto with = make_record("gaussian_blur", {1.0F, 1.5F});
  const auto without = make_record("gaussian_blur", {0.0F, 0.7F});
  expect_rows(blur_differences(batch_of({{with}, {without}}), 2.0), {{0.75F}, {-0.75F}});
}

TEST(SolarizeDifferences, CountAnAbsentOneAsAThresholdOfOne) {
  const auto with = make_record("solarize", {1.0F});
  const auto without = make_record("solarize", {0.0F});
  expect_rows(solarize_differences(batch_of({{with}, {without}}), 0.5), {{-0.5F}, {0.5F}});
}

TEST(Differences, VanishForViewsMadeAlike) {
  const std::vector<OpRecord> view{crop(3, 4, 50, 60), flip(true), jitter(1.2F, -0.05F)};
  const auto batch = batch_of({view, view});
  EXPECT_EQ(crop_differences(batch).abs().max().item<double>(), 0.0);
  EXPECT_EQ(color_differences(batch, {0.8, 0.8, 0.8, 0.2}).abs().max().item<double>(), 0.0);
}

TEST(Differences, NeedTheirOperation) {
  const auto batch = batch_of({{flip(true)}, {flip(true)}});
  EXPECT_THROW((void)crop_differences(batch), UsageError);
  EXPECT_THROW((void)color_differences(batch, {}), UsageError);
}

}  // namespace
}  // namespace viewfold
