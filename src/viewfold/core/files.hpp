// Whole files in and out: read at once, written so that a crash leaves the old or the new one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace viewfold {

/// The bytes of a file. Throws DataError naming the path and the reason.
[[nodiscard]] std::vector<std::byte> read_file(const std::filesystem::path& path);

/// The same as text; its encoding is not checked.
[[nodiscard]] std::string read_text_file(const std::filesystem::path& path);

/// Replaces the file at `path` as a whole and durably. On failure (full disk, no such folder)
/// throws WriteError naming the path and leaves the old file as it was and nothing beside it.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// Makes the folder and those above it, unless they are there. Throws WriteError.
void create_folder(const std::filesystem::path& path);

/// Owns an open file descriptor.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&& other) noexcept;
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  ~FileHandle();

  [[nodiscard]] int get() const { return descriptor_; }
  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

/// Opens `path` with the flags of open(2). Throws DataError, WriteError where it was to be written.
[[nodiscard]] FileHandle open_file(const std::filesystem::path& path, int flags);

/// Writes all of `bytes` at the descriptor's position; `path` is for the WriteError on failure.
void write_all(const FileHandle& file,
               const std::filesystem::path& path,
               std::span<const std::byte> bytes);

/// SHA-256 (FIPS 180-4) as 64 lower-case hexadecimal digits.
[[nodiscard]] std::string hex_hash(std::span<const std::byte> bytes);

}  // namespace viewfold
