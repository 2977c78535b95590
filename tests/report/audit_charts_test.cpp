// Tests of what the page shows of an audit, and of what it refuses.
#include "viewfold/report/audit_charts.hpp"

#include <functional>
#include <limits>
#include <string>

#include "core/test_folder.hpp"
#include "report/page_text.hpp"
#include "report/sample_run.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;
using testing::holds;

std::vector<EvaluationFile> only(const json& content) {
  return {{.path = "run/eval/" + content["evaluation"].get<std::string>() + ".json",
           .content = content}};
}

// The message with which `work` refuses its input.
std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const DataError& problem) {
    return problem.what();
  }
  return "nothing is refused";
}

class AuditCharts : public ::testing::Test {
 protected:
  void SetUp() override { testing::write_sample_audit(folder_.path()); }

  // The models of one file; the others are none.
  [[nodiscard]] json model(const json& content) const {
    const auto files = only(content);
    for (json found : {invariance_model(files), robustness_model(files),
                       map_model(folder_.path(), files), duplicates_model(folder_.path(), files)}) {
      if (!found.is_null()) {
        return found;
      }
    }
    return {};
  }

  void expect_refused(const json& content, const std::string& key) const {
    const std::string said = refusal([&] { (void)model(content); });
    const std::string file = content["evaluation"].get<std::string>() + ".json";
    EXPECT_TRUE(holds(said, "run/eval/" + file)) << said;
    EXPECT_TRUE(holds(said, "\"" + key + "\"")) << said;
  }

  const TestFolder folder_{"audit_charts"};
};

TEST_F(AuditCharts, AreNoneWithoutAnAudit) {
  EXPECT_TRUE(model(testing::sample_evaluation("knn", 0.5)).is_null());
}

TEST_F(AuditCharts, FamiliesStandHighestFirstWithTheirVerdict) {
  const json families = model(testing::sample_invariance())["families"];
  ASSERT_EQ(families.size(), 4U);
  EXPECT_EQ(families[0],
            (json{{"title", "hue"}, {"value", 0.9}, {"text", "0.90"}, {"verdict", "ignores"}}));
  EXPECT_EQ(families[1]["title"], "h flip");
  EXPECT_EQ(families[1]["verdict"], "");
  EXPECT_EQ(families[2]["verdict"], "sees");
  EXPECT_EQ(families[3]["text"], "-0.02");
}

TEST_F(AuditCharts, VerdictsBeginWhereTheFindingsSayTheyDo) {
  auto content = testing::sample_invariance();
  content["similarity"] = {{"a", 0.8}, {"b", 0.7999}, {"c", 0.4}, {"d", 0.3999}};
  const json families = model(content)["families"];
  EXPECT_EQ(families[0]["verdict"], "ignores");
  EXPECT_EQ(families[1]["verdict"], "");
  EXPECT_EQ(families[2]["verdict"], "");
  EXPECT_EQ(families[3]["verdict"], "sees");
}

TEST_F(AuditCharts, ResponsesStandByStrengthAndKeepTheirGaps) {
  auto content = testing::sample_invariance();
  content["curves"][0]["strengths"] = {240.0, 0.0, 120.0};
  const json curves = model(content)["curves"];
  ASSERT_EQ(curves.size(), 3U);
  EXPECT_EQ(curves[0]["points"], (json{{0.0, 0.12}, {120.0, 0.08}, {240.0, 1.0}}));
  EXPECT_EQ(curves[0]["label"], "rotation: the similarity is lowest, 0.08, at 120 degrees");
  EXPECT_EQ(curves[1]["label"], "h flip: the similarity is lowest, 0.55, where it is applied");
  EXPECT_TRUE(curves[2]["points"][1][1].is_null());
  EXPECT_TRUE(curves[2]["is_ratio"]);
  EXPECT_FALSE(curves[0]["is_ratio"]);
  content["curves"][1]["similarity"] = {nullptr, nullptr};
  EXPECT_EQ(model(content)["curves"][1]["label"], "h flip: no similarity was measured");
}

TEST_F(AuditCharts, FactorsThatReachZeroLieByTheirDifferences) {
  auto content = testing::sample_invariance();
  content["curves"][2]["strengths"] = {0.0, 0.5, 1.0, 2.0};
  EXPECT_FALSE(model(content)["curves"][2]["is_ratio"]);
}

TEST_F(AuditCharts, RefuseInvarianceThatIsNone) {
  const json sample = testing::sample_invariance();
  for (const json& wrong : {json(1.5), json("low"), json{0.1, 0.2}, json(), json::object()}) {
    auto content = sample;
    content["similarity"]["hue"] = wrong;
    expect_refused(content, "similarity");
  }
  for (const char* key : {"family", "identity", "strengths", "similarity"}) {
    auto content = sample;
    content["curves"][1].erase(key);
    expect_refused(content, "curves");
    expect_refused(content, key);
    content["curves"][1][key] = json{{"a", 1}};
    expect_refused(content, key);
  }
  auto content = sample;
  content["curves"][0]["strengths"] = {0.0, 1e300, 2.0};
  expect_refused(content, "strengths");
  content["curves"][0]["strengths"] = {0.0, 1.0};  // fewer than cosines
  expect_refused(content, "strengths");
  content["curves"] = 3;
  expect_refused(content, "curves");
  content["curves"] = {1, 2};
  expect_refused(content, "curves");
}

TEST_F(AuditCharts, CorruptionsStandMostHarmfulFirstWithAHoleWhereNothingWasMeasured) {
  auto content = testing::sample_robustness();
  content["accuracy_by_severity"]["fog"] = {0.88, 0.8};
  const json robustness = model(content);
  EXPECT_EQ(robustness["clean"], "90.0%");
  EXPECT_EQ(robustness["chance"], "25.0%");
  EXPECT_EQ(robustness["severities"], (json{1, 2, 3, 4, 5}));
  ASSERT_EQ(robustness["rows"].size(), 3U);
  EXPECT_EQ(robustness["rows"][0]["title"], "gaussian noise");
  EXPECT_EQ(robustness["rows"][1]["title"], "fog");
  EXPECT_EQ(robustness["rows"][1]["cells"], (json{"88.0%", "80.0%", "-", "-", "-"}));
  EXPECT_TRUE(robustness["rows"][1]["values"][2].is_null());
  EXPECT_EQ(robustness["low"], 0.25);
  EXPECT_EQ(robustness["high"], 0.9);
}

TEST_F(AuditCharts, SharesOfAccuracyAboveChanceNeedSomeOfIt) {
  auto content = testing::sample_robustness();
  EXPECT_EQ(model(content)["share"], (json{{"clean", 0.9}, {"chance", 0.25}}));
  content["numbers"]["clean_accuracy"] = 0.25;
  EXPECT_TRUE(model(content)["share"].is_null());
  content.erase("chance");
  EXPECT_TRUE(model(content)["chance"].is_null());
}

TEST_F(AuditCharts, RefuseRobustnessThatIsNone) {
  const json sample = testing::sample_robustness();
  for (const json& wrong : {json(1.5), json(-0.1), json("low"), json(), json::array()}) {
    auto content = sample;
    content["numbers"]["clean_accuracy"] = wrong;
    expect_refused(content, "clean_accuracy");
    content = sample;
    content["chance"] = wrong;
    expect_refused(content, "chance");
    content = sample;
    content["accuracy_by_severity"]["fog"] = json::array({0.5, wrong});
    expect_refused(content, "accuracy_by_severity");
  }
  auto content = sample;
  content["accuracy_by_severity"] = {1, 2};
  expect_refused(content, "accuracy_by_severity");
}

TEST_F(AuditCharts, TooManyCorruptionsAreSaidAndNotDrawn) {
  auto content = testing::sample_robustness();
  content["accuracy_by_severity"]["fog"] = std::vector<double>(1000, 0.5);
  EXPECT_FALSE(model(content)["is_drawn"]);
  EXPECT_TRUE(model(content)["rows"].empty());
  content = testing::sample_robustness();
  for (int i = 0; i < 200; ++i) {
    content["accuracy_by_severity"][fmt::format("kind {}", i)] = {0.5};
  }
  EXPECT_FALSE(model(content)["is_drawn"]);
}

TEST_F(AuditCharts, PointsKeepTheirProportions) {
  auto content = testing::sample_map();
  content.erase("sprite");
  content["points"] = {{{"x", -2.0}, {"y", 7.0}, {"label", 3}, {"name", "a"}},
                       {{"x", 2.0}, {"y", 7.0}, {"label", -1}},
                       {{"x", 0.0}, {"y", 8.0}, {"label", 1}, {"name", "c"}}};
  const json map = model(content);
  EXPECT_EQ(map["points"]["x"], (json{0, 100000, 50000}));
  EXPECT_EQ(map["points"]["y"], (json{0, 0, 25000}));
  EXPECT_EQ(map["points"]["name"], (json{"a", "", "c"}));
  EXPECT_TRUE(map["sprite"].is_null());
}

TEST_F(AuditCharts, ClassesOfTheMapAreThoseThatHaveImages) {
  auto content = testing::sample_map();
  content["points"] = {{{"x", 0}, {"y", 0}, {"label", 7}},
                       {{"x", 1}, {"y", 1}, {"label", 2}},
                       {{"x", 2}, {"y", 2}, {"label", 7}},
                       {{"x", 3}, {"y", 3}, {"label", -1}}};
  const json map = model(content);
  EXPECT_EQ(map["classes"], (json{"class 2", "class 7"}));
  EXPECT_EQ(map["points"]["class"], (json{1, 0, 1, -1}));
  ASSERT_EQ(map["legend"].size(), 3U);
  EXPECT_EQ(map["legend"][1], (json{{"index", 1}, {"name", "class 7"}, {"count", "2"}}));
  EXPECT_EQ(map["legend"][2], (json{{"index", -1}, {"name", "no class"}, {"count", "1"}}));
}

TEST_F(AuditCharts, PointsAtTheEndsOfNumbersAndInOnePlaceHaveAPlace) {
  auto content = testing::sample_map();
  content.erase("sprite");
  constexpr double kMost = std::numeric_limits<double>::max();
  content["points"] = {{{"x", -kMost}, {"y", 0}, {"label", 0}},
                       {{"x", kMost}, {"y", 0}, {"label", 0}}};
  EXPECT_EQ(model(content)["points"]["x"], (json{0, 100000}));
  content["points"] = {{{"x", 5}, {"y", 5}, {"label", 0}}, {{"x", 5}, {"y", 5}, {"label", 0}}};
  EXPECT_EQ(model(content)["points"]["x"], (json{0, 0}));
}

TEST_F(AuditCharts, TheSpriteComesWithTheMap) {
  const json map = model(testing::sample_map());
  EXPECT_EQ(map["sprite"]["type"], "image/jpeg");
  EXPECT_EQ(map["sprite"]["tile"], 8);
  EXPECT_EQ(map["count"], "40");
  EXPECT_EQ(map["facts"], (json{{{"name", "trustworthiness"}, {"value", "0.9375"}}}));
}

TEST_F(AuditCharts, AMapWithoutItsSpriteHasNoPictures) {
  std::filesystem::remove(folder_.path() / "figures" / "map.jpg");
  EXPECT_TRUE(model(testing::sample_map())["sprite"].is_null());
}

TEST_F(AuditCharts, AMapWithoutPointsIsNone) {
  auto content = testing::sample_map();
  content["points"] = json::array();
  EXPECT_TRUE(model(content).is_null());
  content.erase("points");
  EXPECT_TRUE(model(content).is_null());
}

TEST_F(AuditCharts, RefuseAMapWhosePartsDoNotFit) {
  const json sample = testing::sample_map();
  for (const json& wrong : {json(12), json(-2), json(1.5), json("a"), json(), json(1ULL << 63U),
                            json(std::numeric_limits<std::uint64_t>::max())}) {
    auto content = sample;
    content["points"][7]["label"] = wrong;
    expect_refused(content, "label");
  }
  for (const char* key : {"x", "y", "label"}) {
    auto content = sample;
    content["points"][0].erase(key);
    expect_refused(content, "points");
  }
  auto content = sample;
  content["points"][3] = {1, 2};
  expect_refused(content, "points");
  content["points"] = {{"x", 1}};
  expect_refused(content, "points");
  content = sample;
  content["classes"][0] = 3;
  expect_refused(content, "classes");
  content.erase("classes");
  expect_refused(content, "classes");
}

TEST_F(AuditCharts, RefuseASpriteThatDoesNotHoldTheTiles) {
  const json sample = testing::sample_map();
  for (const char* key : {"file", "tile", "columns"}) {
    for (const json& wrong : {json(0), json(-1), json(1 << 20), json(), json("a"), json{1}}) {
      auto content = sample;
      content["sprite"][key] = wrong;
      if (wrong == "a" && content["sprite"]["file"] == "a") {
        continue;  // a name of a picture that is not there
      }
      expect_refused(content, "sprite");
    }
  }
  auto content = sample;
  content["sprite"] = 3;
  expect_refused(content, "sprite");
  content = sample;
  content["sprite"]["columns"] = 6;  // seven rows of 8 pixels, of 48
  expect_refused(content, "sprite");
  content = sample;
  content["sprite"]["tile"] = 9;
  expect_refused(content, "sprite");
}

TEST_F(AuditCharts, TooManyPointsAreSaidAndNotDrawn) {
  auto content = testing::sample_map();
  const json point = content["points"][0];
  content["points"] = std::vector<json>(20001, point);
  const json map = model(content);
  EXPECT_FALSE(map["is_drawn"]);
  EXPECT_EQ(map["count"], "20,001");
  EXPECT_TRUE(map["points"].is_null());
}

TEST_F(AuditCharts, ALegendEndsSomewhere) {
  auto content = testing::sample_map();
  content.erase("sprite");
  content["classes"] = json::array();
  content["points"] = json::array();
  for (int i = 0; i < 1250; ++i) {
    content["classes"].push_back(fmt::format("class {}", i));
    content["points"].push_back({{"x", i}, {"y", i}, {"label", i}});
  }
  const json map = model(content);
  EXPECT_EQ(map["legend"].size(), 200U);
  EXPECT_EQ(map["more"], "and 1,050 classes more");
}

TEST_F(AuditCharts, PairsAreWordedAndTheRestIsCounted) {
  auto content = testing::sample_duplicates();
  json duplicates = model(content);
  ASSERT_EQ(duplicates["pairs"].size(), 2U);
  EXPECT_EQ(duplicates["pairs"][0], (json{{"a", "train/1.png"},
                                          {"b", "test/9.png"},
                                          {"kind", "training and test, mirrored"},
                                          {"similarity", "0.9987"},
                                          {"labels", "same"}}));
  EXPECT_EQ(duplicates["pairs"][1]["labels"], "different");
  EXPECT_TRUE(duplicates["more"].is_null());
  EXPECT_EQ(duplicates["sheet"]["type"], "image/png");
  EXPECT_EQ(duplicates["facts"],
            (json{{{"name", "pairs across training and test images"}, {"value", "2"}},
                  {{"name", "test images with a twin in training"}, {"value", "2"}},
                  {{"name", "of all test images"}, {"value", "2.0%"}}}));
  json pair = content["pairs"][0];
  pair.erase("same_label");
  content["pairs"] = std::vector<json>(1300, pair);
  duplicates = model(content);
  EXPECT_EQ(duplicates["pairs"].size(), 20U);
  EXPECT_EQ(duplicates["pairs"][19]["labels"], "-");
  EXPECT_EQ(duplicates["more"], "The first 20 of 1,300 in eval/duplicates.json.");
}

TEST_F(AuditCharts, NoPairIsAResultToo) {
  auto content = testing::sample_duplicates();
  content.erase("pairs");
  content.erase("sheet");
  EXPECT_FALSE(model(content)["has_pairs"]);
  EXPECT_TRUE(model(content)["sheet"].is_null());
}

TEST_F(AuditCharts, RefusePairsThatAreNone) {
  const json sample = testing::sample_duplicates();
  for (const char* key : {"a", "b", "kind", "similarity", "same_label"}) {
    for (const json& wrong : {json::array(), json::object({{"x", 1}})}) {
      auto content = sample;
      content["pairs"][1][key] = wrong;
      expect_refused(content, key);
    }
  }
  auto content = sample;
  content["pairs"][0]["kind"] = "other";
  expect_refused(content, "kind");
  content = sample;
  content["pairs"] = std::vector<json>(30, sample["pairs"][0]);
  content["pairs"][29].erase("a");  // not shown, and wrong all the same
  expect_refused(content, "pairs");
  content = sample;
  content["sheet"] = 3;
  expect_refused(content, "sheet");
}

}  // namespace
}  // namespace viewfold::report
