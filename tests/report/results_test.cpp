// Tests of cards, table, confusions and sentences of evaluations.
#include "viewfold/report/results.hpp"

#include <string>

#include "report/sample_run.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;
using testing::sample_evaluation;

std::vector<EvaluationFile> only(json content) {
  return {{"eval/x.json", std::move(content)}};
}

TEST(Results, CardsShowTheEncoderBeforeItsControls) {
  const json card = result_cards(only(sample_evaluation("knn", 0.89)))[0];
  EXPECT_EQ(card["title"], "Nearest neighbours");
  EXPECT_EQ(card["subject"], "shapes, test, 100 images");
  EXPECT_EQ(card["value"], "89.0%");
  ASSERT_EQ(card["bars"].size(), 3U);
  EXPECT_EQ(card["bars"][0]["label"], "this encoder");
  EXPECT_EQ(card["bars"][0]["is_control"], false);
  EXPECT_EQ(card["bars"][1]["label"], "raw pixels");
  EXPECT_EQ(card["bars"][1]["width"], 50.0);
  EXPECT_EQ(card["bars"][2]["is_control"], true);
  EXPECT_TRUE(card["verdict"].is_null());
}

TEST(Results, SayWhichControlIsNotBeaten) {
  const json card = result_cards(only(sample_evaluation("linear", 0.6)))[0];
  EXPECT_EQ(card["verdict"], "This does not beat the control: untrained encoder.");
  const json tie = result_cards(only(sample_evaluation("linear", 0.5)))[0];
  EXPECT_EQ(tie["verdict"], "This does not beat the control: raw pixels, untrained encoder.");
}

TEST(Results, AreNoCardWithoutAccuracyButStillRowsOfTheTable) {
  json content = sample_evaluation("rank", 0.5);
  content["numbers"] = {{"rank", 12.5}, {"broken", nullptr}};
  EXPECT_TRUE(result_cards(only(content)).empty());
  EXPECT_TRUE(result_sentences(only(content)).empty());
  const json table = result_table(only(content));
  EXPECT_EQ(table["rows"][0]["value"], "not a number");
  EXPECT_EQ(table["rows"][1]["value"], "12.5");
}

TEST(Results, TableHasOneCellForEachControlOfAnyEvaluation) {
  json other = sample_evaluation("linear", 0.75);
  other["controls"] = {{"supervised", {{"accuracy", 0.9}}}};
  const json table = result_table({{"a", sample_evaluation("knn", 0.89)}, {"b", other}});
  EXPECT_EQ(table["controls"], json({"raw pixels", "untrained encoder", "supervised"}));
  EXPECT_EQ(table["rows"][0]["cells"], json({"50.0%", "62.5%", ""}));
  EXPECT_EQ(table["rows"][2]["cells"], json({"", "", "90.0%"}));
  EXPECT_TRUE(result_table({}).is_null());
}

TEST(Results, BarsStayWithinTheirTrack) {
  const json card = result_cards(only(sample_evaluation("knn", 7.0)))[0];
  EXPECT_EQ(card["bars"][0]["width"], 100.0);
}

TEST(Results, SentenceHoldsAccuracySubjectAndControls) {
  EXPECT_EQ(result_sentences(only(sample_evaluation("knn", 0.89))),
            (std::vector<std::string>{
                "Nearest neighbours: 89.0% accuracy on shapes, test, 100 images, against 50.0% "
                "for raw pixels and 62.5% for untrained encoder."}));
}

TEST(Results, NeedNothingBesideNameAndNumbers) {
  const auto evaluations = only({{"evaluation", "knn"}, {"numbers", {{"accuracy", 0.5}}}});
  EXPECT_EQ(result_sentences(evaluations)[0], "Nearest neighbours: 50.0% accuracy.");
  EXPECT_EQ(result_cards(evaluations)[0]["subject"], "");
  EXPECT_TRUE(confusions_model(evaluations).empty());
}

TEST(Confusions, ListTheMostFrequentMistakesFirst) {
  const json confusion = confusions_model(only(sample_evaluation("linear", 0.89)))[0];
  EXPECT_EQ(confusion["title"], "Linear probe");
  EXPECT_EQ(confusion["is_drawn"], true);
  EXPECT_EQ(confusion["matrix"][1], json({1, 29, 5}));
  ASSERT_EQ(confusion["worst"].size(), 4U);
  EXPECT_EQ(confusion["worst"][0],
            (json{{"truth", "square"}, {"guess", "star"}, {"count", "5"}, {"share", "14.3%"}}));
}

TEST(Confusions, OfManyClassesAreNotDrawn) {
  json content = sample_evaluation("linear", 0.5);
  content["confusion"] = {{"classes", std::vector<std::string>(201, "c")},
                          {"matrix", std::vector<std::vector<int>>(201, std::vector<int>(201, 1))}};
  const json confusion = confusions_model(only(content))[0];
  EXPECT_EQ(confusion["is_drawn"], false);
  EXPECT_TRUE(confusion["matrix"].empty());
  EXPECT_EQ(confusion["worst"].size(), 5U);
}

TEST(Confusions, ThatAreNotSquareCountsAreDataErrorsOfTheirFile) {
  const std::vector<std::string> broken{"null",
                                        "3",
                                        "[]",
                                        "{}",
                                        R"({"classes": ["a"], "matrix": 1})",
                                        R"({"classes": "a", "matrix": [[1]]})",
                                        R"({"classes": ["a"], "matrix": [[1, 2]]})",
                                        R"({"classes": ["a", "b"], "matrix": [[1, 2], [3]]})",
                                        R"({"classes": ["a", "b"], "matrix": [[1]]})",
                                        R"({"classes": [1], "matrix": [[1]]})",
                                        R"({"classes": ["a"], "matrix": [[-1]]})",
                                        R"({"classes": ["a"], "matrix": [[1.5]]})",
                                        R"({"classes": ["a"], "matrix": [[true]]})",
                                        R"({"classes": ["a"], "matrix": [["1"]]})",
                                        R"({"classes": ["a"], "matrix": [[null]]})",
                                        R"({"classes": ["a"], "matrix": [[9223372036854775807]]})",
                                        R"({"classes": ["a"], "matrix": {"a": [1]}})"};
  for (const auto& text : broken) {
    json content = sample_evaluation("linear", 0.5);
    content["confusion"] = json::parse(text);
    try {
      (void)confusions_model(only(content));
      ADD_FAILURE() << text << " was taken";
    } catch (const DataError& problem) {
      EXPECT_EQ(std::string(problem.what()).find("eval/x.json: "), 0U) << problem.what();
    }
  }
}

TEST(Confusions, OfNoClassesAreEmpty) {
  json content = sample_evaluation("linear", 0.5);
  content["confusion"] = {{"classes", json::array()}, {"matrix", json::array()}};
  EXPECT_TRUE(confusions_model(only(content))[0]["worst"].empty());
}

}  // namespace
}  // namespace viewfold::report
