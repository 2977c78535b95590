// Images of one size, stored without compression one behind another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "viewfold/core/input_file.hpp"
#include "viewfold/data/detail/labels.hpp"

namespace viewfold::data {

/// How the values of one image lie in its record.
enum class RawOrder {
  kRows,           // one band, row by row
  kPlanes,         // band by band, each row by row
  kPlanesColumns,  // band by band, each column by column
};

/// The shape of a record: `skip` bytes (labels), then height x width x bands of uint8.
struct RawLayout {
  int height = 0;
  int width = 0;
  int bands = 1;
  RawOrder order = RawOrder::kRows;
  std::uint64_t header = 0;  // bytes before the first record
  std::uint64_t skip = 0;

  [[nodiscard]] std::uint64_t image_bytes() const;
  [[nodiscard]] std::uint64_t record_bytes() const { return skip + image_bytes(); }
};

/// A file of records: read at every access, or already unpacked in memory.
struct RawPart {
  std::string name;  // for name() and errors
  std::variant<InputFile, std::vector<std::byte>> source;
  std::size_t count = 0;
};

/// Opens a file that holds records and nothing else. Throws DataError when it is empty or its size
/// is not that of whole records.
[[nodiscard]] RawPart open_raw_part(const std::filesystem::path& path, const RawLayout& layout);

/// The byte at `offset` of every record. Throws DataError naming the file and the record when it is
/// not below `classes`.
[[nodiscard]] std::vector<std::optional<std::int32_t>> read_record_labels(const RawPart& part,
                                                                          const RawLayout& layout,
                                                                          std::uint64_t offset,
                                                                          std::size_t classes);

/// The records of `parts`, named "file#index" with the index in the file. Throws ContractViolation
/// when there are labels, but not as many as images.
[[nodiscard]] std::unique_ptr<Dataset> make_raw_images(std::vector<RawPart> parts,
                                                       const RawLayout& layout,
                                                       Labels labels);

}  // namespace viewfold::data
