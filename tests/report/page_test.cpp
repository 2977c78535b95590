// Tests of the page in a browser without network, as it is and as a reader uses it.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <regex>
#include <sstream>
#include <string>

#include "core/test_folder.hpp"
#include "report/page_text.hpp"
#include "report/sample_run.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/files.hpp"
#include "viewfold/report/report.hpp"
#include "viewfold/report/view_page.hpp"

namespace viewfold {
namespace {

using testing::count;

namespace fs = std::filesystem;

// What the command prints, or nothing when it fails.
std::optional<std::string> output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) {
    return std::nullopt;
  }
  std::string text;
  std::array<char, 65536> part{};
  while (const std::size_t size = std::fread(part.data(), 1, part.size(), pipe)) {
    text.append(part.data(), size);
  }
  return ::pclose(pipe) == 0 ? std::optional(text) : std::nullopt;
}

// The first of the programs that there is.
std::optional<std::string> find_program(std::initializer_list<std::string> names) {
  for (const auto& name : names) {
    if (output_of("command -v " + name + " 2>&1")) {
      return name;
    }
  }
  return std::nullopt;
}

std::optional<std::string> find_browser() {
  return find_program({"chromium", "chromium-browser", "google-chrome"});
}

/// A page as the browser holds it after its scripts ran. A script that fails marks the body with
/// the attribute data-error.
struct Seen {
  std::string document;
  std::string console;  // what scripts said on the console, a line each
};

// The browser may reach no host, and gets a profile that lives in `folder`.
Seen open_page(const std::string& browser, const fs::path& folder, const std::string& file) {
  const fs::path messages = folder / "messages.txt";
  const auto document = output_of(fmt::format(
      "HOME='{0}' timeout 60 {1} --headless --no-sandbox --disable-gpu "
      "--disable-background-networking --disable-sync --disable-component-update --no-first-run "
      "--disable-dev-shm-usage --host-resolver-rules='MAP * ~NOTFOUND' "
      "--user-data-dir='{0}/profile' --window-size=1280,2000 --enable-logging=stderr --dump-dom "
      "'file://{0}/{3}' 2>'{2}'",
      folder.string(), browser, messages.string(), file));
  EXPECT_TRUE(document.has_value()) << browser << " failed:\n" << read_text_file(messages);
  std::istringstream lines(read_text_file(messages));
  std::string console;
  for (std::string line; std::getline(lines, line);) {
    console += line.find("CONSOLE") == std::string::npos ? "" : line + "\n";
  }
  return {document.value_or(""), console};
}

// Scripts hold addresses and markup as text; what was drawn stands outside of them.
std::string without_scripts(std::string text) {
  const std::string end = "</script>";
  for (auto at = text.find("<script"); at != std::string::npos; at = text.find("<script", at)) {
    text.erase(at, text.find(end, at) - at + end.size());
  }
  return text;
}

class Page : public ::testing::Test {
 protected:
  void SetUp() override {
    browser_ = find_browser();
    if (!browser_) {
      GTEST_SKIP() << "chromium is not installed (tools/install_packages.sh): the page is not "
                      "tested in a browser";
    }
  }

  Seen seen() {
    write_report(folder_.path(), folder_.path() / "report.html");
    return open_page(*browser_, folder_.path(), "report.html");
  }

  // The page of the sample run, opened once.
  const Seen& sample() {
    static const Seen page = [this] {
      testing::write_sample_run(folder_.path());
      testing::write_sample_audit(folder_.path());
      return seen();
    }();
    return page;
  }

  const TestFolder folder_{"report_page"};
  std::optional<std::string> browser_;
};

constexpr const char* kCurveBox = "data-curve=\"\" tabindex=\"0\"";

// Each chart with the attributes of its box and everything drawn into it.
std::vector<std::string> charts_in(const std::string& document, const std::string& mark) {
  std::vector<std::string> charts;
  for (auto at = document.find(mark); at != std::string::npos; at = document.find(mark, at + 1)) {
    charts.push_back(document.substr(at, document.find("</svg>", at) - at));
  }
  return charts;
}

TEST_F(Page, DrawsEveryCurveAndConfusionWithoutAnError) {
  const Seen& page = sample();
  EXPECT_EQ(page.console, "");
  EXPECT_EQ(count(page.document, "<body data-charts=\"16\">"), 1U);
  const std::string drawn = without_scripts(page.document);
  const auto curves = charts_in(drawn, kCurveBox);
  ASSERT_EQ(curves.size(), 8U);
  for (const auto& curve : curves) {
    EXPECT_NE(curve.find("<svg"), std::string::npos);
    EXPECT_NE(curve.find("fill=\"none\" stroke=\"#0b6e74\""), std::string::npos) << "no line";
    EXPECT_NE(curve.find("stroke=\"#a8410f\""), std::string::npos) << "no mark of the alarm";
    EXPECT_NE(curve.find("aria-label=\""), std::string::npos);
  }
  const auto confusions = charts_in(drawn, "data-confusion=\"\" tabindex=\"0\"");
  ASSERT_EQ(confusions.size(), 2U);
  for (const auto& confusion : confusions) {
    EXPECT_NE(confusion.find(">circle</text>"), std::string::npos);
    EXPECT_NE(confusion.find(">93</text>"), std::string::npos) << "40 of 43 circles are found";
  }
}

TEST_F(Page, DrawsTheChartsOfAnAudit) {
  const std::string drawn = without_scripts(sample().document);
  const auto bars = charts_in(drawn, "data-bars=\"\" tabindex=\"0\"");
  ASSERT_EQ(bars.size(), 1U);
  for (const std::string text : {"hue", "h flip", "0.90 ignores", "-0.02 sees", "0.55"}) {
    EXPECT_NE(bars[0].find(">" + text + "</text>"), std::string::npos) << text;
  }
  const auto responses = charts_in(drawn, "data-response=\"\" tabindex=\"0\"");
  ASSERT_EQ(responses.size(), 3U);
  for (const auto& response : responses) {
    EXPECT_NE(response.find("fill=\"none\" stroke=\"#0b6e74\""), std::string::npos) << "no line";
  }
  EXPECT_NE(responses[1].find(">yes</text>"), std::string::npos) << "a flip has two strengths";
  EXPECT_NE(responses[2].find(">0.25</text>"), std::string::npos) << "a factor is no logarithm";
  const auto severities = charts_in(drawn, "data-severities=\"\" tabindex=\"0\"");
  ASSERT_EQ(severities.size(), 1U);
  EXPECT_NE(severities[0].find(">26.0</text>"), std::string::npos) << "noise of severity 5";
  EXPECT_NE(drawn.find("<canvas class=\"points\" width="), std::string::npos);
}

// What Playwright does and sees, or why it could not.
TEST_F(Page, AnswersToMouseFingersAndKeysOnDesktopAndPhone) {
  const auto node = find_program({"node", "nodejs"});
  if (!node) {
    GTEST_SKIP() << "node is not installed (tools/install_packages.sh)";
  }
  const fs::path source = VIEWFOLD_SOURCE_DIR;
  if (!fs::exists(source / "web" / "node_modules" / "playwright-core")) {
    GTEST_SKIP() << "web/node_modules holds no playwright-core: run `npm ci --ignore-scripts` in "
                 << source / "web";
  }
  testing::write_sample_run(folder_.path());
  testing::write_sample_audit(folder_.path());
  write_report(folder_.path(), folder_.path() / "report.html");
  const auto browser = output_of("command -v " + *browser_).value_or("");
  const fs::path said = folder_.path() / "said.txt";
  const auto ran = output_of(fmt::format(
      "HOME='{0}' timeout 240 {1} '{2}' '{0}/report.html' '{0}/pictures' '{3}' >'{4}' 2>&1",
      folder_.path().string(), *node,
      (source / "tests" / "report" / "report_browser_test.mjs").string(),
      browser.substr(0, browser.find('\n')), said.string()));
  EXPECT_TRUE(ran.has_value()) << read_text_file(said);
  EXPECT_EQ(read_text_file(said), "passed\n");
  for (const std::string picture :
       {"desktop", "desktop-dark", "phone", "phone-dark", "map-zoomed"}) {
    EXPECT_TRUE(fs::exists(folder_.path() / "pictures" / (picture + ".png"))) << picture;
  }
}

TEST_F(Page, ReferencesNoResourceOfTheNetwork) {
  const std::string document = without_scripts(sample().document);
  EXPECT_GT(document.size(), 10000U);
  const std::regex reference(
      "(src|href|action|data|poster|srcset)=[\"']?(https?:)?//|@import|url\\((?!&quot;#|#)");
  EXPECT_FALSE(std::regex_search(document, reference));
}

// An audit in which every name is `hostile`.
void write_hostile_audit(const fs::path& dir, const std::string& hostile) {
  testing::write_sample_audit(dir);
  auto invariance = testing::sample_invariance();
  invariance["similarity"][hostile] = 0.5;
  invariance["similarity"]["__proto__"] = 0.5;
  invariance["curves"][0]["family"] = hostile;
  invariance["curves"][0]["unit"] = hostile;
  testing::write_text(dir / "eval" / "invariance.json", invariance.dump());
  auto robustness = testing::sample_robustness();
  robustness["accuracy_by_severity"][hostile] = {0.5};
  testing::write_text(dir / "eval" / "robustness.json", robustness.dump());
  auto map = testing::sample_map();
  map["classes"][0] = hostile;
  map["points"][0]["name"] = hostile;
  map["numbers"][hostile] = 1;
  testing::write_text(dir / "eval" / "map.json", map.dump());
  auto duplicates = testing::sample_duplicates();
  duplicates["pairs"][0]["a"] = hostile;
  duplicates["pairs"][0]["b"] = hostile;
  testing::write_text(dir / "eval" / "duplicates.json", duplicates.dump());
}

TEST_F(Page, TextsOfTheRunRunNoScript) {
  testing::write_sample_run(folder_.path());
  const std::string hostile =
      "</script><script>document.title='taken'</script><img src=x "
      "onerror=\"document.title='taken'\">";
  nlohmann::json line{{"event", "train"}, {"step", 1}, {"__proto__", 1.0}, {hostile, 2.0}};
  testing::write_text(folder_.path() / "metrics.jsonl", line.dump() + "\n");
  auto evaluation = testing::sample_evaluation(hostile, 0.5);
  evaluation["confusion"]["classes"][0] = hostile;
  testing::write_text(folder_.path() / "eval" / "knn.json", evaluation.dump());
  write_hostile_audit(folder_.path(), hostile);
  const Seen page = seen();
  EXPECT_EQ(count(page.document, "<title>simclr with resnet18 on shapes"), 1U);
  EXPECT_EQ(page.console, "");
  EXPECT_EQ(count(page.document, "<body data-charts=\"10\">"), 1U);
}

TEST_F(Page, OfARunWithoutNumbersHasNoError) {
  testing::write_text(folder_.path() / "run.json", R"({"schema": 1, "status": "running"})");
  const Seen page = seen();
  EXPECT_EQ(count(page.document, "<body data-charts=\"0\">"), 1U);
  EXPECT_EQ(page.console, "");
}

// The sprite without its end; its header is sound.
std::string cut_jpeg(const fs::path& dir) {
  const std::string whole = read_text_file(dir / "figures" / "map.jpg");
  return whole.substr(0, whole.size() - 20);
}

// Values that the formats allow and no audit gives.
TEST_F(Page, OfAnOddAuditHasNoError) {
  testing::write_text(folder_.path() / "run.json", R"({"schema": 1, "status": "running"})");
  testing::write_sample_audit(folder_.path());
  auto invariance = testing::sample_invariance();
  invariance["similarity"] = {{"same", -1.0}};
  invariance["curves"][0]["strengths"] = {5.0, 5.0, 5.0};
  invariance["curves"][0]["identity"] = -1e6;
  invariance["curves"][1]["strengths"] = {1.0, 1.0000000000000002};
  invariance["curves"][1]["similarity"] = {nullptr, nullptr};
  invariance["curves"][2]["strengths"] = {1e-300, 1.0, 2.0, 1e6};
  testing::write_text(folder_.path() / "eval" / "invariance.json", invariance.dump());
  auto robustness = testing::sample_robustness();
  robustness["numbers"]["clean_accuracy"] = 0.0;
  robustness["chance"] = 0.0;
  robustness["accuracy_by_severity"] = {{"fog", {0.0}}};
  testing::write_text(folder_.path() / "eval" / "robustness.json", robustness.dump());
  auto map = testing::sample_map();
  map["points"] = {{{"x", 1e300}, {"y", -1e300}, {"label", -1}, {"name", std::string(5000, 'w')}}};
  testing::write_text(folder_.path() / "eval" / "map.json", map.dump());
  testing::write_text(folder_.path() / "figures" / "map.jpg", cut_jpeg(folder_.path()));
  const Seen page = seen();
  EXPECT_EQ(count(page.document, "<body data-charts=\"6\">"), 1U);
  EXPECT_EQ(page.console, "");
}

TEST_F(Page, OfViewsIsWellFormedAndLoadsAndRunsNothing) {
  ViewPage content = testing::sample_view_page();
  const std::string hostile = "\"></h2><script>document.title='taken'</script><img src=x>.png";
  content.rows[0].name = hostile;
  write_view_page(content, folder_.path() / "views.html");
  const Seen page = open_page(*browser_, folder_.path(), "views.html");
  EXPECT_EQ(page.console, "");  // nor has the page's own policy refused anything
  EXPECT_EQ(count(page.document, "<title>" + content.title), 1U);
  // What the browser has made of it is what was written: no element is closed or opened by guess.
  const std::string written = read_text_file(folder_.path() / "views.html");
  for (const std::string part :
       {"<figure", "</figure>", "<img ", "<li", "</li>", "<p", "</section>"}) {
    EXPECT_EQ(count(page.document, part), count(written, part)) << part;
  }
}

}  // namespace
}  // namespace viewfold
