// The results of a study as tables of texts, the same in the terminal, in Markdown and in HTML.
#pragma once

#include <string>
#include <vector>

#include "viewfold/report/study.hpp"

namespace viewfold::report {

struct StudyTable {
  std::string title;
  std::string note;               // below it; "" for none
  std::vector<std::string> head;  // the first column names the rows
  std::vector<std::vector<std::string>> rows;
  bool holds_text = false;  // its cells are words, not figures
};

/// Accuracies, controls and differences of one evaluation, in percent and points.
[[nodiscard]] StudyTable evaluation_table(const StudyResults& results,
                                          const std::string& evaluation);

/// The accuracy of every run.
[[nodiscard]] StudyTable run_table(const StudyResults& results, const std::string& evaluation);

/// The numbers of one audit, a row for each and a column for each arm: means with standard
/// deviations, then differences from the reference with their intervals.
[[nodiscard]] std::vector<StudyTable> audit_tables(const StudyResults& results,
                                                   const std::string& audit);

/// Wall time of a run, and with what the arm needed.
[[nodiscard]] StudyTable time_table(const StudyResults& results);

/// How the arms differ: settings that are not the same in all of them.
[[nodiscard]] StudyTable arm_table(const StudyResults& results);

/// How much there is, what arms are compared with, and the machines.
[[nodiscard]] std::vector<std::string> study_sentences(const StudyResults& results);

/// "+1.20"; points of a difference of shares.
[[nodiscard]] std::string points(double difference);

}  // namespace viewfold::report
