// Tests of the whole page as text.
#include "viewfold/report/report.hpp"

#include <regex>
#include <string>

#include "core/test_folder.hpp"
#include "report/page_text.hpp"
#include "report/sample_run.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::count;
using testing::holds;
using testing::write_text;

std::string report_of(const fs::path& dir) {
  write_report(dir, dir / "report.html");
  return read_text_file(dir / "report.html");
}

TEST(Report, HasASectionForEverythingThatTheRunHolds) {
  const TestFolder folder("report");
  testing::write_sample_run(folder.path());
  testing::write_sample_audit(folder.path());
  auto evaluation = testing::sample_evaluation("knn", 0.89);
  evaluation["figures"] = {{{"file", "figures/views.png"}, {"title", "A figure"}}};
  write_text(folder.path() / "eval" / "knn.json", evaluation.dump());
  const std::string page = report_of(folder.path());
  for (const std::string id :
       {"results", "numbers", "confusion", "training", "views", "neighbours", "figures",
        "invariance", "robustness", "map", "duplicates", "settings", "card", "licences"}) {
    EXPECT_TRUE(holds(page, "<section id=\"" + id + "\"")) << id;
    EXPECT_TRUE(holds(page, "href=\"#" + id + "\"")) << id;
  }
  EXPECT_FALSE(holds(page, "<section id=\"missing\""));
  EXPECT_TRUE(holds(page, "<h1>simclr with resnet18 on shapes</h1>"));
  EXPECT_TRUE(holds(page, "data-status=\"finished\""));
  EXPECT_TRUE(holds(page, "temperature = 0.2"));
  EXPECT_TRUE(holds(page, "architecture.width"));
  EXPECT_TRUE(holds(page, "outputs are equal"));
  EXPECT_TRUE(holds(page, "Apache License"));
  EXPECT_EQ(count(page, "data:image/png;base64,iVBOR"), 4U);
  EXPECT_EQ(count(page, "data:image/jpeg;base64,/9j/"), 1U);
}

TEST(Report, NamesWhatIsMissingAndTheVerbThatMakesIt) {
  const TestFolder folder("report");
  write_text(folder.path() / "run.json", R"({"schema": 1, "status": "running"})");
  const std::string page = report_of(folder.path());
  EXPECT_TRUE(holds(page, "<section id=\"missing\""));
  for (const std::string id :
       {"results", "numbers", "confusion", "training", "views", "neighbours", "invariance",
        "robustness", "map", "duplicates", "settings", "card"}) {
    EXPECT_FALSE(holds(page, "<section id=\"" + id + "\"")) << id;
  }
  EXPECT_TRUE(holds(page, "`viewfold pretrain` records them"));
  EXPECT_TRUE(holds(page, "`viewfold evaluate` measures them"));
  EXPECT_TRUE(holds(page,
                    "Of an audit: invariance, robustness, map of embeddings, near duplicates. "
                    "`viewfold audit` measures them."));
  EXPECT_FALSE(std::regex_search(page, std::regex("`viewfold (train|eval)`")));
}

TEST(Report, NamesThePartsThatAnAuditLeftOut) {
  const TestFolder folder("report");
  testing::write_sample_run(folder.path());
  testing::write_sample_audit(folder.path());
  fs::remove(folder.path() / "eval" / "map.json");
  fs::remove(folder.path() / "eval" / "robustness.json");
  EXPECT_TRUE(holds(report_of(folder.path()),
                    "Of an audit: robustness, map of embeddings. `viewfold audit` measures them."));
}

TEST(Report, SaysEveryChartOfAnAuditInWords) {
  const TestFolder folder("report");
  testing::write_sample_run(folder.path());
  testing::write_sample_audit(folder.path());
  const std::string page = report_of(folder.path());
  for (const std::string text :
       {"<tr><th scope=\"row\">hue</th><td class=\"figure\">0.90</td><td>ignores it</td></tr>",
        "aria-label=\"rotation: the similarity is lowest, 0.08, at 240 degrees\"",
        "<tr><th scope=\"row\">gaussian noise</th><td class=\"figure\">80.0%</td>",
        "clean images <strong>90.0%</strong>", "<span>class 11</span><span class=\"note\">3</span>",
        "<tr><th scope=\"row\">train/1.png</th><td>test/9.png</td><td>training and test, "
        "mirrored</td>"
        "<td class=\"figure\">0.9987</td><td>same</td></tr>"}) {
    EXPECT_TRUE(holds(page, text)) << text;
  }
  // Pictures stand in the page once, and not among the data.
  const auto data = page.find("id=\"data\"");
  EXPECT_FALSE(holds(page.substr(data, page.find("</script>", data) - data), "base64"));
}

TEST(Report, OfTwoThousandThumbnailsIsAtMostFiveMegabytes) {
  const TestFolder folder("report");
  testing::write_sample_run(folder.path());
  testing::write_sample_audit(folder.path());
  auto map = testing::sample_map();
  auto point = map["points"][0];
  point["name"] = std::string(40, 'n');
  map["points"] = std::vector<nlohmann::json>(2000, point);
  map["sprite"] = {{"file", "figures/map.jpg"}, {"tile", 32}, {"columns", 50}};
  write_text(folder.path() / "eval" / "map.json", map.dump());
  testing::write_jpeg(folder.path() / "figures" / "map.jpg", 40 * 32, 50 * 32);
  const auto in_page = [](std::uintmax_t bytes) { return (bytes + 2) / 3 * 4; };
  const auto sprite = in_page(fs::file_size(folder.path() / "figures" / "map.jpg"));
  // A sprite of 2.5 MB beside everything else, but for pictures of the training.
  EXPECT_LE(report_of(folder.path()).size() - sprite + in_page(2'500'000U), 5'000'000U);
}

TEST(Report, TextsOfTheRunStayTexts) {
  const TestFolder folder("report");
  testing::write_sample_run(folder.path());
  const std::string hostile = "</script></title><script>alert(1)</script>'\"><img src=x onerror=y>";
  auto evaluation = testing::sample_evaluation(hostile, 0.5);
  for (const char* key : {"dataset", "split", "protocol"}) {
    evaluation[key] = hostile;
  }
  evaluation["numbers"][hostile] = 1.0;
  evaluation["controls"][hostile] = {{"accuracy", 0.1}};
  evaluation["confusion"]["classes"][0] = hostile;
  evaluation["figures"] = {{{"file", "figures/views.png"}, {"title", hostile}}};
  write_text(folder.path() / "eval" / "x.json", evaluation.dump());
  testing::write_sample_audit(folder.path());
  auto map = testing::sample_map();
  map["classes"][0] = hostile;
  map["points"][0]["name"] = hostile;
  write_text(folder.path() / "eval" / "map.json", map.dump());
  auto duplicates = testing::sample_duplicates();
  duplicates["pairs"][0]["a"] = hostile;
  duplicates["protocol"] = hostile;
  write_text(folder.path() / "eval" / "duplicates.json", duplicates.dump());
  nlohmann::json run{
      {"schema", 1}, {"version", hostile}, {"status", hostile}, {"created", hostile}};
  write_text(folder.path() / "run.json", run.dump());
  write_text(folder.path() / "card.json", nlohmann::json{{hostile, hostile}}.dump());
  nlohmann::json line{{"event", "train"}, {"step", 1}, {hostile, 2.0}};
  nlohmann::json alarm{{"event", "alarm"}, {"step", 1}, {"message", hostile}};
  write_text(folder.path() / "metrics.jsonl", line.dump() + "\n" + alarm.dump() + "\n");
  write_text(folder.path() / "resolved.toml", "x = '''" + hostile + "'''\n");
  const std::string page = report_of(folder.path());
  EXPECT_FALSE(holds(page, "<script>alert"));
  EXPECT_FALSE(holds(page, "<img src=x"));
  EXPECT_GT(count(page, "&lt;script&gt;alert(1)"), 10U);
}

TEST(Report, InvalidUtf8OfARunDoesNotReachThePage) {
  const TestFolder folder("report");
  testing::write_sample_run(folder.path());
  write_text(folder.path() / "card.json", "{\"name\": \"caf\xE9\"}");
  EXPECT_TRUE(holds(report_of(folder.path()), "caf\xEF\xBF\xBD"));
}

TEST(Report, IsWrittenWholeOrNotAtAll) {
  const TestFolder folder("report");
  testing::write_sample_run(folder.path());
  const fs::path page = folder.path() / "report.html";
  write_text(page, "the old report");
  write_text(folder.path() / "card.json", "{");
  EXPECT_THROW(write_report(folder.path(), page), DataError);
  EXPECT_EQ(read_text_file(page), "the old report");
  write_text(folder.path() / "card.json", "{}");
  const fs::path nowhere = folder.path() / "no" / "such" / "folder" / "r.html";
  EXPECT_THROW(write_report(folder.path(), nowhere), DataError);
}

TEST(Report, IsTheSameForTheSameRun) {
  const TestFolder folder("report");
  testing::write_sample_run(folder.path());
  EXPECT_EQ(report_of(folder.path()), report_of(folder.path()));
}

TEST(Report, RefersToNothingOutsideOfItself) {
  const TestFolder folder("report");
  testing::write_sample_run(folder.path());
  testing::write_sample_audit(folder.path());
  std::string page = report_of(folder.path());
  EXPECT_TRUE(holds(page, "content=\"default-src 'none'; img-src data:; "));
  // Scripts and licences hold addresses as text; markup and style must hold none.
  const auto cut = [&page](const std::string& begin, const std::string& end) {
    for (auto at = page.find(begin); at != std::string::npos; at = page.find(begin, at)) {
      page.erase(at, page.find(end, at) - at + end.size());
    }
  };
  cut("<script", "</script>");
  cut("<pre", "</pre>");
  EXPECT_FALSE(
      std::regex_search(page, std::regex("https?:|//[a-z]|@import|<link(?! rel=\"icon\")")));
  EXPECT_FALSE(std::regex_search(page, std::regex("url\\(|<iframe|<object|<base")));
}

}  // namespace
}  // namespace viewfold
