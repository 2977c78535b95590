// Tests of the page in a browser without network.
#include <array>
#include <cstdio>
#include <cstdlib>
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

std::optional<std::string> find_browser() {
  for (const std::string name : {"chromium", "chromium-browser", "google-chrome"}) {
    if (output_of("command -v " + name + " 2>&1")) {
      return name;
    }
  }
  return std::nullopt;
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
  EXPECT_EQ(count(page.document, "<body data-charts=\"10\">"), 1U);
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

TEST_F(Page, ReferencesNoResourceOfTheNetwork) {
  const std::string document = without_scripts(sample().document);
  EXPECT_GT(document.size(), 10000U);
  const std::regex reference(
      "(src|href|action|data|poster|srcset)=[\"']?(https?:)?//|@import|url\\((?!&quot;#|#)");
  EXPECT_FALSE(std::regex_search(document, reference));
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
  const Seen page = seen();
  EXPECT_EQ(count(page.document, "<title>simclr with resnet18 on shapes"), 1U);
  EXPECT_EQ(page.console, "");
  EXPECT_EQ(count(page.document, "<body data-charts=\"4\">"), 1U);
}

TEST_F(Page, OfARunWithoutNumbersHasNoError) {
  testing::write_text(folder_.path() / "run.json", R"({"schema": 1, "status": "running"})");
  const Seen page = seen();
  EXPECT_EQ(count(page.document, "<body data-charts=\"0\">"), 1U);
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
