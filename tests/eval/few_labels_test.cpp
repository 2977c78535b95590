// Tests of the probe with few labels.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {
namespace {

using testing::normal_matrix;
using Settings = std::vector<std::pair<std::string, std::string>>;

EvaluationResult run(const std::string& name,
                     const EvaluationInput& input,
                     const Settings& settings) {
  const auto& entry = find_evaluation(name);
  const auto config = entry.config();
  ConfigSource source;
  for (const auto& [key, value] : settings) {
    source.set(key, value, "test");
  }
  read_config(*config, source);
  return entry.run(input, *config);
}

EvaluationResult probe(const EvaluationInput& input, const Settings& settings = {{"l2", "1"}}) {
  return run("few_labels", input, settings);
}

/// `count` points of each class around its centre.
FeatureSet clusters(const at::Tensor& centres,
                    std::int64_t count,
                    double spread,
                    std::uint64_t seed) {
  const std::int64_t classes = centres.size(0);
  const auto labels = at::arange(classes, at::kLong).repeat({count});
  const auto noise = normal_matrix(classes * count, centres.size(1), seed);
  return {.features = centres.index_select(0, labels) + noise * spread, .labels = labels};
}

EvaluationInput noisy_input() {
  const auto centres = normal_matrix(5, 8, 1);
  return {.train = clusters(centres, 200, 1.5, 2),
          .test = clusters(centres, 100, 1.5, 3),
          .classes = {},
          .seed = 4};
}

std::string quotas(const EvaluationResult& result) {
  const auto begin = result.protocol.find("images: ") + 8;
  return result.protocol.substr(begin, result.protocol.find("; mean") - begin);
}

TEST(FewLabels, SeparatesWhatOneLabelOfEachClassSeparates) {
  const auto centres = normal_matrix(4, 16, 5) * 5.0;
  const auto result = probe({.train = clusters(centres, 50, 0.2, 6),
                             .test = clusters(centres, 30, 0.2, 7),
                             .classes = {}});
  for (const char* name : {"accuracy_1", "accuracy_10", "accuracy"}) {
    EXPECT_EQ(result.numbers.at(name), 1.0) << name;
  }
  EXPECT_EQ(result.numbers.at("sd_1"), 0.0);
  EXPECT_EQ(result.numbers.at("sd_10"), 0.0);
}

TEST(FewLabels, DrawsTheSameNumberOfEachClass) {
  // 600, 300 and 100 images: a tenth of all are 100 labels, 33 of each class.
  const auto labels =
      at::cat({at::zeros({600}, at::kLong), at::ones({300}, at::kLong), at::full({100}, 2L)});
  const FeatureSet set{.features = normal_matrix(1000, 4, 8), .labels = labels};
  const auto result =
      probe({.train = set, .test = set, .classes = {}}, {{"l2", "1"}, {"iterations", "1"}});
  EXPECT_EQ(quotas(result),
            "1 % is 9 labels, up to 3 of each class; 10 % is 99 labels, up to 33 of each class");
}

TEST(FewLabels, DrawsAtLeastOneOfEachClassAndNoMoreThanThereAre) {
  // 10 % of 103 images are 5 of each of two classes, of which one has 3.
  const auto labels = at::cat({at::zeros({100}, at::kLong), at::full({3}, 7L)});
  const FeatureSet set{.features = normal_matrix(103, 4, 9), .labels = labels};
  const auto result =
      probe({.train = set, .test = set, .classes = {}}, {{"l2", "1"}, {"iterations", "1"}});
  EXPECT_EQ(quotas(result),
            "1 % is 2 labels, up to 1 of each class; 10 % is 8 labels, up to 5 of each class");
}

TEST(FewLabels, IsTheLinearProbeWhereAllLabelsAreDrawn) {
  // One training image of each class: both shares take all of them.
  const auto centres = normal_matrix(6, 10, 10);
  const EvaluationInput input{.train = {.features = centres, .labels = at::arange(6, at::kLong)},
                              .test = clusters(centres, 50, 1.0, 11),
                              .classes = {}};
  const double expected = run("linear", input, {{"l2", "1"}}).numbers.at("accuracy");
  const auto numbers = probe(input).numbers;
  // The order of rows differs, and with it the last bits: one image on the edge may move.
  EXPECT_NEAR(numbers.at("accuracy_1"), expected, 1.001 / 300.0);
  EXPECT_EQ(numbers.at("accuracy_10"), numbers.at("accuracy_1"));
  EXPECT_LT(expected, 1.0);
}

TEST(FewLabels, GivesMeanAndDeviationOfItsDraws) {
  const auto of = [](const char* draws) {
    return probe(noisy_input(), {{"l2", "1"}, {"draws", draws}}).numbers;
  };
  const auto two = of("2");
  const auto three = of("3");
  for (const std::string percent : {"1", "10"}) {
    const double mean_of_two = two.at("accuracy_" + percent);
    const double mean = three.at("accuracy_" + percent);
    // Two values are their mean plus and minus sd / sqrt(2); a third one is what moves the mean.
    const double half = two.at("sd_" + percent) / std::sqrt(2.0);
    double squares = 0.0;
    for (const double value :
         {mean_of_two - half, mean_of_two + half, 3.0 * mean - 2.0 * mean_of_two}) {
      squares += (value - mean) * (value - mean);
    }
    EXPECT_NEAR(three.at("sd_" + percent), std::sqrt(squares / 2.0), 1e-9) << percent;
    EXPECT_GT(three.at("sd_" + percent), 0.0) << percent;
  }
}

TEST(FewLabels, KnowsMoreWithMoreLabels) {
  const auto numbers = probe(noisy_input()).numbers;
  EXPECT_GT(numbers.at("accuracy_10"), numbers.at("accuracy_1") + 0.02);
  EXPECT_EQ(numbers.at("accuracy"), numbers.at("accuracy_10"));
}

TEST(FewLabels, DrawsAnewForAnotherSeed) {
  auto input = noisy_input();
  const auto first = probe(input).numbers;
  EXPECT_EQ(probe(input).numbers, first);
  input.seed = 5;
  EXPECT_NE(probe(input).numbers, first);
}

TEST(FewLabels, RefusesASingleDraw) {
  EXPECT_THROW((void)probe(noisy_input(), {{"draws", "1"}}), UsageError);
}

}  // namespace
}  // namespace viewfold
