// The measurements of training as curves over steps.
#pragma once

#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace viewfold::report {

/// (step, value); values are finite.
using Points = std::vector<std::pair<double, double>>;

/// At most 2 * buckets points with the outline of `points`: of each bucket of neighbours the lowest
/// and the highest, in their order, so that no spike disappears. Few points are left as they are.
[[nodiscard]] Points thin_out(const Points& points, std::size_t buckets);

/// One object per measurement in the "train" and "online" lines of `metrics`, best known first:
/// {"title", "note" (or null), "first", "last" (values as text), "wide", "format": "number" |
/// "percent", "points": [[step, value], ...]}. A value that is no finite number leaves no point.
[[nodiscard]] nlohmann::json curves_model(const std::vector<nlohmann::json>& metrics);

}  // namespace viewfold::report
