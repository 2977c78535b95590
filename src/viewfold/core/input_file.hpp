// Reads bytes of a file at any position, from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "viewfold/core/files.hpp"

namespace viewfold {

/// A regular file, open for reading. Const and thread-safe: reading moves no shared position.
class InputFile {
 public:
  /// Throws DataError naming the path when it does not exist, may not be read, or is a folder, a
  /// pipe or a device.
  explicit InputFile(std::filesystem::path path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// Bytes in the file when it was opened.
  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// Fills `out` with the bytes from `offset` on. Throws DataError when the file ends before.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

  /// `count` bytes from `offset` on; what lies behind the end is refused before memory is taken.
  [[nodiscard]] std::vector<std::byte> read_at(std::uint64_t offset, std::uint64_t count) const;

 private:
  std::filesystem::path path_;
  FileHandle file_;
  std::uint64_t size_ = 0;
};

}  // namespace viewfold
