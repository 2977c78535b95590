// What the files of the operations share: ids, records, checks of pairs of settings.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "viewfold/augment/augmentation.hpp"

namespace viewfold {

/// The number of an operation in keys and records: low 16 bits of the hash of its name.
[[nodiscard]] constexpr std::uint16_t operation_id(std::string_view name) {
  return static_cast<std::uint16_t>(name_hash(name));
}

/// The record of operation `name` with these values. Throws ContractViolation when they are too
/// many.
[[nodiscard]] OpRecord make_record(std::string_view name, std::initializer_list<float> values);

/// Whether an operation that happens with a probability happened.
[[nodiscard]] inline bool happened(const OpRecord& record) {
  return record.values[0] != 0.0F;
}

/// A buffer of the size, bands and type of the current picture, to write its successor into.
[[nodiscard]] inline Image& prepare_like(Canvas& canvas) {
  const Image& image = canvas.image();
  return canvas.prepare(image.height(), image.width(), image.bands(), image.type());
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
