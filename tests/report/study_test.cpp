// Tests of what a study reads, computes and writes.
#include "viewfold/report/study.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/test_folder.hpp"
#include "report/page_text.hpp"
#include "report/sample_study.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/report/study_json.hpp"
#include "viewfold/report/study_numbers.hpp"
#include "viewfold/report/study_page.hpp"

namespace viewfold {
namespace {

using nlohmann::json;
using testing::holds;
using testing::sample_plan;
using testing::write_study_run;
using testing::write_text;

using Lines = std::vector<std::string>;

// base with seeds 1, 2 and 3, gan with 1 and 3, its generator with 1.
StudyResults sample_results(const TestFolder& folder) {
  const StudyPlan plan = sample_plan(folder.path());
  write_study_run(plan, folder.path(), {"base", 1, 0.50, 60.0});
  write_study_run(plan, folder.path(), {"base", 2, 0.54, 90.0});
  write_study_run(plan, folder.path(), {"base", 3, 0.52, 30.0});
  write_study_run(plan, folder.path(), {"gan", 1, 0.53, 120.0});
  write_study_run(plan, folder.path(), {"gan", 3, 0.57, 180.0});
  write_study_run(plan, folder.path(), {"fit", 1, 0.0, 600.0});
  return read_study_results(plan, folder.path());
}

TEST(Study, SummarisesTheSeedsThatAreThere) {
  const TestFolder folder("study");
  const StudyResults results = sample_results(folder);
  const auto base = report::accuracy_of(results.arms[0], "knn");
  ASSERT_TRUE(base);
  EXPECT_EQ(base->n, 3U);
  EXPECT_NEAR(base->mean, 0.52, 1e-12);
  EXPECT_NEAR(base->sd.value(), 0.02, 1e-12);
  EXPECT_FALSE(report::accuracy_of(results.arms[1], "knn"));  // a command
  EXPECT_EQ(report::accuracy_of(results.arms[2], "knn")->n, 2U);
  EXPECT_NEAR(report::control_of(results.arms[0], "knn", "raw pixels")->mean, 0.5, 1e-12);
  EXPECT_EQ(report::controls_of(results, "knn"), (Lines{"raw pixels", "untrained encoder"}));
}

TEST(Study, ComparesRunsOfTheSameSeedOnly) {
  const TestFolder folder("study");
  const StudyResults results = sample_results(folder);
  EXPECT_FALSE(report::difference_of(results, results.arms[0], "knn"));
  EXPECT_FALSE(report::difference_of(results, results.arms[1], "knn"));
  const auto difference = report::difference_of(results, results.arms[2], "knn");
  ASSERT_TRUE(difference);
  EXPECT_EQ(difference->seeds, (std::vector<std::int64_t>{1, 3}));
  // Differences 0.03 and 0.05: mean 0.04, sd sqrt(2) / 100, half width 12.7062 * 0.01.
  EXPECT_NEAR(difference->summary.mean, 0.04, 1e-12);
  EXPECT_NEAR(difference->summary.sd.value(), std::sqrt(2.0) / 100.0, 1e-12);
  ASSERT_TRUE(difference->interval);
  EXPECT_NEAR(difference->interval->low, 0.04 - 0.127062, 1e-6);
  EXPECT_NEAR(difference->interval->high, 0.04 + 0.127062, 1e-6);
}

TEST(Study, OneSeedHasNoIntervalAndSaysSo) {
  const TestFolder folder("study");
  const StudyPlan plan = sample_plan(folder.path());
  write_study_run(plan, folder.path(), {"base", 2, 0.50, 60.0});
  write_study_run(plan, folder.path(), {"gan", 2, 0.51, 60.0});
  const StudyResults results = read_study_results(plan, folder.path());
  const auto difference = report::difference_of(results, results.arms[2], "knn");
  ASSERT_TRUE(difference);
  EXPECT_NEAR(difference->summary.mean, 0.01, 1e-12);
  EXPECT_FALSE(difference->interval);
  EXPECT_TRUE(holds(report::study_markdown(results), "| none: one seed |"));
  EXPECT_TRUE(holds(report::study_html(results), "+1.00 (one seed)"));
  const json arm = json::parse(report::study_json(results).dump())["arms"][2];
  EXPECT_TRUE(arm["difference"]["knn"]["interval_95"].is_null());
  EXPECT_TRUE(arm["accuracy"]["knn"]["sd"].is_null());
}

TEST(Study, AddsTheTimeOfTheArmsThatAnArmNeeded) {
  const TestFolder folder("study");
  const StudyResults results = sample_results(folder);
  const auto& gan = results.arms[2].runs;
  EXPECT_EQ(gan[0].seconds, 120.0);
  EXPECT_EQ(gan[0].total_seconds, 120.0 + 60.0 + 600.0);
  EXPECT_FALSE(gan[1].seconds);
  EXPECT_EQ(gan[2].seconds, 180.0);
  EXPECT_FALSE(gan[2].total_seconds);  // its generator has no time for this seed
}

TEST(Study, NamesWhatIsMissing) {
  const TestFolder folder("study");
  const StudyPlan plan = sample_plan(folder.path());
  EXPECT_EQ(report::missing_runs(read_study_results(plan, folder.path())).size(), 9U);
  StudyResults results = sample_results(folder);
  EXPECT_EQ(report::missing_runs(results),
            (Lines{"fit, seed 2: not run", "fit, seed 3: not run", "gan, seed 2: not run"}));
  write_text(folder.path() / "base-seed1/run.json",
             R"({"schema": 1, "version": "0.1.0", "status": "interrupted", "created": "then"})");
  write_text(folder.path() / "base-seed2/run.json",
             R"({"schema": 1, "version": "0.1.0", "status": "diverged", "created": "then"})");
  std::filesystem::remove(folder.path() / "base-seed3/eval/knn.json");
  results = read_study_results(plan, folder.path());
  EXPECT_EQ(report::missing_runs(results)[0], "base, seed 1: not finished");
  EXPECT_EQ(report::missing_runs(results)[1], "base, seed 2: diverged");
  EXPECT_EQ(report::missing_runs(results)[2], "base, seed 3: not evaluated with knn");
  EXPECT_FALSE(results.arms[0].runs[0].seconds);  // not all of it is known
  EXPECT_EQ(results.arms[0].runs[2].seconds, 30.0);
}

TEST(Study, DoesNotMixNumbersOfDifferentEvaluations) {
  const TestFolder folder("study");
  (void)sample_results(folder);
  const StudyPlan other =
      sample_plan(folder.path(), testing::kStudyPlan + "[evaluate]\nknn.k = 5\n");
  const StudyResults results = read_study_results(other, folder.path());
  EXPECT_FALSE(report::accuracy_of(results.arms[0], "knn"));
  EXPECT_EQ(report::missing_runs(results)[0], "base, seed 1: evaluated with other settings");
}

TEST(Study, SaysHowARunFailed) {
  const TestFolder folder("study");
  const StudyPlan plan = sample_plan(folder.path());
  StudyRecord record;
  record.failure = "code 3: no space";
  const StudyRunPlace place{plan, plan.arm("fit"), folder.path(), 1};
  write_study_record(place, record);
  EXPECT_EQ(report::missing_runs(read_study_results(plan, folder.path()))[3],
            "fit, seed 1: not run (code 3: no space)");
}

// The same with an audit of every run.
StudyResults audited_results(const TestFolder& folder) {
  std::string text = testing::kStudyPlan;
  text.replace(text.find("evaluations"), 0, "audits = \"solids\"\naudit_minutes = 2\n");
  const StudyPlan plan = sample_plan(folder.path(), text);
  EXPECT_EQ(audit_words(plan), (Lines{"--on=solids", "--minutes=2"}));
  write_study_run(plan, folder.path(), {"base", 1, 0.50, 60.0});
  write_study_run(plan, folder.path(), {"base", 2, 0.54, 90.0});
  write_study_run(plan, folder.path(), {"gan", 1, 0.60, 120.0});
  write_study_run(plan, folder.path(), {"gan", 2, 0.62, 120.0});
  return read_study_results(plan, folder.path());
}

TEST(Study, SummarisesEveryNumberOfItsAudits) {
  const TestFolder folder("study_audits");
  const StudyResults results = audited_results(folder);
  EXPECT_EQ(report::audited_numbers(results, "solids"), (Lines{"light", "pose"}));
  EXPECT_NEAR(report::audited_number(results.arms[0], "solids", "pose")->mean, 0.26, 1e-12);
  EXPECT_FALSE(report::audited_number(results.arms[1], "solids", "pose"));  // a command
  EXPECT_FALSE(report::audited_number(results.arms[0], "solids", "hue"));
  const auto difference = report::audited_difference(results, results.arms[2], "solids", "pose");
  ASSERT_TRUE(difference);
  EXPECT_NEAR(difference->summary.mean, 0.045, 1e-12);  // halves of 0.10 and 0.08
  EXPECT_FALSE(report::audited_difference(results, results.arms[0], "solids", "pose"));
  write_study(results, folder.path());
  const json object = json::parse(read_text_file(folder.path() / "study.json"));
  EXPECT_EQ(object["audits"], json({"solids"}));
  EXPECT_EQ(object["arms"][2]["runs"][0]["audits"]["solids"]["pose"], 0.30);
  EXPECT_EQ(object["arms"][2]["audits"]["solids"]["light"]["n"], 2);
  EXPECT_EQ(object["arms"][2]["audit_difference"]["solids"]["pose"]["seeds"], json({1, 2}));
  const std::string markdown = read_text_file(folder.path() / "study.md");
  EXPECT_TRUE(holds(markdown, "| number | base | gan |")) << markdown;
  EXPECT_TRUE(holds(markdown, "| pose | 0.260 ± 0.014 | 0.305 ± 0.007 |")) << markdown;
  EXPECT_TRUE(holds(markdown, "Rendered solids, minus base")) << markdown;
  EXPECT_TRUE(holds(markdown, "| light | +0.000 (+0.000 .. +0.000) |")) << markdown;
}

TEST(Study, SaysWhichAuditsAreMissing) {
  const TestFolder folder("study_audits");
  const StudyResults results = audited_results(folder);
  const StudyPlan& plan = results.plan;
  std::filesystem::remove(study_run_path(folder.path(), "base", 1) / "eval" / "solids.json");
  const StudyRunPlace place{plan, plan.arm("gan"), folder.path(), 2};
  auto record = read_study_record(place).value();
  record.audited = "--on=solids --minutes=1";
  write_study_record(place, record);
  const auto missing = report::missing_runs(read_study_results(plan, folder.path()));
  EXPECT_EQ(missing.front(), "base, seed 1: not audited for solids");
  EXPECT_NE(std::find(missing.begin(), missing.end(), "gan, seed 2: audited with other settings"),
            missing.end());
}

TEST(Study, MeasuresTheEncoderThatACommandLeaves) {
  const TestFolder folder("study_command");
  const StudyPlan plan = sample_plan(folder.path());
  const StudyRunPlace place{plan, plan.arm("fit"), folder.path(), 1};
  EXPECT_FALSE(has_encoder(place, StudyProgress::kDone));
  write_study_run(plan, folder.path(), {"fit", 1, 0.0, 600.0});
  write_text(place.run() / "run.json",
             R"({"schema": 1, "version": "0.1.0", "status": "finished", "created": "then"})");
  write_text(place.run() / "encoder.safetensors", "weights");
  EXPECT_TRUE(has_encoder(place, StudyProgress::kDone));
  EXPECT_FALSE(has_encoder(place, StudyProgress::kUnfinished));
  write_text(place.run() / "eval" / "knn.json", testing::sample_evaluation("knn", 0.7).dump());
  const auto results = read_study_results(plan, folder.path());
  EXPECT_NEAR(report::accuracy_of(results.arms[1], "knn")->mean, 0.7, 1e-12);
  write_study(results, folder.path());
  EXPECT_TRUE(holds(read_text_file(folder.path() / "study.md"), "| fit | 1 | 50.00"));
}

TEST(StudyRecord, ComesBackAsItWasWritten) {
  const TestFolder folder("study");
  const StudyPlan plan = sample_plan(folder.path());
  const StudyRunPlace place{plan, plan.arm("gan"), folder.path(), 2};
  EXPECT_FALSE(read_study_record(place));
  const StudyRecord record{.asked = asked_settings(place),
                           .machine = "m",
                           .seconds = 1.5,
                           .evaluate_seconds = 0.25,
                           .evaluated = "--on=knn",
                           .audited = "--on=solids",
                           .is_done = true,
                           .failure = "f"};
  write_study_record(place, record);
  const auto read = read_study_record(place);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->asked, record.asked);
  EXPECT_EQ(read->machine, "m");
  EXPECT_EQ(read->seconds, 1.5);
  EXPECT_EQ(read->evaluate_seconds, 0.25);
  EXPECT_EQ(read->evaluated, "--on=knn");
  EXPECT_EQ(read->audited, "--on=solids");
  EXPECT_TRUE(read->is_done);
  EXPECT_EQ(read->failure, "f");
  for (const std::string broken :
       {"", "[]", "{}", R"({"schema": 1})", R"({"schema": 1, "settings": {"a": 1}})"}) {
    write_text(study_record_path(place), broken);
    EXPECT_THROW((void)read_study_record(place), DataError) << broken;
  }
}

TEST(StudyRecord, TellsWhichSettingsHaveChangedWithThoseOfNeededArms) {
  const TestFolder folder("study");
  const StudyPlan before = sample_plan(folder.path());
  const auto old = asked_settings({before, before.arm("gan"), folder.path(), 1});
  std::string text = testing::kStudyPlan;
  text.replace(text.find("\"pictures\""), 10, "\"photos\"");
  const StudyPlan after = sample_plan(folder.path(), text + "train.epochs = 3\n");
  const auto now = asked_settings({after, after.arm("gan"), folder.path(), 1});
  EXPECT_EQ(changed_settings(old, now, {}),
            (Lines{"base: data.source: pictures -> photos", "data.source: pictures -> photos",
                   "train.epochs: (none) -> 3"}));
  EXPECT_EQ(changed_settings(old, now, {"data.source"}), Lines{"train.epochs: (none) -> 3"});
  EXPECT_TRUE(changed_settings(old, old, {}).empty());
  EXPECT_EQ(old.at("fit: command"), "manifold fit {base} --out {self}");
}

TEST(StudyPages, HoldNumbersQuestionMachineAndWhatIsMissing) {
  const TestFolder folder("study");
  const StudyResults results = sample_results(folder);
  write_study(results, folder.path());
  const std::string markdown = read_text_file(folder.path() / "study.md");
  const std::string page = read_text_file(folder.path() / "study.html");
  for (const std::string part :
       {"Learned views", "Do they help?", "A processor, 2 threads, viewfold 0.1.0",
        "gan, seed 2: not run", "6 of 9 runs are complete", "on frozen features"}) {
    EXPECT_TRUE(holds(markdown, part)) << part << markdown;
    EXPECT_TRUE(holds(page, part)) << part;
  }
  EXPECT_TRUE(holds(markdown, "| base | 3 | 50.00 | 62.50 | 52.00 | 2.00 | - | - | - | - |"))
      << markdown;
  EXPECT_TRUE(holds(
      markdown, "| gan | 2 | 50.00 | 62.50 | 55.00 | 2.83 | +4.00 | 1.41 | -8.71 .. +16.71 | 2 |"))
      << markdown;
  EXPECT_TRUE(holds(markdown, "| gan | 53.00 | - | 57.00 |")) << markdown;
  EXPECT_TRUE(holds(markdown, "| gan | 2 | 2.50 | 0.71 | base, fit | 13.00 |")) << markdown;
  EXPECT_TRUE(holds(markdown, "| base | as all others | - |")) << markdown;
  EXPECT_TRUE(holds(page, "<th scope=\"row\">gan</th>"));
  EXPECT_TRUE(holds(page, "+4.00 (-8.71 .. +16.71)"));
  const json object = json::parse(read_text_file(folder.path() / "study.json"));
  EXPECT_EQ(object["schema"], 1);
  EXPECT_EQ(object["arms"][2]["runs"][0]["evaluations"]["knn"]["accuracy"], 0.53);
  EXPECT_EQ(object["arms"][2]["runs"][0]["evaluations"]["knn"]["controls"]["raw pixels"], 0.5);
  EXPECT_EQ(object["arms"][2]["settings"]["views.learned.from"], "{fit}");
  EXPECT_EQ(object["arms"][2]["difference"]["knn"]["seeds"], json({1, 3}));
  EXPECT_EQ(object["missing"].size(), 3U);
}

TEST(StudyPages, EscapeWhatTextsHold) {
  const TestFolder folder("study");
  const StudyPlan plan = sample_plan(
      folder.path(),
      "[study]\ntitle = \"<b>a|b</b>\"\n[arms.a]\n[arms.b]\ndata.source = \"<i>|\\n`\"\n");
  const StudyResults results = read_study_results(plan, folder.path());
  const std::string page = report::study_html(results);
  EXPECT_FALSE(holds(page, "<b>") || holds(page, "<i>"));
  EXPECT_TRUE(holds(page, "&lt;i&gt;|"));
  const std::string markdown = report::study_markdown(results);
  EXPECT_TRUE(holds(markdown, "# \\<b\\>a\\|b\\</b\\>\n")) << markdown;
  EXPECT_TRUE(holds(markdown, "| b | data.source = \\<i\\>\\| \\` | - |")) << markdown;
}

TEST(StudyPages, AreWellFormedWithoutAnyRun) {
  const TestFolder folder("study");
  const StudyPlan plan = sample_plan(folder.path());
  const StudyResults results = read_study_results(plan, folder.path());
  EXPECT_TRUE(holds(report::study_html(results), "0 of 9 runs are complete"));
  EXPECT_TRUE(holds(report::study_markdown(results), "| base | 0 | - | - | - | - | - | - |"))
      << report::study_markdown(results);
}

}  // namespace
}  // namespace viewfold
