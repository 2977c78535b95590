// Implements what the files of the operations share, and the look-up by name.
#include "viewfold/augment/detail/operation.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// Null when no operation has the number of the record.
const AugmentationEntry* entry_of(const OpRecord& record) {
  const auto table = augmentation_table();
  const auto entry = std::find_if(table.begin(), table.end(), [&](const AugmentationEntry& row) {
    return operation_id(row.name) == record.op;
  });
  return entry == table.end() ? nullptr : &*entry;
}

bool says_applied(const Column& column) {
  return column.kind == ValueKind::kFlag && column.name == "applied";
}

}  // namespace

OpRecord make_record(OperationId op, std::initializer_list<float> values) {
  check(values.size() <= OpRecord::kMaxValues, "too many values for one record");
  OpRecord record{.op = op.id, .count = static_cast<std::uint16_t>(values.size())};
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

void Augmentation::apply_to_mask(const OpRecord& /*record*/, Canvas& /*mask*/) const {}

Point Augmentation::move(const OpRecord& /*record*/, Point point, ImageSize /*before*/) const {
  return point;
}

Rect Augmentation::move(const OpRecord& record, const Rect& rect, ImageSize before) const {
  const std::array corners = {
      move(record, Point{rect.left, rect.top}, before),
      move(record, Point{rect.right, rect.top}, before),
      move(record, Point{rect.left, rect.bottom}, before),
      move(record, Point{rect.right, rect.bottom}, before),
  };
  Rect hull{corners[0].x, corners[0].y, corners[0].x, corners[0].y};
  for (const auto& corner : corners) {
    hull.left = std::min(hull.left, corner.x);
    hull.top = std::min(hull.top, corner.y);
    hull.right = std::max(hull.right, corner.x);
    hull.bottom = std::max(hull.bottom, corner.y);
  }
  return hull;
}

std::string record_text(const OpRecord& record) {
  const AugmentationEntry* entry = entry_of(record);
  if (record.count == 0 || entry == nullptr) {
    return "";
  }
  std::string text(entry->name);
  const char* separator = " ";
  for (std::size_t i = 0; i < std::min<std::size_t>(record.count, entry->columns.size()); ++i) {
    const Column& column = entry->columns[i];
    if (says_applied(column)) {
      if (!happened(record)) {
        return text + " not applied";
      }
      continue;
    }
    text += fmt::format("{}{} {:.6g}", separator, column.name, record.values[i]);
    separator = ", ";
  }
  return text;
}

bool was_applied(const OpRecord& record) {
  const AugmentationEntry* entry = entry_of(record);
  const bool may_fail =
      entry != nullptr && !entry->columns.empty() && says_applied(entry->columns[0]);
  return record.count > 0 && (!may_fail || happened(record));
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
