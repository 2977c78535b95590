// Implements access to single views and to their drawn parameters.
#include "viewfold/tensor/view_batch.hpp"

#include <charconv>
#include <limits>
#include <string>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// Where a parameter stands among the records of a view.
struct ColumnPlace {
  std::uint16_t op = 0;
  int occurrence = 1;
  std::size_t value = 0;
  ValueKind kind = ValueKind::kReal;
};

ColumnPlace find_column(std::string_view name) {
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos) {
    throw UsageError(fmt::format(
        "\"{}\" is not the name of a view parameter (write \"<operation>.<column>\")", name));
  }
  std::string_view op = name.substr(0, dot);
  ColumnPlace place;
  if (const auto mark = op.find('#'); mark != std::string_view::npos) {
    const auto digits = op.substr(mark + 1);
    const auto parsed =
        std::from_chars(digits.data(), digits.data() + digits.size(), place.occurrence);
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) {
      throw UsageError(fmt::format("\"{}\": after # comes a number", name));
    }
    op = op.substr(0, mark);
  }
  const auto& entry = find_augmentation(op);
  place.op = operation_id(op);
  std::string known;
  for (const auto& column : entry.columns) {
    if (column.name == name.substr(dot + 1)) {
      place.kind = column.kind;
      return place;
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", column.name);
    ++place.value;
  }
  throw UsageError(
      fmt::format("{} has no parameter \"{}\" (it has {})", op, name.substr(dot + 1), known));
}

const OpRecord* find_record(std::span<const OpRecord> records, const ColumnPlace& place) {
  int seen = 0;
  for (const auto& record : records) {
    if (record.count > 0 && record.op == place.op && ++seen == place.occurrence) {
      return &record;
    }
  }
  return nullptr;
}

}  // namespace

at::Tensor ViewBatch::view(std::int64_t v) const {
  check(v >= 0, "the batch has no such view");
  std::int64_t first = v * size();
  for (const auto& group : groups) {
    if (first < group.size(0)) {
      return group.narrow(0, first, size());  // [N, C, S, S]
    }
    first -= group.size(0);
  }
  throw ContractViolation("the batch has no such view");
}

std::int64_t ViewBatch::views() const {
  std::int64_t rows = 0;
  for (const auto& group : groups) {
    rows += group.size(0);
  }
  return indices.empty() ? 0 : rows / size();
}

void ViewBatch::shrink(const std::function<std::int64_t(std::int64_t)>& size_of) {
  for (auto& group : groups) {
    const std::int64_t size = size_of(group.size(2));
    if (size < group.size(2)) {
      group = at::_upsample_bilinear2d_aa(group.to(at::kFloat), {size, size}, false)
                  .to(group.scalar_type())
                  .contiguous(at::MemoryFormat::ChannelsLast);
    }
  }
}

std::span<const OpRecord> ViewBatch::records_of(std::int64_t v, std::int64_t i) const {
  check(v >= 0 && v < views() && i >= 0 && i < size(), "the batch has no such view");
  return std::span(records).subspan(static_cast<std::size_t>(v * size() + i) * ops_per_view,
                                    ops_per_view);
}

const MovedAnnotations& ViewBatch::annotations_of(std::int64_t v, std::int64_t i) const {
  check(v >= 0 && v < views() && i >= 0 && i < size(), "the batch has no such view");
  check(!annotations.empty(), "the data set has no annotations");
  return annotations[static_cast<std::size_t>(v * size() + i)];
}

at::Tensor ViewBatch::column(std::string_view name) const {
  const auto place = find_column(name);
  auto values = at::full({views() * size()}, std::numeric_limits<float>::quiet_NaN());  // [V * N]
  auto* to = values.data_ptr<float>();
  bool found = false;
  for (std::int64_t row = 0; row < values.size(0); ++row) {
    const auto* record = find_record(records_of(row / size(), row % size()), place);
    if (record != nullptr) {
      to[row] = record->values[place.value];
      found = true;
    }
  }
  if (!found) {
    throw UsageError(fmt::format("no view of this batch has a parameter \"{}\"", name));
  }
  switch (place.kind) {
    case ValueKind::kFlag:
      return at::nan_to_num(values, 0.0).to(at::kBool);
    case ValueKind::kInteger:
      return at::nan_to_num(values, -1.0).to(at::kLong);
    case ValueKind::kReal:
      break;
  }
  return values;
}

}  // namespace viewfold
