// Implements the results of a study.
#include "viewfold/report/study.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/report/run_files.hpp"
#include "viewfold/report/study_json.hpp"
#include "viewfold/report/study_page.hpp"
#include "viewfold/report/study_record.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

StudyScore read_score(const report::EvaluationFile& file) {
  const auto accuracy = report::number_at(file.content["numbers"], "accuracy");
  if (!accuracy) {
    throw DataError(fmt::format("{}: has no \"accuracy\"", file.path.string()));
  }
  StudyScore score{.accuracy = *accuracy, .controls = {}};
  const json controls = file.content.value("controls", json());
  if (controls.is_object()) {
    for (const auto& [name, numbers] : controls.items()) {
      if (const auto control = report::number_at(numbers, "accuracy")) {
        score.controls[name] = *control;
      }
    }
  }
  return score;
}

// Reads the scores of an encoder; says which evaluations are missing.
std::string read_scores(const StudyRunPlace& place,
                        const StudyRecord& record,
                        StudyResults& results,
                        StudyRunResult& result) {
  if (record.evaluated != evaluation_text(place.plan)) {
    return record.evaluated.empty() ? "not evaluated" : "evaluated with other settings";
  }
  const RunDir run = RunDir::open(place.run());
  std::vector<std::string> absent;
  for (const auto& name : place.plan.evaluations) {
    if (!fs::exists(run.eval(name))) {
      absent.push_back(name);
      continue;
    }
    const auto file = report::read_evaluation(run.eval(name));
    result.scores[name] = read_score(file);
    results.protocols.emplace(name, report::text_at(file.content, "protocol").value_or(""));
  }
  return absent.empty() ? "" : fmt::format("not evaluated with {}", fmt::join(absent, ", "));
}

// Reads the numbers of its audits; says which are missing.
std::string read_audits(const StudyRunPlace& place,
                        const StudyRecord& record,
                        StudyResults& results,
                        StudyRunResult& result) {
  if (record.audited != audit_text(place.plan)) {
    return record.audited.empty() ? "not audited" : "audited with other settings";
  }
  const RunDir run = RunDir::open(place.run());
  std::vector<std::string> absent;
  for (const auto& name : place.plan.audits) {
    if (!fs::exists(run.eval(name))) {
      absent.push_back(name);
      continue;
    }
    const auto file = report::read_evaluation(run.eval(name));
    for (const auto& [key, unused] : file.content["numbers"].items()) {
      if (const auto number = report::number_at(file.content["numbers"], key)) {
        result.audits[name][key] = *number;
      }
    }
    results.protocols.emplace(name, report::text_at(file.content, "protocol").value_or(""));
  }
  return absent.empty() ? "" : fmt::format("not audited for {}", fmt::join(absent, ", "));
}

std::string how_far(StudyProgress progress) {
  switch (progress) {
    case StudyProgress::kAbsent:
      return "not run";
    case StudyProgress::kUnfinished:
      return "not finished";
    case StudyProgress::kDiverged:
      return "diverged";
    case StudyProgress::kDone:
      return "";
  }
  throw ContractViolation("unknown progress of a run");
}

StudyRunResult read_run(const StudyRunPlace& place, StudyResults& results) {
  StudyRunResult result{.seed = place.seed,
                        .missing = "",
                        .seconds = std::nullopt,
                        .total_seconds = std::nullopt,
                        .scores = {},
                        .audits = {}};
  const auto record = read_study_record(place);
  const StudyProgress progress = progress_of(place, record);
  result.missing = how_far(progress);
  if (!record) {
    result.missing = "not run";
    return result;
  }
  if (progress == StudyProgress::kDone) {
    result.seconds = record->seconds;
    if (std::find(results.machines.begin(), results.machines.end(), record->machine) ==
        results.machines.end()) {
      results.machines.push_back(record->machine);
    }
    if (has_encoder(place, progress)) {
      result.missing = read_scores(place, *record, results, result);
      const auto audits = read_audits(place, *record, results, result);
      result.missing += (result.missing.empty() || audits.empty() ? "" : ", ") + audits;
    }
  }
  if (!result.missing.empty() && !record->failure.empty()) {
    result.missing += fmt::format(" ({})", record->failure);
  }
  return result;
}

const StudyArmResult& find_arm(const StudyResults& results, const std::string& name) {
  return *std::find_if(results.arms.begin(), results.arms.end(),
                       [&name](const auto& arm) { return arm.arm.name == name; });
}

void add_totals(StudyResults& results) {
  for (auto& arm : results.arms) {
    for (std::size_t i = 0; i < arm.runs.size(); ++i) {
      std::optional<double> total = arm.runs[i].seconds;
      for (const auto& name : arm.arm.cost_of) {
        const auto other = find_arm(results, name).runs[i].seconds;
        total = total && other ? std::optional(*total + *other) : std::nullopt;
      }
      arm.runs[i].total_seconds = total;
    }
  }
}

}  // namespace

StudyResults read_study_results(const StudyPlan& plan, const fs::path& dir) {
  StudyResults results{.plan = plan, .machines = {}, .protocols = {}, .arms = {}};
  for (const auto& arm : plan.arms) {
    StudyArmResult result{.arm = arm, .runs = {}};
    for (const auto seed : plan.seeds) {
      result.runs.push_back(
          read_run({.plan = plan, .arm = arm, .dir = dir, .seed = seed}, results));
    }
    results.arms.push_back(std::move(result));
  }
  add_totals(results);
  return results;
}

void write_study(const StudyResults& results, const fs::path& dir) {
  const std::string text =
      report::study_json(results).dump(2, ' ', false, json::error_handler_t::replace);
  write_file_atomically(dir / "study.json", text + "\n");
  write_file_atomically(dir / "study.md", report::study_markdown(results));
  write_file_atomically(dir / "study.html", report::study_html(results));
}

}  // namespace viewfold
