// Event files that TensorBoard reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "viewfold/core/files.hpp"

namespace viewfold {

/// CRC-32C (Castagnoli), RFC 3720, Appendix B.4.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes);

/// Appends scalars to an event file of its own: TFRecord framing around Event messages
/// (tensorflow/core/util/event.proto).
class TensorboardWriter {
 public:
  /// The file is made in `folder`, which is created too, at the first write.
  explicit TensorboardWriter(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// One event with the tags "<group>/<name>"; values are stored as float32. Throws WriteError when
  /// the file cannot be written.
  void write(std::string_view group,
             const std::vector<std::pair<std::string, double>>& scalars,
             std::int64_t step);

 private:
  void open();
  void append_record(const std::string& event);

  std::filesystem::path folder_;
  std::filesystem::path path_;
  FileHandle file_;
};

}  // namespace viewfold
