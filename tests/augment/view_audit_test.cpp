// Tests of the numbers and the verdicts about views.
#include "viewfold/augment/view_audit.hpp"

#include "augment/operations.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::noise;

std::vector<Image> noise_images(std::uint32_t count, ImageSize size = {24, 24}, int bands = 3) {
  std::vector<Image> images;
  for (std::uint32_t i = 0; i < count; ++i) {
    images.push_back(noise(size, bands, PixelType::kUint8, i));
  }
  return images;
}

Pipeline pipeline_of(std::string_view op,
                     std::initializer_list<std::pair<std::string, std::string>> settings = {}) {
  const auto& entry = find_augmentation(op);
  std::vector<PipelineStep> steps;
  steps.push_back({std::string(op), entry.config()});
  ConfigSource source;
  for (const auto& [key, text] : settings) {
    source.set(key, text, key);
  }
  read_config(*steps.back().config, source);
  return Pipeline(steps);
}

AuditLine line_of(const Pipeline& pipeline, const std::vector<Image>& images, bool whole = true) {
  AuditLine line{.name = "recipe",
                 .whole = whole,
                 .pairs = make_pairs(pipeline, images, {}, 24, 1),
                 .numbers = {},
                 .feature_distance = {},
                 .orientation_cost = 1.0};
  line.numbers = measure_pairs(line.pairs);
  return line;
}

bool has(const std::vector<Finding>& findings, Verdict verdict, std::string_view part) {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return finding.verdict == verdict && finding.reason.find(part) != std::string::npos;
  });
}

TEST(ViewAudit, EqualViewsAreTheSamePicture) {
  const auto line = line_of(pipeline_of("center_crop", {{"size", "24"}}), noise_images(10));
  EXPECT_EQ(line.numbers.pixel_distance, 0.0);
  EXPECT_EQ(line.numbers.histogram_match, 1.0);
  EXPECT_EQ(line.numbers.thumbnail_match, 1.0);
  EXPECT_EQ(line.pairs.kept_median, 1.0);
  EXPECT_TRUE(has(judge(line), Verdict::kTooWeak, "the same picture"));
}

TEST(ViewAudit, AFlipMovesPixelsAndKeepsColours) {
  const auto line = line_of(pipeline_of("horizontal_flip"), noise_images(40), false);
  // Half of the pairs differ, and then as much as two images of noise do.
  EXPECT_NEAR(line.numbers.pixel_distance, 0.5, 0.25);
  EXPECT_EQ(line.numbers.histogram_match, 1.0);
  EXPECT_EQ(judge(line).front().verdict,
            Verdict::kFine);  // alone, an operation is not judged by it
}

TEST(ViewAudit, TinyCropsDestroyTheContent) {
  const auto pipeline = pipeline_of(
      "random_resized_crop", {{"scale_min", "0.001"}, {"scale_max", "0.01"}, {"size", "24"}});
  const auto line = line_of(pipeline, noise_images(20, {90, 120}));
  EXPECT_LT(line.pairs.kept_median, 0.011);
  EXPECT_TRUE(has(judge(line), Verdict::kDestroysContent, "of the image"));
}

TEST(ViewAudit, TheAreaKeptIsThatOfTheCrops) {
  const auto pipeline = pipeline_of("random_resized_crop",
                                    {{"scale_min", "0.25"}, {"scale_max", "0.25"}, {"size", "24"}});
  const auto pairs = make_pairs(pipeline, noise_images(20, {200, 200}), {}, 24, 1);
  EXPECT_NEAR(pairs.kept_median, 0.25, 0.01);
  EXPECT_NEAR(pairs.kept_low, 0.25, 0.01);
}

TEST(ViewAudit, CountsTheKnownObjectsThatCropsLose) {
  const auto images = noise_images(30, {100, 100});
  std::vector<KnownBox> corners;
  for (std::size_t i = 0; i < images.size(); ++i) {
    corners.push_back({i, {0.0, 0.0, 10.0, 10.0}});
  }
  const auto crop = pipeline_of("random_resized_crop",
                                {{"scale_min", "0.1"}, {"scale_max", "0.1"}, {"size", "24"}});
  const auto pairs = make_pairs(crop, images, corners, 24, 1);
  EXPECT_GT(pairs.boxes_lost, 0.8);
  const auto whole = pipeline_of("center_crop", {{"size", "24"}});
  EXPECT_EQ(make_pairs(whole, images, corners, 24, 1).boxes_lost, 0.0);
}

TEST(ViewAudit, ColoursThatNeverChangeAreAShortcut) {
  // Images of one colour each: whatever the crop, the colour tells the pair.
  std::vector<Image> images;
  for (int i = 0; i < 10; ++i) {
    Image image = noise({24, 24}, 3, PixelType::kUint8, static_cast<std::uint32_t>(i));
    for (auto& value : image.values<std::uint8_t>()) {
      value = static_cast<std::uint8_t>(25 * i + value / 64);
    }
    images.push_back(std::move(image));
  }
  const auto crop = pipeline_of("random_resized_crop", {{"size", "24"}});
  EXPECT_TRUE(has(judge(line_of(crop, images)), Verdict::kTooWeak, "colours alone"));
}

TEST(ViewAudit, TurningOverIsCheckedWhereThereIsAnUpAndADown) {
  const auto flip = pipeline_of("vertical_flip", {{"probability", "0.5"}});
  auto line = line_of(flip, noise_images(20));
  EXPECT_TRUE(line.pairs.turns);
  EXPECT_FALSE(has(judge(line), Verdict::kCheck, ""));
  line.orientation_cost = 1.5;
  EXPECT_TRUE(has(judge(line), Verdict::kCheck, "as 6 and 9"));
  EXPECT_FALSE(line_of(pipeline_of("rotation"), noise_images(20)).pairs.turns);
  EXPECT_TRUE(line_of(pipeline_of("rotation", {{"degrees", "180"}}), noise_images(20)).pairs.turns);
}

TEST(ViewAudit, OrientationCostsNothingWhereThereIsNone) {
  EXPECT_NEAR(orientation_cost(noise_images(30), 24), 1.0, 0.02);
  // Bright above, dark below: upside down such an image is like no other.
  auto images = noise_images(30);
  for (auto& image : images) {
    const auto values = image.values<std::uint8_t>();
    for (std::size_t i = 0; i < values.size() / 2; ++i) {
      values[i] = static_cast<std::uint8_t>(192 + values[i] / 4);
    }
  }
  EXPECT_GT(orientation_cost(images, 24), 1.2);
  EXPECT_THROW((void)orientation_cost(noise_images(2), 24), ContractViolation);
}

}  // namespace
}  // namespace viewfold
