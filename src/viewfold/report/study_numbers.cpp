// Implements the numbers of a study.
#include "viewfold/report/study_numbers.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold::report {
namespace {

// Summarises what `number` gives for the runs that have it.
template <class Number>
std::optional<Summary> over_runs(const StudyArmResult& arm, const Number& number) {
  std::vector<double> values;
  for (const auto& run : arm.runs) {
    if (const std::optional<double> value = number(run)) {
      values.push_back(*value);
    }
  }
  return summarise(values);
}

const StudyArmResult& reference_of(const StudyResults& results) {
  const auto found =
      std::find_if(results.arms.begin(), results.arms.end(),
                   [&results](const auto& arm) { return arm.arm.name == results.plan.reference; });
  check(found != results.arms.end(), "the reference is no arm of the study");
  return *found;
}

std::optional<double> number_of(const StudyRunResult& run,
                                const std::string& audit,
                                const std::string& number) {
  const auto numbers = run.audits.find(audit);
  if (numbers == run.audits.end()) {
    return std::nullopt;
  }
  const auto found = numbers->second.find(number);
  return found == numbers->second.end() ? std::nullopt : std::optional(found->second);
}

// What `number` gives for runs of the arm, less what it gives for those of the reference.
template <class Number>
std::optional<PairedDifference> paired(const StudyResults& results,
                                       const StudyArmResult& arm,
                                       const Number& number) {
  const StudyArmResult& reference = reference_of(results);
  if (arm.arm.name == reference.arm.name) {
    return std::nullopt;
  }
  PairedDifference difference;
  std::vector<double> values;
  for (const auto& run : arm.runs) {
    for (const auto& other : reference.runs) {
      const std::optional<double> own = number(run);
      const std::optional<double> base = number(other);
      if (run.seed == other.seed && own && base) {
        values.push_back(*own - *base);
        difference.seeds.push_back(run.seed);
      }
    }
  }
  const auto summary = summarise(values);
  if (!summary) {
    return std::nullopt;
  }
  difference.summary = *summary;
  difference.interval = mean_interval(*summary);
  return difference;
}

}  // namespace

std::optional<double> accuracy_at(const StudyRunResult& run, const std::string& evaluation) {
  const auto found = run.scores.find(evaluation);
  return found == run.scores.end() ? std::nullopt : std::optional(found->second.accuracy);
}

std::optional<Summary> accuracy_of(const StudyArmResult& arm, const std::string& evaluation) {
  return over_runs(arm, [&](const auto& run) { return accuracy_at(run, evaluation); });
}

std::optional<Summary> control_of(const StudyArmResult& arm,
                                  const std::string& evaluation,
                                  const std::string& control) {
  return over_runs(arm, [&](const StudyRunResult& run) -> std::optional<double> {
    const auto score = run.scores.find(evaluation);
    if (score == run.scores.end() || !score->second.controls.contains(control)) {
      return std::nullopt;
    }
    return score->second.controls.at(control);
  });
}

std::optional<Summary> seconds_of(const StudyArmResult& arm) {
  return over_runs(arm, [](const auto& run) { return run.seconds; });
}

std::optional<Summary> total_seconds_of(const StudyArmResult& arm) {
  return over_runs(arm, [](const auto& run) { return run.total_seconds; });
}

std::vector<std::string> controls_of(const StudyResults& results, const std::string& evaluation) {
  std::set<std::string> names;
  for (const auto& arm : results.arms) {
    for (const auto& run : arm.runs) {
      const auto score = run.scores.find(evaluation);
      if (score == run.scores.end()) {
        continue;
      }
      for (const auto& [name, unused] : score->second.controls) {
        names.insert(name);
      }
    }
  }
  return {names.begin(), names.end()};
}

std::optional<PairedDifference> difference_of(const StudyResults& results,
                                              const StudyArmResult& arm,
                                              const std::string& evaluation) {
  return paired(results, arm,
                [&](const StudyRunResult& run) { return accuracy_at(run, evaluation); });
}

std::optional<Summary> audited_number(const StudyArmResult& arm,
                                      const std::string& audit,
                                      const std::string& number) {
  return over_runs(arm, [&](const auto& run) { return number_of(run, audit, number); });
}

std::vector<std::string> audited_numbers(const StudyResults& results, const std::string& audit) {
  std::set<std::string> names;
  for (const auto& arm : results.arms) {
    for (const auto& run : arm.runs) {
      const auto found = run.audits.find(audit);
      if (found == run.audits.end()) {
        continue;
      }
      for (const auto& [name, unused] : found->second) {
        names.insert(name);
      }
    }
  }
  return {names.begin(), names.end()};
}

std::optional<PairedDifference> audited_difference(const StudyResults& results,
                                                   const StudyArmResult& arm,
                                                   const std::string& audit,
                                                   const std::string& number) {
  return paired(results, arm,
                [&](const StudyRunResult& run) { return number_of(run, audit, number); });
}

std::vector<std::string> missing_runs(const StudyResults& results) {
  std::vector<std::string> lines;
  for (const auto& arm : results.arms) {
    for (const auto& run : arm.runs) {
      if (!run.missing.empty()) {
        lines.push_back(fmt::format("{}, seed {}: {}", arm.arm.name, run.seed, run.missing));
      }
    }
  }
  return lines;
}

}  // namespace viewfold::report
