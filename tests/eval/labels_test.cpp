// Tests of what evaluations by label share.
#include "viewfold/eval/detail/labels.hpp"

#include <limits>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

EvaluationInput good_input() {
  return {.train = {at::rand({4, 3}), at::tensor({0, 2, 1, 0}, at::kLong)},
          .test = {at::rand({2, 3}), at::tensor({2, 0}, at::kLong)},
          .classes = {}};
}

// What the DataError for `input` says; "" when there is none.
std::string data_error(const EvaluationInput& input) {
  try {
    (void)check_labelled(input);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST(CheckLabelled, CountsClassesByNameOrByLargestLabel) {
  auto input = good_input();
  EXPECT_EQ(check_labelled(input), 3);
  input.classes = {"a", "b", "c", "d", "e"};
  EXPECT_EQ(check_labelled(input), 5);
}

TEST(CheckLabelled, SaysWhichSetHasNoLabels) {
  auto input = good_input();
  input.test.labels = at::Tensor();
  EXPECT_NE(data_error(input).find("test set has no labels"), std::string::npos);
  input = good_input();
  input.train.labels = at::Tensor();
  EXPECT_NE(data_error(input).find("train set has no labels"), std::string::npos);
}

TEST(CheckLabelled, SaysWhichSetHasNoImages) {
  auto input = good_input();
  input.test = {at::rand({0, 3}), at::empty({0}, at::kLong)};
  EXPECT_NE(data_error(input).find("test set has no images"), std::string::npos);
}

TEST(CheckLabelled, NamesAClassThatWasNeverSeenInTraining) {
  auto input = good_input();
  input.classes = {"ant", "bee", "cat", "dog"};
  input.test.labels = at::tensor({3, 3}, at::kLong);
  EXPECT_NE(data_error(input).find("2 test images are of classes that no training image has, such "
                                   "as class dog"),
            std::string::npos)
      << data_error(input);
  input.classes = {};
  EXPECT_NE(data_error(input).find("number 3"), std::string::npos) << data_error(input);
  input.train.labels = at::tensor({0, 2, 2, 0}, at::kLong);
  input.test.labels = at::tensor({0, 1}, at::kLong);
  EXPECT_NE(data_error(input).find("1 test images"), std::string::npos) << data_error(input);
}

TEST(CheckLabelled, RefusesWhatACallerGotWrong) {
  const auto refuses = [](auto&& change) {
    auto input = good_input();
    change(input);
    EXPECT_THROW((void)check_labelled(input), ContractViolation);
  };
  refuses([](auto& input) { input.train.features = at::Tensor(); });
  refuses([](auto& input) { input.train.features = at::rand({4, 2}); });
  refuses([](auto& input) { input.train.features = at::rand({4, 3}, at::kDouble); });
  refuses([](auto& input) { input.train.features = at::rand({4}); });
  refuses([](auto& input) { input.test.labels = at::tensor({1}, at::kLong); });
  refuses([](auto& input) { input.test.labels = at::tensor({1, 0}, at::kInt); });
  refuses([](auto& input) { input.test.labels = at::tensor({-1, 0}, at::kLong); });
  refuses([](auto& input) { input.classes = {"a", "b"}; });
  refuses([](auto& input) { input.test.features[1][2] = std::numeric_limits<float>::infinity(); });
}

TEST(CompareLabels, CountsByTrueClassThenGuess) {
  const auto truth = at::tensor({0, 0, 1, 2, 2}, at::kLong);
  const auto guess = at::tensor({0, 1, 1, 2, 0}, at::kLong);
  const auto result = compare_labels(truth, guess, 4);
  EXPECT_EQ(result.confusion, (std::vector<std::vector<std::int64_t>>{
                                  {1, 1, 0, 0}, {0, 1, 0, 0}, {1, 0, 1, 0}, {0, 0, 0, 0}}));
  EXPECT_DOUBLE_EQ(result.numbers.at("accuracy"), 0.6);
}

}  // namespace
}  // namespace viewfold
