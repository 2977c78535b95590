// Tests of metrics.jsonl: whole lines, no numbers that JSON cannot hold, and resuming.
#include "viewfold/core/metrics.hpp"

#include <chrono>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/test_folder.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

std::vector<nlohmann::json> lines_of(const fs::path& file) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(read_text_file(file));
  for (std::string line; std::getline(text, line);) {
    lines.push_back(nlohmann::json::parse(line));
  }
  return lines;
}

void append_text(const fs::path& file, const std::string& text) {
  std::ofstream(file, std::ios::app) << text;
}

TEST(MetricsWriter, WritesOneObjectPerLine) {
  const TestFolder folder("metrics");
  const fs::path file = folder.path() / "metrics.jsonl";
  const double before =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  MetricsWriter writer(file);
  writer.write("train", {{"loss", 0.1}, {"lr", 0.03}}, 10, 1);
  writer.write_message("alarm", "views \"collapse\"\nnow", 12, 2);
  const auto lines = lines_of(file);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["event"], "train");
  EXPECT_EQ(lines[0]["step"], 10);
  EXPECT_EQ(lines[0]["epoch"], 1);
  EXPECT_EQ(lines[0]["loss"], 0.1);
  EXPECT_EQ(lines[0]["lr"], 0.03);
  EXPECT_GE(lines[0]["time"].get<double>(), before - 1.0);
  EXPECT_LE(lines[0]["time"].get<double>(), before + 3600.0);
  EXPECT_EQ(lines[1]["message"], "views \"collapse\"\nnow");
  EXPECT_EQ(lines[1]["step"], 12);
}

TEST(MetricsWriter, NumbersThatAreNotFiniteAreNull) {
  const TestFolder folder("metrics");
  const fs::path file = folder.path() / "metrics.jsonl";
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  MetricsWriter(file).write("train",
                            {{"a", std::numeric_limits<double>::quiet_NaN()},
                             {"b", kInfinity},
                             {"c", -kInfinity},
                             {"d", 1.0}},
                            1, 1);
  const auto line = lines_of(file).at(0);
  EXPECT_TRUE(line.at("a").is_null());
  EXPECT_TRUE(line.at("b").is_null());
  EXPECT_TRUE(line.at("c").is_null());
  EXPECT_EQ(line.at("d"), 1.0);
}

TEST(MetricsWriter, AMessageThatIsNoUtf8IsStillWritten) {
  const TestFolder folder("metrics");
  const fs::path file = folder.path() / "metrics.jsonl";
  MetricsWriter(file).write_message("note", "photo\xFF.jpg", 1, 1);
  EXPECT_EQ(lines_of(file).at(0)["message"], "photo\uFFFD.jpg");
}

TEST(MetricsWriter, RemovesATornLastLineAndGoesOn) {
  const TestFolder folder("metrics");
  const fs::path file = folder.path() / "metrics.jsonl";
  MetricsWriter(file).write("train", {{"loss", 2.0}}, 1, 1);
  append_text(file, R"({"event":"train","step":2,"lo)");
  MetricsWriter(file).write("train", {{"loss", 1.0}}, 2, 1);
  const auto lines = lines_of(file);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["loss"], 2.0);
  EXPECT_EQ(lines[1]["loss"], 1.0);
}

TEST(MetricsWriter, AWholeLineWithoutItsEndIsTornToo) {
  const TestFolder folder("metrics");
  const fs::path file = folder.path() / "metrics.jsonl";
  append_text(file, R"({"event":"train","step":2})");
  const MetricsWriter writer(file);
  EXPECT_EQ(read_text_file(file), "");
}

TEST(MetricsWriter, OpeningChangesNoWholeFile) {
  const TestFolder folder("metrics");
  const fs::path file = folder.path() / "metrics.jsonl";
  const std::string text = "{\"event\":\"train\",\"step\":2}\nnot ours\n{}\n";
  append_text(file, text);
  const MetricsWriter writer(file);
  EXPECT_EQ(read_text_file(file), text);
}

TEST(MetricsWriter, TruncatingDropsLaterStepsOnlyAndGoesOn) {
  const TestFolder folder("metrics");
  const fs::path file = folder.path() / "metrics.jsonl";
  MetricsWriter writer(file);
  for (const std::int64_t step : {10, 20, 30, 25, 20}) {
    writer.write("train", {}, step, 1);
  }
  append_text(file, "{\"event\":\"note\"}\n");
  writer.truncate_after(20);
  writer.write("train", {}, 21, 1);
  std::vector<std::int64_t> steps;
  for (const auto& line : lines_of(file)) {
    steps.push_back(line.value("step", std::int64_t{-1}));
  }
  EXPECT_EQ(steps, (std::vector<std::int64_t>{10, 20, 20, -1, 21}));
}

TEST(MetricsWriter, NamesTheFileThatCannotBeWritten) {
  const TestFolder folder("metrics");
  const fs::path file = folder.path() / "none" / "metrics.jsonl";
  try {
    const MetricsWriter writer(file);
    FAIL() << "a file in a missing folder was opened";
  } catch (const DataError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with(file.string() + ": ")) << error.what();
  }
  EXPECT_THROW(MetricsWriter(folder.path()), DataError);
}

}  // namespace
}  // namespace viewfold
