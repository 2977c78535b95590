// Runs beside each other: where their settings differ, their numbers, their curves.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "viewfold/report/curves.hpp"

namespace viewfold::report {

struct ComparedRun {
  std::string name;      // of its folder; its path where two folders have the same name
  std::string sentence;  // how far its training came
};

/// A setting that is not the same in all runs.
struct ComparedSetting {
  std::string key;
  std::vector<std::optional<std::string>> values;  // by run; nothing where it has no such setting
};

/// A number of the training or of an evaluation.
struct ComparedNumber {
  std::string name;
  std::string note;                           // what it was measured on, or how; "" for none
  bool is_share = false;                      // 0 .. 1, shown in percent
  std::vector<std::optional<double>> values;  // by run; NaN where a file holds no number for it
};

/// A measurement over the steps of those runs that recorded it.
struct ComparedCurve {
  struct Line {
    std::size_t run = 0;
    Points points;      // at least one
    std::string first;  // values as text
    std::string last;
  };
  std::string title;
  std::string note;  // "" for none
  bool is_share = false;
  bool is_wide = false;  // the first thing to look at
  std::vector<Line> lines;
};

struct Comparison {
  std::vector<ComparedRun> runs;
  std::vector<ComparedSetting> settings;  // by key
  std::vector<ComparedNumber> numbers;    // of training, then of evaluations by name
  std::vector<ComparedCurve> curves;      // best known first
  std::vector<std::string> remarks;       // what a reader must know before believing the tables
};

/// Reads the runs in `dirs`, two or more; the others are compared with the first. Throws DataError
/// that names the file when a folder is no run and when a file is broken, ContractViolation when
/// there are fewer than two.
[[nodiscard]] Comparison compare_runs(const std::vector<std::filesystem::path>& dirs);

/// The settings as rows of texts below their head, a column for each run; "-" where there is none.
[[nodiscard]] std::vector<std::vector<std::string>> settings_table(const Comparison& comparison);

/// The numbers likewise; behind every run but the first stands its difference to the first, of
/// shares in points.
[[nodiscard]] std::vector<std::vector<std::string>> numbers_table(const Comparison& comparison);

/// Tables and curves as one HTML page that opens offline, loads nothing and runs nothing.
[[nodiscard]] std::string comparison_html(const Comparison& comparison);

}  // namespace viewfold::report
