// Tests of alignment by features whose answer is known.
#include "viewfold/eval/alignment.hpp"

#include <cmath>

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::ImageList;
using testing::random_images;

std::shared_ptr<const Dataset> images(std::size_t count) {
  return std::make_shared<ImageList>(random_images(count, 16, 3));
}

TEST(Alignment, IsZeroOfFeaturesThatSeeNoDifference) {
  const auto result = measure_alignment(
      [](const Dataset& views) {
        return at::ones({static_cast<std::int64_t>(views.size()), 5}, at::kFloat);
      },
      images(6), {.size = 16, .seed = 1});
  EXPECT_EQ(result.numbers.at("alignment"), 0.0);
  EXPECT_EQ(result.numbers.at("distance_of_others"), 0.0);
}

TEST(Alignment, ComparesViewsOfOneImageWithThoseOfAnother) {
  // Image i is the i-th axis in its first view and lies 90 degrees / 3 off it in its second.
  bool is_second = false;
  const auto result = measure_alignment(
      [&is_second](const Dataset& views) {
        const auto count = static_cast<std::int64_t>(views.size());
        auto features = at::zeros({count, 2 * count}, at::kFloat);
        const double angle = is_second ? M_PI / 6.0 : 0.0;
        features.diagonal(0).fill_(7.0 * std::cos(angle));
        features.diagonal(count).fill_(7.0 * std::sin(angle));
        is_second = true;
        return features;
      },
      images(6), {.size = 16, .seed = 1});
  EXPECT_NEAR(result.numbers.at("alignment"), 2.0 - 2.0 * std::cos(M_PI / 6.0), 1e-6);
  EXPECT_NEAR(result.numbers.at("distance_of_others"), 2.0, 1e-6);
}

TEST(Alignment, MakesTwoDifferentViewsThatDependOnTheSeedAlone) {
  const auto pixels = [](const Dataset& views) {
    std::vector<at::Tensor> rows;
    for (std::size_t i = 0; i < views.size(); ++i) {
      const Image image = views.image(i);
      EXPECT_EQ(image.height(), 12);
      const auto values = image.values<std::uint8_t>();
      rows.push_back(
          at::tensor(std::vector<std::uint8_t>(values.begin(), values.end())).to(at::kFloat));
    }
    return at::stack(rows);
  };
  const auto measured = [&](std::uint64_t seed) {
    return measure_alignment(pixels, images(6), {.size = 12, .seed = seed}).numbers.at("alignment");
  };
  EXPECT_GT(measured(1), 0.0);
  EXPECT_EQ(measured(1), measured(1));
  EXPECT_NE(measured(1), measured(2));
}

TEST(Alignment, WantsTwoImages) {
  EXPECT_THROW((void)measure_alignment(
                   [](const Dataset&) {
                     return at::ones({1, 2});
                   },
                   images(1), {.size = 16, .seed = 1}),
               ContractViolation);
}

}  // namespace
}  // namespace viewfold
