// What the runs of a study say together: means, spreads, differences, and what is missing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "viewfold/report/statistics.hpp"
#include "viewfold/report/study.hpp"

namespace viewfold::report {

/// How an arm differs from the reference, by the seeds that both have.
struct PairedDifference {
  std::vector<std::int64_t> seeds;
  Summary summary;
  std::optional<Interval> interval;  // 95 %; one seed has none
};

/// The accuracy of a run; nothing when it has none.
[[nodiscard]] std::optional<double> accuracy_at(const StudyRunResult& run,
                                                const std::string& evaluation);

/// Over the seeds that have one; nothing where none has.
[[nodiscard]] std::optional<Summary> accuracy_of(const StudyArmResult& arm,
                                                 const std::string& evaluation);
[[nodiscard]] std::optional<Summary> control_of(const StudyArmResult& arm,
                                                const std::string& evaluation,
                                                const std::string& control);
[[nodiscard]] std::optional<Summary> seconds_of(const StudyArmResult& arm);
[[nodiscard]] std::optional<Summary> total_seconds_of(const StudyArmResult& arm);

/// The names of all controls of an evaluation.
[[nodiscard]] std::vector<std::string> controls_of(const StudyResults& results,
                                                   const std::string& evaluation);

/// Nothing for the reference itself, and where no seed is common.
[[nodiscard]] std::optional<PairedDifference> difference_of(const StudyResults& results,
                                                            const StudyArmResult& arm,
                                                            const std::string& evaluation);

/// One number of an audit, over the seeds that have it; nothing where none has.
[[nodiscard]] std::optional<Summary> audited_number(const StudyArmResult& arm,
                                                    const std::string& audit,
                                                    const std::string& number);

/// The names of all numbers of an audit.
[[nodiscard]] std::vector<std::string> audited_numbers(const StudyResults& results,
                                                       const std::string& audit);

/// As difference_of(), of a number of an audit.
[[nodiscard]] std::optional<PairedDifference> audited_difference(const StudyResults& results,
                                                                 const StudyArmResult& arm,
                                                                 const std::string& audit,
                                                                 const std::string& number);

/// "gan, seed 3: not run", for every run that lacks something.
[[nodiscard]] std::vector<std::string> missing_runs(const StudyResults& results);

}  // namespace viewfold::report
