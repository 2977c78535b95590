// Tests of retrieval.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/eval/evaluation.hpp"

namespace viewfold {
namespace {

using testing::normal_matrix;

EvaluationResult retrieve(const FeatureSet& bank, const FeatureSet& queries, std::int64_t depth) {
  const auto& entry = find_evaluation("retrieval");
  const auto config = entry.config();
  ConfigSource source;
  source.set("depth", std::to_string(depth), "test");
  read_config(*config, source);
  return entry.run({.train = bank, .test = queries, .classes = {}}, *config);
}

// Unit vectors at these angles to the first axis, in degrees.
at::Tensor at_angles(const std::vector<double>& degrees) {
  std::vector<float> values;
  for (const double degree : degrees) {
    const double angle = degree * M_PI / 180.0;
    values.push_back(static_cast<float>(std::cos(angle)));
    values.push_back(static_cast<float>(std::sin(angle)));
  }
  return at::tensor(values).view({-1, 2});
}

FeatureSet labelled(const at::Tensor& features, const std::vector<std::int64_t>& labels) {
  return {.features = features, .labels = at::tensor(labels, at::kLong)};
}

void expect_numbers(const EvaluationResult& result, const std::map<std::string, double>& numbers) {
  for (const auto& [name, value] : numbers) {
    EXPECT_NEAR(result.numbers.at(name), value, 1e-12) << name;
  }
}

// For a query at 0 degrees of class 0 hits come at ranks 2, 3 and 6.
FeatureSet six_in_order() {
  return labelled(at_angles({10, 20, 30, 40, 50, 60}), {1, 0, 0, 1, 1, 0});
}

TEST(Retrieval, EqualsARankingByHand) {
  const auto result = retrieve(six_in_order(), labelled(at_angles({0}), {0}), 0);
  expect_numbers(result, {{"map", (1.0 / 2.0 + 2.0 / 3.0 + 3.0 / 6.0) / 3.0},
                          {"recall_1", 0.0},
                          {"recall_5", 1.0},
                          {"recall_10", 1.0},
                          {"precision_10", 0.5},
                          {"accuracy", 0.0}});
}

TEST(Retrieval, AveragesOverQueries) {
  // From the other end hits of class 0 come at ranks 1, 4 and 5.
  const auto result = retrieve(six_in_order(), labelled(at_angles({0, 70}), {0, 0}), 0);
  const double first = (1.0 / 2.0 + 2.0 / 3.0 + 3.0 / 6.0) / 3.0;
  const double second = (1.0 + 2.0 / 4.0 + 3.0 / 5.0) / 3.0;
  expect_numbers(result, {{"map", (first + second) / 2.0}, {"recall_1", 0.5}, {"accuracy", 0.5}});
  EXPECT_EQ(result.confusion, (std::vector<std::vector<std::int64_t>>{{1, 1}, {0, 0}}));
}

TEST(Retrieval, LooksNoDeeperThanAsked) {
  const auto query = labelled(at_angles({0}), {0});
  // Of the three images that are relevant no more than `depth` can be found.
  expect_numbers(retrieve(six_in_order(), query, 1), {{"map", 0.0}});
  expect_numbers(retrieve(six_in_order(), query, 2), {{"map", (1.0 / 2.0) / 2.0}});
  expect_numbers(retrieve(six_in_order(), query, 4), {{"map", (1.0 / 2.0 + 2.0 / 3.0) / 3.0}});
  expect_numbers(retrieve(six_in_order(), query, 1000), retrieve(six_in_order(), query, 0).numbers);
}

TEST(Retrieval, KeepsShortListsWhateverTheDepth) {
  const auto query = labelled(at_angles({0}), {0});
  expect_numbers(retrieve(six_in_order(), query, 1),
                 {{"recall_1", 0.0}, {"recall_5", 1.0}, {"precision_10", 0.5}});
}

TEST(Retrieval, CountsTheFirstTenOnly) {
  // Twelve neighbours: hits at ranks 6, 11 and 12.
  std::vector<double> angles(12);
  std::iota(angles.begin(), angles.end(), 1.0);
  const auto bank = labelled(at_angles(angles), {1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0});
  expect_numbers(retrieve(bank, labelled(at_angles({0}), {0}), 0),
                 {{"recall_1", 0.0},
                  {"recall_5", 0.0},
                  {"recall_10", 1.0},
                  {"precision_10", 0.1},
                  {"map", (1.0 / 6.0 + 2.0 / 11.0 + 3.0 / 12.0) / 3.0}});
}

TEST(Retrieval, GivesOneWhenEveryClassIsADirection) {
  const auto bank = labelled(at_angles({0, 90, 180, 0, 90, 180}), {0, 1, 2, 0, 1, 2});
  const auto queries = labelled(at_angles({5, 85, 185}), {0, 1, 2});
  expect_numbers(retrieve(bank, queries, 0), {{"map", 1.0}, {"recall_1", 1.0}, {"accuracy", 1.0}});
}

// Query by query in double precision.
double map_by_loops(const FeatureSet& bank, const FeatureSet& queries, std::int64_t depth) {
  const auto unit = [](const at::Tensor& m) {
    const auto wide = m.to(at::kDouble);
    return wide / wide.norm(2, {1}, true);
  };
  const auto cosines = unit(queries.features).mm(unit(bank.features).t());
  const auto order = std::get<1>(cosines.sort(1, /*descending=*/true));
  double sum = 0.0;
  for (std::int64_t q = 0; q < order.size(0); ++q) {
    double hits = 0.0;
    double precisions = 0.0;
    for (std::int64_t rank = 0; rank < depth; ++rank) {
      const auto row = order[q][rank].item<std::int64_t>();
      if (bank.labels[row].equal(queries.labels[q])) {
        hits += 1.0;
        precisions += hits / static_cast<double>(rank + 1);
      }
    }
    const auto relevant = bank.labels.eq(queries.labels[q]).sum().item<std::int64_t>();
    sum += precisions / static_cast<double>(std::min(relevant, depth));
  }
  return sum / static_cast<double>(order.size(0));
}

TEST(Retrieval, EqualsAveragesByLoops) {
  // With these seeds no two cosines are nearer than 5e-5: rounding changes no ranking.
  const auto labels = at::arange(60, at::kLong).remainder(4);
  const FeatureSet bank{.features = normal_matrix(60, 5, 5), .labels = labels};
  const FeatureSet queries{.features = normal_matrix(8, 5, 102), .labels = labels.narrow(0, 0, 8)};
  for (const std::int64_t depth : {1, 10, 37, 60}) {
    EXPECT_NEAR(retrieve(bank, queries, depth).numbers.at("map"),
                map_by_loops(bank, queries, depth), 1e-12)
        << depth;
  }
}

TEST(Retrieval, GivesTheSameInBlocksOfQueries) {
  const auto labels = at::arange(1000, at::kLong).remainder(3);
  const FeatureSet bank{.features = normal_matrix(1000, 4, 3), .labels = labels};
  const FeatureSet three{.features = normal_matrix(3, 4, 4), .labels = labels.narrow(0, 0, 3)};
  const FeatureSet many{.features = three.features.repeat({1500, 1}),
                        .labels = three.labels.repeat({1500})};
  const auto few = retrieve(bank, three, 0);
  const auto all = retrieve(bank, many, 0);
  for (const auto& [name, value] : few.numbers) {
    // Near cosines may change places: how they are summed depends on the number of queries.
    EXPECT_NEAR(all.numbers.at(name), value, 1e-4) << name;
  }
}

}  // namespace
}  // namespace viewfold
