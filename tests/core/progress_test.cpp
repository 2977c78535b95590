// Tests of the progress line: what it says, that it fits, and when it is printed.
#include "viewfold/core/progress.hpp"

#include <limits>
#include <memory>

#include <gtest/gtest.h>

namespace viewfold {
namespace {

ProgressState quarter_done() {
  return {.step = 50,
          .total_steps = 200,
          .epoch = 2,
          .epochs = 8,
          .loss = 1.5,
          .views_per_second = 1234.4,
          .data_wait = 0.13};
}

// A file that remembers what was printed to it; no terminal.
class Paper {
 public:
  [[nodiscard]] std::FILE* file() { return file_.get(); }

  [[nodiscard]] std::string text() {
    std::rewind(file());
    std::string text;
    for (int c = std::fgetc(file()); c != EOF; c = std::fgetc(file())) {
      text += static_cast<char>(c);
    }
    return text;
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_{std::tmpfile(), std::fclose};
};

TEST(DurationText, TakesTheUnitsThatFit) {
  EXPECT_EQ(duration_text(0.0), "0s");
  EXPECT_EQ(duration_text(0.4), "0s");
  EXPECT_EQ(duration_text(12.3), "12s");
  EXPECT_EQ(duration_text(59.6), "1m00s");
  EXPECT_EQ(duration_text(185.0), "3m05s");
  EXPECT_EQ(duration_text(3599.0), "59m59s");
  EXPECT_EQ(duration_text(3600.0), "1h00m");
  EXPECT_EQ(duration_text(7499.0), "2h04m");
  EXPECT_EQ(duration_text(360000.0), "100h00m");
}

TEST(DurationText, TellsNothingWhereThereIsNothingToTell) {
  EXPECT_EQ(duration_text(-5.0), "0s");
  EXPECT_EQ(duration_text(std::numeric_limits<double>::quiet_NaN()), "?");
  EXPECT_EQ(duration_text(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(duration_text(1e300), "?");
}

TEST(ProgressLine, SaysEverythingWhereThereIsRoom) {
  EXPECT_EQ(progress_line(quarter_done(), 125.0, 120),
            "[#####...............]   25%  epoch 2/8  loss 1.5000  1234 views/s  data wait 13%  "
            "2m05s left");
}

TEST(ProgressLine, FitsAnyWidth) {
  for (int width = -1; width <= 130; ++width) {
    const std::string line = progress_line(quarter_done(), 125.0, width);
    EXPECT_LE(static_cast<int>(line.size()), std::max(width, 0));
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
}

TEST(ProgressLine, GivesUpTheLeastUsefulPartFirst) {
  const std::vector<std::string> lines = {
      " 25%  epoch 2/8  loss 1.5000  1234 views/s  data wait 13%  2m05s left",
      " 25%  epoch 2/8  loss 1.5000  1234 views/s  2m05s left",
      " 25%  epoch 2/8  loss 1.5000  2m05s left",
      " 25%  loss 1.5000  2m05s left",
      " 25%  2m05s left",
      " 25%",
      ""};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto width = static_cast<int>(lines[i].size());
    EXPECT_EQ(progress_line(quarter_done(), 125.0, width), lines[i]);
    if (i + 1 < lines.size()) {
      EXPECT_EQ(progress_line(quarter_done(), 125.0, width - 1), lines[i + 1]);
    }
  }
}

TEST(ProgressLine, TheBarIsEmptyAtFirstAndFullAtLast) {
  auto state = quarter_done();
  state.step = 0;
  EXPECT_TRUE(progress_line(state, 0.0, 120).starts_with("[....................]    0%"));
  state.step = 200;
  EXPECT_TRUE(progress_line(state, 0.0, 120).starts_with("[####################]  100%"));
  state.step = 201;
  EXPECT_TRUE(progress_line(state, 0.0, 120).starts_with("[####################]  100%"));
  state.total_steps = 0;
  EXPECT_TRUE(progress_line(state, 0.0, 120).starts_with("[....................]    0%"));
}

TEST(ProgressLine, ShowsALossThatIsNoNumber) {
  auto state = quarter_done();
  state.loss = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(progress_line(state, 0.0, 120).find("loss nan"), std::string::npos);
}

TEST(Progress, PrintsPlainLinesWhereThereIsNoTerminal) {
  Paper paper;
  Progress progress(paper.file(), false);
  auto state = quarter_done();
  progress.update(state);
  state.step = 100;
  progress.update(state);  // within 30 seconds of the first: not shown
  progress.print_line("a warning");
  state.step = 150;
  progress.update(state);
  progress.finish();
  const std::string text = paper.text();
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_TRUE(text.starts_with(progress_line(quarter_done(), 0.0, 120) + "\na warning\n[")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_NE(text.find(" 75%"), std::string::npos);
  EXPECT_EQ(text.find(" 50%"), std::string::npos);
}

TEST(Progress, DrawsOneLineAgainOnATerminal) {
  Paper paper;  // states no width: 80 columns are taken
  Progress progress(paper.file(), true);
  progress.update(quarter_done());
  progress.print_line("a warning");
  progress.finish();
  const std::string bar = "\r\x1b[K" + progress_line(quarter_done(), 0.0, 79);
  EXPECT_EQ(paper.text(), bar + "\r\x1b[Ka warning\n" + bar + "\n");
}

TEST(Progress, AFinishedLineIsNotDrawnTwice) {
  Paper paper;
  Progress progress(paper.file(), false);
  progress.finish();
  EXPECT_EQ(paper.text(), "");
  progress.update(quarter_done());
  progress.finish();
  progress.finish();
  const std::string text = paper.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST(Progress, BeginsAgainAfterItHasFinished) {
  Paper paper;
  Progress progress(paper.file(), false);
  for (int i = 0; i < 2; ++i) {
    progress.update(quarter_done());
    progress.finish();
  }
  const std::string line = progress_line(quarter_done(), 0.0, 120) + "\n";
  EXPECT_EQ(paper.text(), line + line);
}

}  // namespace
}  // namespace viewfold
