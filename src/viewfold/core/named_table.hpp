// Looking up a row of a table by its name.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/config.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {

/// The row called `name` of a table whose rows have a `name`. Throws UsageError with the nearest
/// known name, or all of them.
/// what  a row is, for the message: "encoder"
template <class Row>
const Row& find_row(std::span<const Row> table, std::string_view name, std::string_view what) {
  const auto found = std::ranges::find(table, name, &Row::name);
  if (found != table.end()) {
    return *found;
  }
  std::vector<std::string> names;
  for (const auto& row : table) {
    names.emplace_back(row.name);
  }
  const auto nearest = nearest_name(name, names);
  throw UsageError(fmt::format("unknown {} '{}' ({})", what, name,
                               nearest.empty() ? fmt::format("known: {}", fmt::join(names, ", "))
                                               : fmt::format("did you mean {}?", nearest)));
}

}  // namespace viewfold
