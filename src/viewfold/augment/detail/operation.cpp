// Implements what the files of the operations share, and the look-up by name.
#include "viewfold/augment/detail/operation.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {

OpRecord make_record(std::string_view name, std::initializer_list<float> values) {
  check(values.size() <= OpRecord::kMaxValues, "too many values for one record");
  OpRecord record{.op = operation_id(name), .count = static_cast<std::uint16_t>(values.size())};
  std::copy(values.begin(), values.end(), record.values.begin());
  return record;
}

void check_range(std::string_view op,
                 std::string_view low_name,
                 double low,
                 std::string_view high_name,
                 double high) {
  if (!(low <= high)) {
    throw UsageError(fmt::format("{0}: {1} = {2} is above {3} = {4} (lower {1} or raise {3})", op,
                                 low_name, low, high_name, high));
  }
}

const AugmentationEntry& find_augmentation(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& entry : augmentation_table()) {
    if (entry.name == name) {
      return entry;
    }
    names.emplace_back(entry.name);
  }
  const std::string nearest = nearest_name(name, names);
  throw UsageError(fmt::format("there is no augmentation \"{}\" ({})", name,
                               nearest.empty() ? fmt::format("known: {}", fmt::join(names, ", "))
                                               : fmt::format("did you mean \"{}\"?", nearest)));
}

}  // namespace viewfold
