// What the files of the operations share: ids, records, checks of pairs of settings.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "viewfold/augment/augmentation.hpp"

namespace viewfold {

/// The number of an operation in keys and records: low 16 bits of the hash of its name.
[[nodiscard]] constexpr std::uint16_t operation_id(std::string_view name) {
  return static_cast<std::uint16_t>(name_hash(name));
}

/// The number of an operation, made from its name while compiling where that is a constant.
struct OperationId {
  template <class Name>
  requires std::convertible_to<const Name&, std::string_view>
  // NOLINTNEXTLINE(google-explicit-constructor): stands for the name
  consteval OperationId(const Name& name) : id(operation_id(std::string_view(name))) {}
  constexpr explicit OperationId(std::uint16_t number) : id(number) {}
  std::uint16_t id;
};

/// The record of an operation with these values. Throws ContractViolation when they are too many.
[[nodiscard]] OpRecord make_record(OperationId op, std::initializer_list<float> values);

/// Whether an operation that happens with a probability happened.
[[nodiscard]] inline bool happened(const OpRecord& record) {
  return record.values[0] != 0.0F;
}

/// A buffer of the size, bands and type of the current picture, to write its successor into.
[[nodiscard]] inline Image& prepare_like(Canvas& canvas) {
  const Image& image = canvas.image();
  return canvas.prepare(image.height(), image.width(), image.bands(), image.type());
}

/// The largest of 1, 2, 4 and 8 by which a part of height x width pixels can be divided and still
/// not be enlarged to size x size.
[[nodiscard]] inline int reduction_for(int height, int width, int size) {
  int reduction = 8;
  while (reduction > 1 && std::min(height, width) / reduction < size) {
    reduction /= 2;
  }
  return reduction;
}

/// The same for whole pictures, whose sides must come out without rounding.
[[nodiscard]] inline int reduction_for_whole(ImageSize size, int target) {
  int reduction = reduction_for(size.height, size.width, target);
  while (size.height % reduction != 0 || size.width % reduction != 0) {
    reduction /= 2;
  }
  return reduction;
}

/// A seed that a record holds exactly: 24 bits.
[[nodiscard]] inline float draw_seed(Rng& rng) {
  return static_cast<float>(rng.next_u32() >> 8U);
}

/// Throws UsageError unless low <= high; `op` and the names of the two settings are for the
/// message.
void check_range(std::string_view op,
                 std::string_view low_name,
                 double low,
                 std::string_view high_name,
                 double high);

}  // namespace viewfold
