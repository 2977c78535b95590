// The verb that compares runs, from the outside.
#include "app/program.hpp"
#include "report/sample_run.hpp"
#include <gtest/gtest.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::contains;
using testing::run_program;
using testing::write_text;

TEST(Compare, ShowsWhereRunsDifferAndWritesThePage) {
  const TestFolder folder("compare");
  testing::write_sample_run(folder.path() / "runs/a");
  testing::write_sample_run(folder.path() / "runs/b");
  write_text(folder.path() / "runs/b/resolved.toml",
             "seed = 1\n[data]\nsource = \"/somewhere/shapes\"\n[encoder]\nname = \"resnet18\"\n"
             "[method]\nname = \"byol\"\n[train]\nepochs = 4\n");
  const auto ended =
      run_program(folder, {"compare", "runs/a", "runs/b", "--out", "comparison.html"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  for (const char* part :
       {"a: simclr with resnet18 on shapes was trained for 4 epochs (400 steps).",
        "  setting                   a      b\n", "  method.temperature      0.2      -\n",
        "  method.name          simclr   byol\n", "minus a", "final loss",
        "89.00%   89.00%     +0.00", "page: comparison.html\n"}) {
    EXPECT_TRUE(contains(ended.out, part)) << part << " is not in\n" << ended.out;
  }
  EXPECT_FALSE(contains(ended.out, "train.epochs"));
  EXPECT_TRUE(contains(read_text_file(folder.path() / "comparison.html"), "<h1>a, b</h1>"));
}

// What the verb says against the words, "usage: " or "data: " before it.
std::string problem_of(const std::vector<std::string>& words) {
  try {
    compare_command(Arguments(words, {}));
  } catch (const UsageError& problem) {
    return fmt::format("usage: {}", problem.what());
  } catch (const DataError& problem) {
    return fmt::format("data: {}", problem.what());
  }
  return "none";
}

TEST(Compare, RefusesWhatItCannotCompare) {
  const TestFolder folder("compare");
  const auto at = [&folder](const std::string& name) { return (folder.path() / name).string(); };
  testing::write_sample_run(at("a"));
  testing::write_sample_run(at("b"));
  std::filesystem::create_directories(at("empty"));
  write_text(at("b/eval/knn.json"), "{");
  const std::string metrics = read_text_file(at("a/metrics.jsonl"));
  EXPECT_EQ(problem_of({}), "usage: RUN (a run directory) is missing");
  EXPECT_EQ(problem_of({at("a")}),
            fmt::format("usage: {}: is one run, and a comparison takes two or more "
                        "(`viewfold report` shows one)",
                        at("a")));
  EXPECT_EQ(problem_of({at("a"), at("b/../a")}),
            fmt::format("usage: {}: is given twice (name each run once)", at("b/../a")));
  EXPECT_EQ(
      problem_of({at("a"), at("b"), "--out", at("a/metrics.jsonl")}),
      fmt::format("usage: --out {}: a comparison is written as FILE.html", at("a/metrics.jsonl")));
  EXPECT_EQ(problem_of({at("a"), at("empty")}),
            fmt::format("data: {}: is no run directory (run.json is missing)", at("empty")));
  EXPECT_TRUE(contains(problem_of({at("a"), at("b")}),
                       fmt::format("data: {}: no valid JSON", at("b/eval/knn.json"))));
  EXPECT_EQ(read_text_file(at("a/metrics.jsonl")), metrics);
}

}  // namespace
}  // namespace viewfold
