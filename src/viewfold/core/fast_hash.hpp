// A checksum for much data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace viewfold {

/// XXH64 with seed 0 (https://github.com/Cyan4973/xxHash): as fast as memory is read; finds
/// accidents, not intent.
[[nodiscard]] std::uint64_t fast_hash(std::span<const std::byte> bytes);

}  // namespace viewfold
