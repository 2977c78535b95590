// Looks evaluations up by name.
#include "viewfold/eval/evaluation.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"

namespace viewfold {

const EvaluationEntry& find_evaluation(std::string_view name) {
  const auto table = evaluation_table();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [name](const auto& entry) { return entry.name == name; });
  if (found != table.end()) {
    return *found;
  }
  std::vector<std::string> names;
  for (const auto& entry : table) {
    names.emplace_back(entry.name);
  }
  const auto nearest = nearest_name(name, names);
  throw UsageError(fmt::format("unknown evaluation '{}' ({})", name,
                               nearest.empty() ? fmt::format("there are {}", fmt::join(names, ", "))
                                               : fmt::format("did you mean {}?", nearest)));
}

}  // namespace viewfold
