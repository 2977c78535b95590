// What an audit measured, as the charts, tables and pictures of the page.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "viewfold/report/run_files.hpp"

namespace viewfold::report {

/// The model of the transforms, of eval/invariance.json: {"subject", "protocol" (or null),
/// "families": [{"title", "value", "text", "verdict": "ignores" | "sees" | ""}] (highest first),
/// "curves": [{"title", "unit", "identity", "is_ratio", "lowest", "label", "points": [[strength,
/// similarity or null], ...]}], "ignores_from", "sees_below", "has_bars", "has_curves"}; null when
/// there is no such evaluation. Throws DataError that names file and key unless cosines are within
/// -1 .. 1 and curves are whole.
[[nodiscard]] nlohmann::json invariance_model(const std::vector<EvaluationFile>& evaluations);

/// The model of the corruptions, of eval/robustness.json: {"subject", "protocol" (or null),
/// "clean", "chance" (as text; null when unknown), "low", "high" (ends of the colours, and as
/// "low_text", "high_text"), "share": {"clean", "chance"} or null when clean images are guessed,
/// "severities": [1, 2, ...], "rows": [{"title", "values", "cells" (texts)}] (lowest mean first),
/// "is_drawn"}; null when there is no such evaluation. Throws DataError that names file and key
/// unless accuracies are within 0 .. 1.
[[nodiscard]] nlohmann::json robustness_model(const std::vector<EvaluationFile>& evaluations);

/// The model of the map, of eval/map.json: {"subject", "protocol" (or null), "facts": [{"name",
/// "value"}], "count" (text), "legend": [{"index", "name", "count"}], "more" (or null), "sprite":
/// a picture with "tile" and "columns" or null, "points": {"x", "y" (0 .. 100000 along the longer
/// side, y upwards), "class" (index or -1), "name"}, "classes": [names], "is_drawn"}; null when
/// there is no such evaluation or no point. Throws DataError that names file and key unless points,
/// labels and sprite fit each other.
/// dir  of the run, to which the sprite belongs
[[nodiscard]] nlohmann::json map_model(const std::filesystem::path& dir,
                                       const std::vector<EvaluationFile>& evaluations);

/// The model of near duplicates, of eval/duplicates.json: {"subject", "protocol" (or null),
/// "facts": [{"name", "value"}], "pairs": [{"a", "b", "kind", "similarity", "labels"}] (the first
/// of them), "has_pairs", "more" (or null), "sheet": a picture or null}; null when there is no such
/// evaluation. Throws DataError that names file and key unless pairs are whole.
/// dir  of the run, to which the sheet belongs
[[nodiscard]] nlohmann::json duplicates_model(const std::filesystem::path& dir,
                                              const std::vector<EvaluationFile>& evaluations);

/// A picture of the run with its title, {"title", "type", "base64", "width", "height"}; null when
/// the run has no such file.
[[nodiscard]] nlohmann::json picture_model(const std::filesystem::path& dir,
                                           const std::filesystem::path& file,
                                           const std::string& title);

}  // namespace viewfold::report
