// What the evaluations measured, as cards, table, confusions and sentences.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "viewfold/report/run_files.hpp"

namespace viewfold::report {

/// An evaluation as people call it: "Linear probe" for "linear".
[[nodiscard]] std::string evaluation_title(const std::string& name);

/// Which images an evaluation is of, as much of it as is known: "fashion-mnist, test, 10,000
/// images".
[[nodiscard]] std::string evaluation_subject(const nlohmann::json& evaluation);

/// One object per evaluation with an accuracy: {"title", "subject", "value", "protocol" (or null),
/// "bars": [{"label", "value", "width" (percent), "is_control"}], "verdict" (or null)}.
[[nodiscard]] nlohmann::json result_cards(const std::vector<EvaluationFile>& evaluations);

/// Every number beside its controls: {"controls": [names], "rows": [{"evaluation", "subject",
/// "number", "value", "cells": [texts, "" where there is no control]}]}; null when there is none.
[[nodiscard]] nlohmann::json result_table(const std::vector<EvaluationFile>& evaluations);

/// One object per confusion matrix: {"title", "classes", "matrix", "is_drawn", "worst": [{"truth",
/// "guess", "count", "share"}]}. Throws DataError that names the file unless the matrix is square,
/// of counts, with one name per row.
[[nodiscard]] nlohmann::json confusions_model(const std::vector<EvaluationFile>& evaluations);

/// The accuracies in words, one sentence each, with their controls; of more than four evaluations,
/// as an audit has them, only those of knn, linear and fine_tuning.
[[nodiscard]] std::vector<std::string> result_sentences(
    const std::vector<EvaluationFile>& evaluations);

}  // namespace viewfold::report
