// What every row of the table of evaluations keeps to.
#include <cmath>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/config.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {
namespace {

// 10 classes of features that overlap a little.
EvaluationInput noisy_input() {
  torch::manual_seed(1);
  const auto centres = at::randn({10, 12});
  const auto set = [&centres](std::int64_t count) -> FeatureSet {
    const auto labels = at::arange(10, at::kLong).repeat({count});
    return {.features = centres.index_select(0, labels) + at::randn({10 * count, 12}),
            .labels = labels};
  };
  return {.train = set(30), .test = set(20), .classes = {}, .seed = 3};
}

void expect_sound(const EvaluationResult& result, std::int64_t tested) {
  ASSERT_TRUE(result.numbers.contains("accuracy"));
  for (const auto& [name, value] : result.numbers) {
    EXPECT_TRUE(std::isfinite(value)) << name;
    if (name.ends_with("accuracy")) {
      EXPECT_GE(value, 0.0) << name;
      EXPECT_LE(value, 1.0) << name;
    }
  }
  EXPECT_GT(result.numbers.at("accuracy"), 0.5);  // chance is 0.1
  std::int64_t total = 0;
  for (const auto& row : result.confusion) {
    EXPECT_EQ(row.size(), result.confusion.size());
    for (const std::int64_t count : row) {
      total += count;
    }
  }
  if (!result.confusion.empty()) {
    EXPECT_EQ(total, tested);
  }
}

class EveryEvaluation : public ::testing::TestWithParam<EvaluationEntry> {};

TEST_P(EveryEvaluation, GivesFiniteNumbersAndItsProtocol) {
  const auto& entry = GetParam();
  const auto input = noisy_input();
  const auto result = entry.run(input, *entry.config());
  expect_sound(result, input.test.labels.size(0));
  EXPECT_FALSE(result.protocol.empty());
  EXPECT_EQ(result.protocol.find('\n'), std::string::npos);
}

TEST_P(EveryEvaluation, GivesTheSameBitsForTheSameSeed) {
  const auto& entry = GetParam();
  const auto first = entry.run(noisy_input(), *entry.config());
  torch::rand({7});  // the global generator must not matter
  const auto second = entry.run(noisy_input(), *entry.config());
  EXPECT_EQ(first.numbers, second.numbers);
  EXPECT_EQ(first.confusion, second.confusion);
  EXPECT_EQ(first.protocol, second.protocol);
}

TEST_P(EveryEvaluation, ThrowsDataErrorWithoutTheLabelsThatItNeeds) {
  const auto& entry = GetParam();
  for (const bool of_test : {true, false}) {
    auto input = noisy_input();
    (of_test ? input.test : input.train).labels = at::Tensor();
    if (entry.needs_labels) {
      EXPECT_THROW((void)entry.run(input, *entry.config()), DataError);
      continue;
    }
    const auto result = entry.run(input, *entry.config());
    EXPECT_FALSE(result.numbers.contains("accuracy"));
    EXPECT_FALSE(result.numbers.empty());
    const auto labelled = entry.run(noisy_input(), *entry.config()).numbers;
    for (const auto& [name, value] : result.numbers) {
      EXPECT_EQ(value, labelled.at(name)) << name;
    }
  }
}

TEST_P(EveryEvaluation, RefusesShapesThatDoNotFit) {
  const auto& entry = GetParam();
  auto input = noisy_input();
  input.test.features = at::zeros({200, 13});
  EXPECT_THROW((void)entry.run(input, *entry.config()), ContractViolation);
}

TEST_P(EveryEvaluation, BearsFewImagesAndOneClass) {
  const auto& entry = GetParam();
  const FeatureSet one{.features = at::ones({1, 3}), .labels = at::zeros({1}, at::kLong)};
  const auto result =
      entry.run({.train = one, .test = one, .classes = {}, .seed = 1}, *entry.config());
  EXPECT_EQ(result.numbers.at("accuracy"), 1.0);
}

TEST_P(EveryEvaluation, ReadsBackThePrintedConfig) {
  const auto& entry = GetParam();
  const auto config = entry.config();
  const auto printed = print_config(*config);
  ConfigSource source;
  source.add_toml_text(printed, "printed");
  const auto again = entry.config();
  read_config(*again, source);
  EXPECT_EQ(print_config(*again), printed);
}

TEST_P(EveryEvaluation, IsFoundByNameAndDescribed) {
  const auto& entry = GetParam();
  EXPECT_EQ(find_evaluation(entry.name).run, entry.run);
  EXPECT_FALSE(entry.summary.empty());
  for (const auto& field : describe_config(*entry.config())) {
    EXPECT_FALSE(field.doc.empty()) << field.key;
  }
}

INSTANTIATE_TEST_SUITE_P(Table,
                         EveryEvaluation,
                         ::testing::ValuesIn(evaluation_table()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(EvaluationTable, RefusesAnUnknownNameWithTheNearest) {
  try {
    (void)find_evaluation("liner");
    FAIL() << "found what is not there";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean linear?"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace viewfold
