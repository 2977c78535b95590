// Tests of the findings of an audit in words and as a table.
#include "viewfold/report/findings.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

EvaluationFile robustness(double clean) {
  return {.path = "eval/robustness.json",
          .content = {{"evaluation", "robustness"},
                      {"chance", 0.1},
                      {"numbers",
                       {{"clean_accuracy", clean},
                        {"accuracy", 0.55},
                        {"accuracy_fog", 0.5},
                        {"accuracy_severity_1", 0.7}}},
                      {"accuracy_by_severity",
                       {{"fog", {0.8, 0.7, 0.6, 0.44, 0.2}},
                        {"brightness", {0.8, 0.8, 0.79, 0.78, 0.77}},
                        {"glass_blur", {0.7, 0.6, 0.6, 0.6, 0.5}}}}}};
}

EvaluationFile invariance() {
  return {.path = "eval/invariance.json",
          .content = {
              {"evaluation", "invariance"},
              {"numbers", {{"similarity_hue", 0.9}}},
              {"similarity", {{"hue", 0.9}, {"h_flip", 0.95}, {"rotation", 0.3}, {"scale", 0.6}}}}};
}

// Clean 0.8 and chance 0.1: broken below 0.45, held from 0.73.
TEST(FindingSentences, SayWhereItBreaksAndWhereItHolds) {
  const auto sentences = finding_sentences({robustness(0.8)});
  ASSERT_EQ(sentences.size(), 3U);
  EXPECT_EQ(sentences[0],
            "Corrupted images are told apart in 55.0% of cases, clean ones in 80.0%.");
  EXPECT_EQ(sentences[1], "It breaks under fog (from severity 4).");
  EXPECT_EQ(sentences[2], "It holds under brightness.");
}

TEST(FindingSentences, SayNothingOfCorruptionsWhereCleanImagesAreGuessed) {
  const auto sentences = finding_sentences({robustness(0.14)});
  ASSERT_EQ(sentences.size(), 1U);
  EXPECT_NE(sentences[0].find("no better than by guessing (10.0%)"), std::string::npos);
  auto few = robustness(0.2);  // ten points above chance, but of 50 images
  few.content["split"] = "test";
  few.content["counts"] = {{"test", 50}};
  EXPECT_EQ(finding_sentences({few}).size(), 1U);
  few.content["counts"] = {{"test", 5000}};
  EXPECT_GT(finding_sentences({few}).size(), 1U);
}

TEST(FindingSentences, SayWhatSolidsAndAttacksShow) {
  const EvaluationFile solids{
      .path = "eval/solids.json",
      .content = {{"evaluation", "solids"},
                  {"numbers",
                   {{"invariance_pose", 0.9}, {"invariance_light", 0.3}, {"read_out_pose", 0.1}}}}};
  const EvaluationFile attacks{
      .path = "eval/adversarial.json",
      .content = {{"evaluation", "adversarial"},
                  {"numbers", {{"clean_accuracy", 0.5}, {"accuracy_pgd_4", 0.25}}}}};
  const auto sentences = finding_sentences({attacks, solids});
  ASSERT_EQ(sentences.size(), 3U);
  EXPECT_EQ(sentences[0], "Of rendered solids it ignores pose.");
  EXPECT_EQ(sentences[1], "Of rendered solids it sees light.");
  EXPECT_EQ(sentences[2],
            "The worst changes of 4/255 that were found take accuracy from 50.0% to 25.0%.");
}

// fog: errors 2.26; glass_blur: 2.0; brightness: 1.06.
TEST(AuditTable, EndsWithTheMeanCorruptionErrorBesideTheFirstRun) {
  auto other = robustness(0.8);
  other.content["accuracy_by_severity"]["fog"] = {1.0, 1.0, 1.0, 1.0, 1.0};
  other.content["accuracy_by_severity"]["spatter"] = {0.0, 0.0, 0.0, 0.0, 0.0};  // is extra
  const auto table = audit_table({"a", "b"}, {{robustness(0.8)}, {other}});
  EXPECT_EQ(table.back(),
            (std::vector<std::string>{"Robustness, mCE beside the first", "100.0%", "66.7%"}));
  const auto alone = audit_table({"a"}, {{robustness(0.8)}});
  EXPECT_NE(alone.back().front(), "Robustness, mCE beside the first");
}

TEST(FindingSentences, SayWhatItIgnoresAndSeesTheClearestFirst) {
  const auto sentences = finding_sentences({invariance()});
  ASSERT_EQ(sentences.size(), 2U);
  EXPECT_EQ(sentences[0], "It ignores h flip, hue.");
  EXPECT_EQ(sentences[1], "It sees rotation.");
}

TEST(FindingSentences, TellTestImagesThatWereTrainedOn) {
  EvaluationFile file{
      .path = "eval/duplicates.json",
      .content = {{"evaluation", "duplicates"},
                  {"numbers", {{"test_images_with_twin", 1040}, {"test_twin_share", 0.104}}}}};
  const auto sentences = finding_sentences({file});
  ASSERT_EQ(sentences.size(), 1U);
  EXPECT_EQ(sentences[0],
            "Test images with a near duplicate among the training images: 1,040 (10.4%). "
            "Accuracies on them say less than they seem to.");
  for (const json& none : {json(0), json(), json("many")}) {
    file.content["numbers"]["test_images_with_twin"] = none;
    EXPECT_TRUE(finding_sentences({file}).empty()) << none;
  }
}

TEST(FindingSentences, AreNoneWithoutAnAudit) {
  EXPECT_TRUE(
      finding_sentences({{.path = "eval/knn.json",
                          .content = {{"evaluation", "knn"}, {"numbers", {{"accuracy", 0.5}}}}}})
          .empty());
}

TEST(FindingSentences, NameAFileThatLacksItsNumbers) {
  auto file = robustness(0.8);
  file.content.erase("accuracy_by_severity");
  EXPECT_THROW((void)finding_sentences({file}), DataError);
  file = robustness(0.8);
  file.content["accuracy_by_severity"]["fog"] = "low";
  EXPECT_THROW((void)finding_sentences({file}), DataError);
  file = robustness(0.8);
  file.content["numbers"].erase("clean_accuracy");
  try {
    (void)finding_sentences({file});
    FAIL() << "there is no clean accuracy";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("robustness.json"), std::string::npos);
  }
}

TEST(AuditTable, HasAColumnForEachRunAndLeavesSingleCorruptionsOut) {
  const auto table = audit_table({"a", "b"}, {{robustness(0.8), invariance()}, {robustness(0.7)}});
  const std::vector<std::vector<std::string>> expected{
      {"number", "a", "b"},
      {"Invariance, similarity hue", "0.9", "-"},
      {"Robustness, accuracy", "55.0%", "55.0%"},
      {"Robustness, accuracy severity 1", "70.0%", "70.0%"},
      {"Robustness, clean accuracy", "80.0%", "70.0%"},
      {"Robustness, mCE beside the first", "100.0%", "100.0%"}};
  EXPECT_EQ(table, expected);
}

TEST(AuditTable, KeepsNumbersOfOtherImagesApart) {
  auto here = robustness(0.8);
  here.content["dataset"] = "here";
  auto there = robustness(0.8);
  there.content["dataset"] = "there";
  const auto table = audit_table({"a", "b"}, {{here}, {there}});
  ASSERT_EQ(table.size(), 7U);
  EXPECT_EQ(table[1], (std::vector<std::string>{"Robustness, accuracy (here)", "55.0%", "-"}));
  EXPECT_EQ(table[4], (std::vector<std::string>{"Robustness, accuracy (there)", "-", "55.0%"}));
}

}  // namespace
}  // namespace viewfold::report
