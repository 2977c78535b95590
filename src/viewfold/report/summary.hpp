// The run in a few sentences.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "viewfold/report/run_files.hpp"

namespace viewfold::report {

/// {"title", "name" (of the folder), "status", "created", "version" (each "" when unknown),
/// "sentences": [texts], "alarms": [{"step", "where" (as text), "message"}]}.
[[nodiscard]] nlohmann::json summary_model(const RunFiles& files);

}  // namespace viewfold::report
