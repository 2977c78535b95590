// Implements the look-up of methods by name.
#include "viewfold/methods/method.hpp"

#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {

const MethodEntry& find_method(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& entry : method_table()) {
    if (entry.name == name) {
      return entry;
    }
    known.emplace_back(entry.name);
  }
  const std::string nearest = nearest_name(name, known);
  throw UsageError(
      fmt::format("there is no method \"{}\"{} (see `viewfold list methods`)", name,
                  nearest.empty() ? "" : fmt::format(", did you mean \"{}\"?", nearest)));
}

}  // namespace viewfold
