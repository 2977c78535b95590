// Tests of clusters beside classes.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/rng.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {
namespace {

using testing::normal_matrix;
using Table = std::vector<std::vector<std::int64_t>>;

EvaluationResult cluster(const FeatureSet& set,
                         std::uint64_t seed = 0,
                         const std::string& restarts = "10") {
  const auto& entry = find_evaluation("clustering");
  const auto config = entry.config();
  ConfigSource source;
  source.set("restarts", restarts, "test");
  read_config(*config, source);
  return entry.run({.train = set, .test = set, .classes = {}, .seed = seed}, *config);
}

// table[i][j] images of class j at the i-th axis: that k-means finds the rows is certain.
FeatureSet at_axes(const Table& table) {
  std::vector<std::int64_t> axes;
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < table.size(); ++i) {
    for (std::size_t j = 0; j < table[i].size(); ++j) {
      for (std::int64_t n = 0; n < table[i][j]; ++n) {
        axes.push_back(static_cast<std::int64_t>(i));
        labels.push_back(static_cast<std::int64_t>(j));
      }
    }
  }
  const auto all = at::eye(static_cast<std::int64_t>(table.size()));
  return {.features = all.index_select(0, at::tensor(axes, at::kLong)),
          .labels = at::tensor(labels, at::kLong)};
}

void expect_numbers(const EvaluationResult& result, const std::map<std::string, double>& numbers) {
  for (const auto& [name, value] : numbers) {
    EXPECT_NEAR(result.numbers.at(name), value, 1e-12) << name;
  }
}

TEST(Clustering, GivesOneForClustersThatAreTheClasses) {
  expect_numbers(cluster(at_axes({{0, 7, 0}, {0, 0, 4}, {9, 0, 0}})),
                 {{"nmi", 1.0}, {"ari", 1.0}, {"purity", 1.0}, {"accuracy", 1.0}});
}

TEST(Clustering, EqualsTheHandValuesOfThreeToOne) {
  // 6 pairs together, 12 * 12 / 28 of them by chance, 12 at most: an ari of 1/8; each cluster tells
  // 1 - H(1/4) of the one bit of the class.
  const double h = -0.25 * std::log2(0.25) - 0.75 * std::log2(0.75);
  expect_numbers(cluster(at_axes({{3, 1}, {1, 3}})),
                 {{"nmi", 1.0 - h}, {"ari", 0.125}, {"purity", 0.75}, {"accuracy", 0.75}});
}

TEST(Clustering, EqualsTheHandValuesOfUnequalSizes) {
  // 2 and 1 images against 1 and 2: entropies are equal, I = H(1/3) - 2/3 of a bit.
  const double h = (std::log(3.0) + 2.0 * std::log(1.5)) / 3.0;
  const double information = h - 2.0 / 3.0 * std::log(2.0);
  expect_numbers(
      cluster(at_axes({{1, 1}, {0, 1}})),
      {{"nmi", information / h}, {"ari", -0.5}, {"purity", 2.0 / 3.0}, {"accuracy", 2.0 / 3.0}});
}

TEST(Clustering, FindsNoInformationInClustersThatCutEveryClassAlike) {
  // 4 pairs of 28 together, 36/7 by chance, 12 at most.
  expect_numbers(cluster(at_axes({{2, 2}, {2, 2}})),
                 {{"nmi", 0.0}, {"ari", -1.0 / 6.0}, {"purity", 0.5}, {"accuracy", 0.5}});
}

TEST(Clustering, AdjustsTheRandIndexToZeroForRandomLabels) {
  double sum = 0.0;
  constexpr std::uint64_t kDraws = 20;
  for (std::uint64_t draw = 0; draw < kDraws; ++draw) {
    Rng rng({.seed = draw, .stream = "labels"});
    Table table(4, std::vector<std::int64_t>(4));
    for (auto& row : table) {
      for (int i = 0; i < 50; ++i) {
        ++row[rng.below(4)];
      }
    }
    sum += cluster(at_axes(table), draw).numbers.at("ari");
  }
  // One draw deviates by 0.007 (as chi squared of the table, of 9 degrees of freedom): these are
  // five deviations of the mean.
  EXPECT_NEAR(sum / kDraws, 0.0, 0.008);
}

TEST(Clustering, MatchesOneToOneWhereTheGreedyChoiceIsWorse) {
  const auto result = cluster(at_axes({{10, 9}, {9, 0}}));
  EXPECT_DOUBLE_EQ(result.numbers.at("accuracy"), 18.0 / 28.0);  // 10 + 0 would be greedy
  EXPECT_DOUBLE_EQ(result.numbers.at("purity"), 19.0 / 28.0);    // both are of class 0
}

TEST(Clustering, UndoesAPermutationOfClasses) {
  const std::vector<std::size_t> order{3, 5, 0, 6, 1, 4, 2};
  Table table(7, std::vector<std::int64_t>(7, 1));
  for (std::size_t i = 0; i < order.size(); ++i) {
    table[i][order[i]] = 5;
  }
  const auto result = cluster(at_axes(table));
  EXPECT_DOUBLE_EQ(result.numbers.at("accuracy"), 35.0 / 77.0);
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(result.confusion[i][i], 5) << i;
  }
}

// The most images that a matching can have right, by trying all.
std::int64_t best_by_trying(const Table& table) {
  std::vector<std::size_t> order(table.size());
  std::iota(order.begin(), order.end(), 0);
  std::int64_t best = 0;
  do {
    std::int64_t right = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      right += table[i][order[i]];
    }
    best = std::max(best, right);
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

TEST(Clustering, MatchesAsWellAsTryingAllMatchings) {
  for (std::uint64_t draw = 0; draw < 30; ++draw) {
    Rng rng({.seed = draw, .stream = "table"});
    Table table(6, std::vector<std::int64_t>(6));
    std::int64_t all = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      for (std::size_t j = 0; j < 6; ++j) {
        table[i][j] = rng.below(12) + (i == j ? 1 : 0);  // neither side may lose a member
        all += table[i][j];
      }
    }
    EXPECT_DOUBLE_EQ(cluster(at_axes(table), draw).numbers.at("accuracy"),
                     static_cast<double>(best_by_trying(table)) / static_cast<double>(all))
        << draw;
  }
}

TEST(Clustering, SeesDirectionsOnly) {
  const Table table{{6, 1, 0}, {0, 5, 2}, {1, 0, 8}};
  const auto set = at_axes(table);
  const auto lengths = normal_matrix(set.features.size(0), 1, 1).abs().add(0.1).mul(100.0);
  expect_numbers(cluster({.features = set.features * lengths, .labels = set.labels}),
                 cluster(set).numbers);
}

TEST(Clustering, TakesAsManyClustersAsClassesOccur) {
  auto set = at_axes({{4, 0, 0}, {0, 5, 0}, {0, 0, 6}});
  set.labels = at::tensor({2, 5, 7}, at::kLong).index_select(0, set.labels);
  const auto& entry = find_evaluation("clustering");
  const std::vector<std::string> names{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
  const auto result = entry.run({.train = set, .test = set, .classes = names}, *entry.config());
  EXPECT_EQ(result.numbers.at("accuracy"), 1.0);
  EXPECT_NE(result.protocol.find("3 clusters"), std::string::npos) << result.protocol;
  ASSERT_EQ(result.confusion.size(), 10U);
  EXPECT_EQ(result.confusion[7][7], 6);
}

TEST(Clustering, KeepsTheTightestOfItsStarts) {
  // Many groups: a single start often puts two centres into one.
  const auto centres = normal_matrix(12, 16, 3);
  const auto labels = at::arange(12, at::kLong).repeat({20});
  const FeatureSet set{
      .features = centres.index_select(0, labels) + normal_matrix(240, 16, 4) * 0.3,
      .labels = labels};
  int perfect = 0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    EXPECT_EQ(cluster(set, seed, "30").numbers.at("accuracy"), 1.0) << seed;
    perfect += cluster(set, seed, "1").numbers.at("accuracy") == 1.0 ? 1 : 0;
  }
  EXPECT_LT(perfect, 10);
}

TEST(Clustering, BearsImagesThatAreAllTheSame) {
  const FeatureSet set{.features = at::ones({6, 3}),
                       .labels = at::tensor({0, 0, 0, 1, 1, 1}, at::kLong)};
  for (const auto& [name, value] : cluster(set).numbers) {
    EXPECT_TRUE(std::isfinite(value)) << name;
  }
}

}  // namespace
}  // namespace viewfold
