// What a study has found: numbers of every run, and what they say about the arms.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "viewfold/report/study_plan.hpp"

namespace viewfold {

/// The accuracies of one evaluation, 0 .. 1: of the encoder after its last epoch, and of what it
/// has to beat.
struct StudyScore {
  double accuracy = 0.0;
  std::map<std::string, double> controls;
};

struct StudyRunResult {
  std::int64_t seed = 0;
  std::string missing;                  // what it lacks, in words; "": complete
  std::optional<double> seconds;        // wall time of training or command, once it has finished
  std::optional<double> total_seconds;  // with the arms in "cost_of"
  std::map<std::string, StudyScore> scores;                     // by evaluation
  std::map<std::string, std::map<std::string, double>> audits;  // numbers by name, by part
};

struct StudyArmResult {
  StudyArm arm;
  std::vector<StudyRunResult> runs;  // one for each seed
};

// NOLINTNEXTLINE(bugprone-exception-escape): moving settings throws only when memory is damaged
struct StudyResults {
  StudyPlan plan;
  std::vector<std::string> machines;             // where its runs were made
  std::map<std::string, std::string> protocols;  // by evaluation or audit, where known
  std::vector<StudyArmResult> arms;              // in the order of the plan
};

/// Reads what there is of a study in `dir`. Throws DataError that names a broken file.
[[nodiscard]] StudyResults read_study_results(const StudyPlan& plan,
                                              const std::filesystem::path& dir);

/// Writes `dir`/study.json, study.md and study.html: all of it, and what is missing.
void write_study(const StudyResults& results, const std::filesystem::path& dir);

}  // namespace viewfold
