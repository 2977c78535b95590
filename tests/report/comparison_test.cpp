// Tests of comparisons of runs: settings, numbers, curves, page.
#include "viewfold/report/comparison.hpp"

#include <algorithm>
#include <regex>
#include <string>

#include "core/test_folder.hpp"
#include "report/page_text.hpp"
#include "report/sample_run.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold::report {
namespace {

namespace fs = std::filesystem;
using testing::count;
using testing::holds;
using testing::sample_evaluation;
using testing::write_text;

// What a test says about one run; the rest is as small as a run can be.
struct SmallRun {
  std::string settings;
  std::string metrics;
};

fs::path write_run(const TestFolder& folder, const std::string& name, const SmallRun& run) {
  const fs::path dir = folder.path() / name;
  write_text(dir / "run.json", R"({"schema": 1, "status": "finished"})");
  write_text(dir / "resolved.toml", run.settings);
  write_text(dir / "metrics.jsonl", run.metrics);
  return dir;
}

// The lines of an epoch of two steps, ten seconds each.
std::string epoch_lines(int epoch, double loss, const std::string& knn) {
  std::string text;
  for (const int step : {2 * epoch + 1, 2 * epoch + 2}) {
    text += fmt::format(R"({{"event": "train", "step": {}, "epoch": {}, "time": {}, "loss": {}, )"
                        R"("views_per_second": {}}})"
                        "\n",
                        step, epoch, 1000 + 10 * step, loss + step % 2, 1000.5 * (epoch + 1));
  }
  return text + fmt::format(R"({{"event": "online", "step": {0}, "epoch": {1}, "time": {2}, )"
                            R"("knn": {3}}})"
                            "\n",
                            2 * epoch + 2, epoch, 1000 + 20 * (epoch + 1), knn);
}

// The row of a table that starts with `name`.
std::vector<std::string> row_of(const std::vector<std::vector<std::string>>& table,
                                const std::string& name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&name](const auto& row) { return row.front() == name; });
  return found == table.end() ? std::vector<std::string>{} : *found;
}

using Texts = std::vector<std::string>;

TEST(Comparison, HoldsOnlySettingsThatDifferAndMarksMissingOnes) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a",
                           {.settings = "seed = 1\n[method]\nname = \"simclr\"\ntemperature = 0.2\n"
                                        "[train]\nepochs = 4\n",
                            .metrics = ""});
  const auto b = write_run(folder, "b",
                           {.settings = "seed = 1\n[method]\nname = \"byol\"\nmomentum = 0.99\n"
                                        "[train]\nepochs = 4\n",
                            .metrics = ""});
  const auto table = settings_table(compare_runs({a, b}));
  EXPECT_EQ(table, (std::vector<Texts>{{"setting", "a", "b"},
                                       {"method.momentum", "-", "0.99"},
                                       {"method.name", "simclr", "byol"},
                                       {"method.temperature", "0.2", "-"}}));
}

TEST(Comparison, OfRunsWithTheSameSettingsHasNone) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a", {.settings = "seed = 1\n", .metrics = ""});
  const auto b = write_run(folder, "b", {.settings = "seed = 1\n", .metrics = ""});
  const Comparison comparison = compare_runs({a, b});
  EXPECT_TRUE(comparison.settings.empty());
  EXPECT_TRUE(comparison.remarks.empty());
  EXPECT_TRUE(holds(comparison_html(comparison), "None that is known."));
}

TEST(Comparison, SaysThatSettingsAreUnknownInsteadOfCallingAllOfThemDifferent) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a", {.settings = "seed = 1\nx = 2\n", .metrics = ""});
  const auto b = write_run(folder, "b", {.settings = "seed = 1\nx = 3\n", .metrics = ""});
  const auto c = write_run(folder, "c", {.settings = "", .metrics = ""});
  fs::remove(c / "resolved.toml");
  const Comparison comparison = compare_runs({a, b, c});
  EXPECT_EQ(settings_table(comparison),
            (std::vector<Texts>{{"setting", "a", "b", "c"}, {"x", "2", "3", "-"}}));
  ASSERT_EQ(comparison.remarks.size(), 1U);
  EXPECT_EQ(comparison.remarks[0],
            "The settings of c are not known: its resolved.toml is missing or empty.");
}

TEST(Comparison, NumbersOfTrainingStandBesideTheirDifferencesToTheFirstRun) {
  const TestFolder folder("comparison");
  const auto a = write_run(
      folder, "a",
      {.settings = "", .metrics = epoch_lines(0, 3.0, "0.25") + epoch_lines(1, 2.0, "0.5")});
  const auto b = write_run(folder, "b", {.settings = "", .metrics = epoch_lines(0, 3.0, "0.3755")});
  const auto table = numbers_table(compare_runs({a, b}));
  EXPECT_EQ(table.front(), (Texts{"number", "a", "b", "minus a"}));
  EXPECT_EQ(row_of(table, "epochs"), (Texts{"epochs", "2", "1", "-1"}));
  EXPECT_EQ(row_of(table, "steps"), (Texts{"steps", "4", "2", "-2"}));
  const std::string loss = "final loss (last epoch)";  // 3 and 2; 4 and 3
  EXPECT_EQ(row_of(table, loss), (Texts{loss, "2.5", "3.5", "+1"}));
  const std::string knn = "kNN while training (last)";
  EXPECT_EQ(row_of(table, knn), (Texts{knn, "50.00%", "37.55%", "-12.45"}));
  EXPECT_EQ(row_of(table, "views a second"), (Texts{"views a second", "2,001", "1,001", "-1,001"}));
  const std::string minutes = "minutes (with interruptions)";
  EXPECT_EQ(row_of(table, minutes), (Texts{minutes, "0.5", "0.1667", "-0.3333"}));
  EXPECT_EQ(row_of(table, "alarms"), (Texts{"alarms", "0", "0", "0"}));
}

TEST(Comparison, ALossThatIsNoNumberIsSaidToBeNone) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a", {.settings = "", .metrics = epoch_lines(0, 3.0, "0.25")});
  const auto b = write_run(folder, "b",
                           {.settings = "",
                            .metrics = epoch_lines(0, 3.0, "null") +
                                       R"({"event": "train", "step": 3, "epoch": 0, "loss": null})"
                                       "\n"});
  const auto table = numbers_table(compare_runs({a, b}));
  const std::string loss = "final loss (last epoch)";
  EXPECT_EQ(row_of(table, loss), (Texts{loss, "3.5", "not a number", "-"}));
  const std::string knn = "kNN while training (last)";
  EXPECT_EQ(row_of(table, knn), (Texts{knn, "25.00%", "not a number", "-"}));
}

TEST(Comparison, OfRunsThatRecordedNothingHasNoNumbersAndNoCurves) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a", {.settings = "", .metrics = ""});
  const auto b = write_run(folder, "b", {.settings = "", .metrics = ""});
  const Comparison comparison = compare_runs({a, b});
  EXPECT_TRUE(comparison.numbers.empty());
  EXPECT_TRUE(comparison.curves.empty());
  EXPECT_FALSE(holds(comparison_html(comparison), "<svg viewBox=\"0 0 1000 1000\""));
}

TEST(Comparison, EveryNumberOfEveryEvaluationHasItsRow) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a", {.settings = "x = 1\n", .metrics = ""});
  const auto b = write_run(folder, "b", {.settings = "x = 1\n", .metrics = ""});
  write_text(a / "eval" / "knn.json", sample_evaluation("knn", 0.89).dump());
  write_text(b / "eval" / "knn.json", sample_evaluation("knn", 0.902).dump());
  write_text(b / "eval" / "linear.json", sample_evaluation("linear", 0.6).dump());
  const Comparison comparison = compare_runs({a, b});
  const auto table = numbers_table(comparison);
  const std::string knn = "Nearest neighbours: accuracy (shapes, test)";
  EXPECT_EQ(row_of(table, knn), (Texts{knn, "89.00%", "90.20%", "+1.20"}));
  const std::string linear = "Linear probe: accuracy (shapes, test)";
  EXPECT_EQ(row_of(table, linear), (Texts{linear, "-", "60.00%", "-"}));
  const std::string loss = "Linear probe: loss (shapes, test)";
  EXPECT_EQ(row_of(table, loss), (Texts{loss, "-", "0.5", "-"}));
  EXPECT_EQ(comparison.numbers.size(), 4U);
  EXPECT_TRUE(comparison.remarks.empty());
}

TEST(Comparison, NumbersMeasuredOnOtherImagesAreOtherRows) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a", {.settings = "", .metrics = ""});
  const auto b = write_run(folder, "b", {.settings = "", .metrics = ""});
  auto other = sample_evaluation("knn", 0.7);
  other["dataset"] = "/elsewhere/letters";
  write_text(a / "eval" / "knn.json", sample_evaluation("knn", 0.89).dump());
  write_text(b / "eval" / "knn.json", other.dump());
  const auto table = numbers_table(compare_runs({a, b}));
  const std::string shapes = "Nearest neighbours: accuracy (shapes, test)";
  EXPECT_EQ(row_of(table, shapes), (Texts{shapes, "89.00%", "-", "-"}));
  const std::string letters = "Nearest neighbours: accuracy (letters, test)";
  EXPECT_EQ(row_of(table, letters), (Texts{letters, "-", "70.00%", "-"}));
}

TEST(Comparison, WarnsOfNumbersThatWereMeasuredInDifferentWays) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a", {.settings = "x = 1\n", .metrics = ""});
  const auto b = write_run(folder, "b", {.settings = "x = 1\n", .metrics = ""});
  auto other = sample_evaluation("knn", 0.9);
  other["protocol"] = "k = 5";
  write_text(a / "eval" / "knn.json", sample_evaluation("knn", 0.89).dump());
  write_text(b / "eval" / "knn.json", other.dump());
  const Comparison comparison = compare_runs({a, b});
  ASSERT_EQ(comparison.remarks.size(), 1U);
  EXPECT_EQ(comparison.remarks[0],
            "Nearest neighbours: not comparable, for it was measured in different ways, b (k = 5); "
            "a (on frozen features).");
}

TEST(Comparison, PutsTheLinesOfAllRunsIntoOneCurvePerMeasurement) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a", {.settings = "", .metrics = epoch_lines(0, 3.0, "null")});
  const auto b = write_run(
      folder, "b",
      {.settings = "",
       .metrics = epoch_lines(0, 1.0, "0.5") + R"({"event": "train", "step": 3, "variance": 2.5})"
                                               "\n"});
  const auto curves = compare_runs({a, b}).curves;
  std::vector<std::string> titles;
  for (const auto& curve : curves) {
    titles.push_back(curve.title);
  }
  EXPECT_EQ(titles, (Texts{"Loss", "Nearest-neighbour accuracy", "Speed", "variance"}));
  ASSERT_EQ(curves[0].lines.size(), 2U);
  EXPECT_EQ(curves[0].lines[0].points, (Points{{1.0, 4.0}, {2.0, 3.0}}));
  EXPECT_EQ(curves[0].lines[1].points, (Points{{1.0, 2.0}, {2.0, 1.0}}));
  EXPECT_TRUE(curves[0].is_wide);
  ASSERT_EQ(curves[1].lines.size(), 1U);
  EXPECT_EQ(curves[1].lines[0].run, 1U);
  EXPECT_EQ(curves[1].lines[0].last, "50.0%");
  EXPECT_TRUE(curves[1].is_share);
}

TEST(Comparison, FoldersOfTheSameNameAreToldApartByTheirPaths) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "one/run", {.settings = "", .metrics = ""});
  const auto b = write_run(folder, "two/run", {.settings = "", .metrics = ""});
  const auto c = write_run(folder, "two/other", {.settings = "", .metrics = ""});
  const Comparison comparison = compare_runs({a, b, c});
  EXPECT_EQ(comparison.runs[0].name, a.string());
  EXPECT_EQ(comparison.runs[1].name, b.string());
  EXPECT_EQ(comparison.runs[2].name, "other");
}

TEST(Comparison, NamesTheFileThatIsMissingOrBroken) {
  const TestFolder folder("comparison");
  const auto a = write_run(folder, "a", {.settings = "", .metrics = ""});
  const auto b = write_run(folder, "b", {.settings = "", .metrics = ""});
  const auto problem_of = [](const std::vector<fs::path>& dirs) -> std::string {
    try {
      (void)compare_runs(dirs);
    } catch (const DataError& problem) {
      return problem.what();
    }
    return "none";
  };
  EXPECT_TRUE(holds(problem_of({a, folder.path() / "nowhere"}), "nowhere/run.json: not found"));
  write_text(b / "eval" / "knn.json", "{");
  EXPECT_TRUE(holds(problem_of({a, b}), (b / "eval" / "knn.json").string() + ": no valid JSON"));
  fs::remove_all(b / "eval");
  write_text(b / "metrics.jsonl", "oops\n");
  EXPECT_TRUE(holds(problem_of({a, b}), "metrics.jsonl:1: "));
  EXPECT_THROW((void)compare_runs({a}), ContractViolation);
}

// The drawing of the first curve whose title is `title`.
std::string figure_of(const std::string& page, const std::string& title) {
  const auto at = page.find("<h3>" + title + "</h3>");
  return at == std::string::npos ? "" : page.substr(at, page.find("</figure>", at) - at);
}

TEST(ComparisonPage, HoldsTablesAndOneLineForEachRunInEachPicture) {
  const TestFolder folder("comparison");
  testing::write_sample_run(folder.path() / "a");
  testing::write_sample_run(folder.path() / "b");
  write_text(folder.path() / "b" / "resolved.toml", "seed = 2\n");
  const std::string page =
      comparison_html(compare_runs({folder.path() / "a", folder.path() / "b"}));
  EXPECT_TRUE(holds(page, "<h1>a, b</h1>"));
  EXPECT_TRUE(holds(page, "<code>method.temperature</code></th><td>0.2</td><td>-</td>"));
  EXPECT_TRUE(holds(page,
                    "<td class=\"figure\">89.00%</td><td class=\"figure\">89.00%</td>"
                    "<td class=\"figure difference\">+0.00</td>"));
  for (const std::string title : {"Loss", "Nearest-neighbour accuracy"}) {
    const std::string figure = figure_of(page, title);
    EXPECT_EQ(count(figure, "<title>a</title>"), 1U) << title;
    EXPECT_EQ(count(figure, "<title>b</title>"), 1U) << title;
    EXPECT_EQ(count(figure, "<path class=\"curve colour-1 "), 2U) << "legend and line of " << title;
    EXPECT_EQ(count(figure, "<path class=\"curve colour-2 "), 2U) << "legend and line of " << title;
  }
}

// 0 .. 400 steps lie on 0 .. 1000; 60 % .. 90 % lie within it, upside down.
TEST(ComparisonPage, DrawsValuesWhereTheirTicksAre) {
  const TestFolder folder("comparison");
  testing::write_sample_run(folder.path() / "a");
  testing::write_sample_run(folder.path() / "b");
  const std::string figure =
      figure_of(comparison_html(compare_runs({folder.path() / "a", folder.path() / "b"})),
                "Nearest-neighbour accuracy");
  std::smatch found;
  ASSERT_TRUE(std::regex_search(figure, found, std::regex("d=\"M250.0,([0-9.]+)L500.0,")));
  const double lowest = std::stod(found[1]);  // 60 %
  ASSERT_TRUE(std::regex_search(figure, found, std::regex("L1000.0,([0-9.]+)\"")));
  const double highest = std::stod(found[1]);  // 90 %
  EXPECT_NEAR(1000.0 - lowest, highest, 0.2);  // equal room
  EXPECT_GT(highest, 10.0);
  const std::regex tick("style=\"top: ([0-9.]+)%\" aria-hidden=\"true\">([0-9.]+)%<");
  std::size_t ticks = 0;
  for (std::sregex_iterator i(figure.begin(), figure.end(), tick), end; i != end; ++i, ++ticks) {
    const double expected = lowest + (std::stod((*i)[2]) - 60.0) / 30.0 * (highest - lowest);
    EXPECT_NEAR(10.0 * std::stod((*i)[1]), expected, 0.2) << (*i)[0];
  }
  EXPECT_GE(ticks, 2U);
  EXPECT_LE(ticks, 6U);
}

TEST(ComparisonPage, DrawsNumbersOfAnySize) {
  const TestFolder folder("comparison");
  const auto line = [](const std::string& step, const std::string& loss) {
    return fmt::format(R"({{"event": "train", "step": {}, "loss": {}}})"
                       "\n",
                       step, loss);
  };
  for (const std::string loss :
       {"0", "5", "-0.0", "5e-324", "1e-300", "1.7e308", "-1.7e308", "1.000001"}) {
    const auto a = write_run(folder, "a", {.settings = "", .metrics = line("1", loss)});
    for (const std::string& other : {line("1", loss), line("2", "1"), line("1e300", "1.7e308")}) {
      const auto b = write_run(folder, "b", {.settings = "", .metrics = other});
      const std::string figure = figure_of(comparison_html(compare_runs({a, b})), "Loss");
      EXPECT_EQ(count(figure, "<path class=\"curve "), 4U) << loss;
      EXPECT_GE(count(figure, "class=\"up\""), 1U) << loss;
      EXPECT_LE(count(figure, "class=\"up\""), 6U) << loss;
      EXPECT_FALSE(std::regex_search(figure, std::regex("[ML,\":> ]-?(nan|inf)"))) << figure;
    }
  }
}

TEST(ComparisonPage, TextsOfTheRunsStayTexts) {
  const TestFolder folder("comparison");
  const std::string hostile = "</title><script>alert(1)</script>'\"><img src=x onerror=y>{{title}}";
  for (const std::string name : {"a", "b"}) {
    const nlohmann::json line{{"event", "train"}, {"step", 1}, {hostile, 2.0}};
    const auto dir = write_run(
        folder, name + "<b>",
        {.settings = "x = '''" + hostile + name + "'''\n", .metrics = line.dump() + "\n"});
    auto evaluation = sample_evaluation(hostile, 0.5);
    evaluation["dataset"] = hostile;
    evaluation["protocol"] = hostile + name;
    evaluation["numbers"][hostile] = 1.0;
    write_text(dir / "eval" / "x.json", evaluation.dump());
  }
  const std::string page =
      comparison_html(compare_runs({folder.path() / "a<b>", folder.path() / "b<b>"}));
  EXPECT_FALSE(holds(page, "<script"));
  EXPECT_FALSE(holds(page, "<img"));
  EXPECT_FALSE(holds(page, "<b>"));
  EXPECT_GT(count(page, "&lt;script&gt;alert(1)"), 8U);
}

TEST(ComparisonPage, LoadsAndRunsNothing) {
  const TestFolder folder("comparison");
  testing::write_sample_run(folder.path() / "a");
  testing::write_sample_run(folder.path() / "b");
  const std::string page =
      comparison_html(compare_runs({folder.path() / "a", folder.path() / "b"}));
  EXPECT_TRUE(holds(page, "content=\"default-src 'none'; img-src data:; style-src"));
  EXPECT_FALSE(std::regex_search(
      page, std::regex("https?:|//[a-z]|@import|<link(?! rel=\"icon\")|<script|url\\(|<iframe")));
}

TEST(ComparisonPage, RunsBeyondTheColoursDifferInTheirDashes) {
  const TestFolder folder("comparison");
  std::vector<fs::path> dirs;
  for (int i = 0; i < 9; ++i) {
    dirs.push_back(write_run(folder, fmt::format("run{}", i),
                             {.settings = "", .metrics = epoch_lines(0, i, "0.5")}));
  }
  const std::string page = comparison_html(compare_runs(dirs));
  std::smatch first;
  std::smatch last;
  ASSERT_TRUE(
      std::regex_search(page, first, std::regex("class=\"curve ([^\"]+)\"[^>]*><title>run0<")));
  ASSERT_TRUE(
      std::regex_search(page, last, std::regex("class=\"curve ([^\"]+)\"[^>]*><title>run8<")));
  EXPECT_NE(first[1], last[1]);
  EXPECT_TRUE(holds(first[1], "colour-1 ") && holds(last[1], "colour-1 "));
}

}  // namespace
}  // namespace viewfold::report
