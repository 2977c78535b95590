// The results of a study for other programs.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "viewfold/report/study.hpp"

namespace viewfold::report {

/// The content of study.json; accuracies and differences are shares, 0 .. 1.
[[nodiscard]] nlohmann::ordered_json study_json(const StudyResults& results);

}  // namespace viewfold::report
