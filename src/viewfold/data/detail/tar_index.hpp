// Where the members of a tar archive lie, found by walking its headers once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "viewfold/core/input_file.hpp"

namespace viewfold::data {

/// A regular file in an archive.
struct TarMember {
  std::string name;  // without leading "./" and "/"
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

/// Whether the file begins with a tar header. Never throws.
[[nodiscard]] bool is_tar(const std::filesystem::path& path);

/// The regular files of an archive (V7, ustar, GNU with long names, pax), hard links resolved, by
/// name in byte order; of members with one name the last stays, as when unpacking. Throws DataError
/// naming the archive, and the member where one is known, when it is truncated or damaged or holds
/// sparse files.
[[nodiscard]] std::vector<TarMember> read_tar_index(const InputFile& file);

}  // namespace viewfold::data
