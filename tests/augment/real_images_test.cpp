// The verdicts of the audit on real images, where there are some.
#include <algorithm>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/augment/view_audit.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/data/dataset.hpp"

namespace viewfold {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

constexpr std::int64_t kSize = 32;

// Images spread over a data set, and whether they have an up and a down.
struct RealImages {
  std::vector<Image> images;
  double orientation_cost = 1.0;
};

RealImages read_images(const std::string& spec) {
  constexpr std::size_t kCount = 256;  // as `viewfold audit-views` takes
  RealImages real;
  const auto dataset = open_dataset({.spec = spec, .split = "train"});
  for (std::size_t i = 0; i < kCount; ++i) {
    real.images.push_back(dataset->image(i * dataset->size() / kCount));
  }
  real.orientation_cost = orientation_cost(real.images, kSize);
  return real;
}

// What is found wrong with the whole pipelines of a recipe.
std::vector<Finding> audit(const RealImages& real,
                           const std::string& name,
                           const Settings& settings = {}) {
  RecipeConfig recipe(name, kSize);
  ConfigSource source;
  for (const auto& [key, text] : settings) {
    source.set(key, text, key);
  }
  read_config(recipe, source);
  std::vector<Finding> findings;
  for (const auto& group : recipe.groups()) {
    for (const auto& steps : group.pipelines) {
      AuditLine line{.name = name,
                     .whole = true,
                     .pairs = make_pairs(Pipeline(steps), real.images, {}, kSize, 1),
                     .numbers = {},
                     .feature_distance = {},
                     .orientation_cost = real.orientation_cost};
      line.numbers = measure_pairs(line.pairs);
      const auto found = judge(line);
      findings.insert(findings.end(), found.begin(), found.end());
    }
  }
  return findings;
}

bool has(const std::vector<Finding>& findings, Verdict verdict, std::string_view part = "") {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return finding.verdict == verdict && finding.reason.find(part) != std::string::npos;
  });
}

std::string text(const std::vector<Finding>& findings) {
  std::string lines;
  for (const auto& finding : findings) {
    lines += fmt::format("{}: {}\n", to_string(finding.verdict), finding.reason);
  }
  return lines;
}

class AuditOfCifar10 : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string archive = VIEWFOLD_SOURCE_DIR "/../shared/data/cifar10-jpeg.tar";
    if (std::filesystem::exists(archive)) {
      real_ = read_images(archive);
    }
  }
  void SetUp() override {
    if (!real_) {
      GTEST_SKIP() << "cifar10-jpeg.tar is not here";
    }
  }
  static std::optional<RealImages> real_;
};
std::optional<RealImages> AuditOfCifar10::real_;

TEST_F(AuditOfCifar10, TinyCropsDestroyTheContent) {
  const auto found = audit(
      *real_, "simclr",
      {{"random_resized_crop.scale_min", "0.001"}, {"random_resized_crop.scale_max", "0.01"}});
  EXPECT_TRUE(has(found, Verdict::kDestroysContent, "of the image")) << text(found);
}

TEST_F(AuditOfCifar10, WithoutJitterColoursAreAShortcut) {
  const auto found = audit(*real_, "simclr", {{"color_jitter.probability", "0"}});
  EXPECT_TRUE(has(found, Verdict::kTooWeak, "colours alone")) << text(found);
}

TEST_F(AuditOfCifar10, WithEverythingOffViewsAreTheSamePicture) {
  const auto found = audit(*real_, "simclr",
                           {{"random_resized_crop.scale_min", "1"},
                            {"random_resized_crop.ratio_min", "1"},
                            {"random_resized_crop.ratio_max", "1"},
                            {"horizontal_flip.probability", "0"},
                            {"color_jitter.probability", "0"},
                            {"grayscale.probability", "0"},
                            {"gaussian_blur.probability", "0"}});
  EXPECT_TRUE(has(found, Verdict::kTooWeak, "the same picture")) << text(found);
  EXPECT_TRUE(has(audit(*real_, "none"), Verdict::kTooWeak, "the same picture"));
}

TEST_F(AuditOfCifar10, PublishedRecipesAreFine) {
  for (const std::string recipe : {"simclr", "moco_v2", "byol", "simsiam", "swav", "dino"}) {
    for (const auto& finding : audit(*real_, recipe)) {
      EXPECT_EQ(finding.verdict, Verdict::kFine) << recipe << ": " << finding.reason;
    }
  }
}

TEST(AuditOfFashionMnist, FlipsAndQuarterTurnsAreToBeChecked) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    GTEST_SKIP() << "Fashion-MNIST is not here (dataset-fashion-mnist)";
  }
  const auto real = read_images("fashion-mnist");
  const auto found = audit(real, "simclr+vertical_flip+rotation", {{"rotation.degrees", "90"}});
  EXPECT_TRUE(has(found, Verdict::kCheck, "as 6 and 9")) << text(found);
  EXPECT_FALSE(has(audit(real, "simclr"), Verdict::kCheck));
}

}  // namespace
}  // namespace viewfold
