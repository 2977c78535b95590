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
  auto evaluation = testing::sample_evaluation("knn", 0.89);
  evaluation["figures"] = {{{"file", "figures/views.png"}, {"title", "A figure"}}};
  write_text(folder.path() / "eval" / "knn.json", evaluation.dump());
  const std::string page = report_of(folder.path());
  for (const std::string id : {"results", "numbers", "confusion", "training", "views", "neighbours",
                               "figures", "settings", "card", "licences"}) {
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
  EXPECT_EQ(count(page, "data:image/png;base64,iVBOR"), 3U);
}

TEST(Report, NamesWhatIsMissingAndTheVerbThatMakesIt) {
  const TestFolder folder("report");
  write_text(folder.path() / "run.json", R"({"schema": 1, "status": "running"})");
  const std::string page = report_of(folder.path());
  EXPECT_TRUE(holds(page, "<section id=\"missing\""));
  for (const std::string id :
       {"results", "numbers", "confusion", "training", "views", "neighbours", "settings", "card"}) {
    EXPECT_FALSE(holds(page, "<section id=\"" + id + "\"")) << id;
  }
  EXPECT_TRUE(holds(page, "`viewfold pretrain` records them"));
  EXPECT_TRUE(holds(page, "`viewfold evaluate` measures them"));
  EXPECT_FALSE(std::regex_search(page, std::regex("`viewfold (train|eval)`")));
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
