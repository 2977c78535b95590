// What an audit found, in words: what an encoder ignores, what it sees, where it breaks.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "viewfold/report/run_files.hpp"

namespace viewfold::report {

/// Mean whitened cosines from which an encoder counts as ignoring a transform, and below which as
/// seeing it. Both are ours.
inline constexpr double kIgnoresFrom = 0.8;
inline constexpr double kSeesBelow = 0.4;

/// "gaussian_noise" as "gaussian noise".
[[nodiscard]] std::string spoken(std::string name);

/// What the object at `key` holds under each name: a list of numbers, or a number as a list of one;
/// empty lists are left out. Throws DataError that names the file when there is anything else.
[[nodiscard]] std::map<std::string, std::vector<double>> lists_by_name(const EvaluationFile& file,
                                                                       const std::string& key);

/// Sentences about robustness, invariance, rendered solids, attacks and near duplicates, where
/// their files (eval/robustness.json, ...) are among those given; none otherwise. What counts as
/// "ignores" and "breaks" is ours:
///  - breaks under a corruption: more than half of the clean accuracy above chance is lost at one
///    severity; the first such severity is told
///  - holds under a corruption: nine tenths of it are left at severity 5
///  - ignores a transform: mean whitened cosine of kIgnoresFrom and more; sees it: below kSeesBelow
/// Throws DataError that names the file where the numbers are not what they should be.
[[nodiscard]] std::vector<std::string> finding_sentences(
    const std::vector<EvaluationFile>& evaluations);

/// The numbers of an audit beside each other: the head, then a row for each number of each
/// evaluation, with a column for each run; "-" where a run lacks it. Accuracies of single
/// corruptions, and what attacks are compared with, are left to the files. Of several runs the last
/// row is the mean corruption error (arXiv:1903.12261, Sec. 4.3) beside the first one, where all
/// that it needs has been measured.
/// names  of the runs, as many as there are lists
[[nodiscard]] std::vector<std::vector<std::string>> audit_table(
    const std::vector<std::string>& names, const std::vector<std::vector<EvaluationFile>>& runs);

}  // namespace viewfold::report
