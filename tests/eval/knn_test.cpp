// Tests of weighted k-nearest-neighbour classification.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {
namespace {

using testing::normal_matrix;

at::Tensor labels(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::kLong);
}

at::Tensor random_labels(std::int64_t count, std::uint32_t classes, std::uint64_t seed) {
  Rng rng({.seed = seed, .stream = "labels"});
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(i < classes ? i : rng.below(classes));
  }
  return labels(values);
}

EvaluationResult knn(const EvaluationInput& input, const std::string& k, const std::string& t) {
  const auto& entry = find_evaluation("knn");
  const auto config = entry.config();
  ConfigSource source;
  source.set("k", k, "test");
  source.set("temperature", t, "test");
  read_config(*config, source);
  return entry.run(input, *config);
}

// The unit vector at this cosine to the first axis.
std::vector<float> at_cosine(double cosine) {
  return {static_cast<float>(cosine), static_cast<float>(std::sqrt(1.0 - cosine * cosine))};
}

at::Tensor rows(const std::vector<std::vector<float>>& values) {
  std::vector<at::Tensor> all;
  for (const auto& row : values) {
    all.push_back(at::tensor(row, at::kFloat));
  }
  return at::stack(all);
}

TEST(Knn, FindsEveryTrainingImageItselfWithOneNeighbour) {
  const auto features = normal_matrix(300, 8, 1);
  const auto truth = random_labels(300, 7, 2);
  const EvaluationInput input{.train = {features, truth}, .test = {features, truth}, .classes = {}};
  EXPECT_EQ(knn(input, "1", "0.1").numbers.at("accuracy"), 1.0);
}

TEST(Knn, LetsAnExactMatchOutvoteTwoAtNineTenths) {
  const auto bank = rows({at_cosine(0.9), at_cosine(1.0), at_cosine(0.9)});
  const EvaluationInput input{.train = {bank, labels({1, 0, 1})},
                              .test = {rows({{2.0F, 0.0F}}), labels({0})},
                              .classes = {}};
  // exp(-(1 - 0.9) / T) is worth half a vote at T = 0.1 / ln 2 = 0.1443.
  EXPECT_EQ(knn(input, "3", "0.1").numbers.at("accuracy"), 1.0);
  EXPECT_EQ(knn(input, "3", "0.14").numbers.at("accuracy"), 1.0);
  EXPECT_EQ(knn(input, "3", "0.15").numbers.at("accuracy"), 0.0);
}

TEST(Knn, AsksTheNearestOnly) {
  const auto bank = rows({at_cosine(0.9), at_cosine(0.8), at_cosine(0.7), at_cosine(0.6)});
  const EvaluationInput input{.train = {bank, labels({0, 1, 1, 1})},
                              .test = {rows({{1.0F, 0.0F}}), labels({0})},
                              .classes = {}};
  EXPECT_EQ(knn(input, "1", "100").numbers.at("accuracy"), 1.0);
  EXPECT_EQ(knn(input, "4", "100").numbers.at("accuracy"), 0.0);
}

TEST(Knn, CountsWhatIsTakenForWhat) {
  const auto bank = rows({{1.0F, 0.0F}, {0.0F, 1.0F}, {-1.0F, 0.0F}});
  const auto queries = rows({{1.0F, 0.1F}, {0.1F, 1.0F}, {0.9F, 0.2F}, {-1.0F, 0.1F}});
  const EvaluationInput input{
      .train = {bank, labels({0, 1, 2})}, .test = {queries, labels({0, 1, 2, 2})}, .classes = {}};
  const auto result = knn(input, "1", "0.1");
  EXPECT_EQ(result.confusion,
            (std::vector<std::vector<std::int64_t>>{{1, 0, 0}, {0, 1, 0}, {1, 0, 1}}));
  EXPECT_EQ(result.numbers.at("accuracy"), 0.75);
}

// Class by class and neighbour by neighbour, in double precision.
std::int64_t vote_by_loops(const at::Tensor& cosines,
                           const at::Tensor& truth,
                           std::int64_t k,
                           double temperature) {
  const auto* const cosine = cosines.data_ptr<double>();
  std::vector<std::int64_t> order(static_cast<std::size_t>(cosines.size(0)));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [cosine](std::int64_t a, std::int64_t b) { return cosine[a] > cosine[b]; });
  std::map<std::int64_t, double> score;
  for (std::int64_t i = 0; i < k; ++i) {
    const auto row = order[static_cast<std::size_t>(i)];
    score[truth[row].item<std::int64_t>()] += std::exp(cosine[row] / temperature);
  }
  return std::max_element(score.begin(), score.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

TEST(Knn, EqualsAVoteByLoops) {
  const auto bank = normal_matrix(120, 5, 3);
  const auto queries = normal_matrix(60, 5, 4);
  const auto bank_labels = random_labels(120, 4, 5);
  const auto query_labels = random_labels(60, 4, 6);
  const auto unit = [](const at::Tensor& m) {
    const auto wide = m.to(at::kDouble);
    return wide / wide.norm(2, {1}, true);
  };
  const auto cosines = unit(queries).mm(unit(bank).t()).contiguous();  // [60, 120]
  for (const std::int64_t k : {1, 7, 120}) {
    for (const double temperature : {0.02, 0.1, 1.0}) {
      std::int64_t right = 0;
      for (std::int64_t q = 0; q < 60; ++q) {
        const auto guess = vote_by_loops(cosines[q], bank_labels, k, temperature);
        right += guess == query_labels[q].item<std::int64_t>() ? 1 : 0;
      }
      const EvaluationInput input{
          .train = {bank, bank_labels}, .test = {queries, query_labels}, .classes = {}};
      const auto result = knn(input, std::to_string(k), std::to_string(temperature));
      EXPECT_EQ(result.numbers.at("accuracy"), static_cast<double>(right) / 60.0)
          << k << " " << temperature;
    }
  }
}

TEST(Knn, TakesTheWholeBankWhenItIsSmallerThanK) {
  const EvaluationInput input{.train = {at::eye(3), labels({0, 1, 1})},
                              .test = {at::eye(3), labels({0, 1, 1})},
                              .classes = {"a", "b"}};
  const auto result = knn(input, "200", "0.01");
  EXPECT_EQ(result.numbers.at("accuracy"), 1.0);
  EXPECT_NE(result.protocol.find("k = 3 (the whole bank; 200 asked for)"), std::string::npos)
      << result.protocol;
}

TEST(Knn, DefaultsToTheConstantsOfTheMocoDemo) {
  const auto config = find_evaluation("knn").config();
  EXPECT_EQ(print_config(*config), "k = 200\ntemperature = 0.1\n");
}

}  // namespace
}  // namespace viewfold
