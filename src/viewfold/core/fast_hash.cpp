// Implements the checksum with the library of its authors.
#include "viewfold/core/fast_hash.hpp"

#include <xxhash.h>

namespace viewfold {

std::uint64_t fast_hash(std::span<const std::byte> bytes) {
  return XXH64(bytes.data(), bytes.size(), 0);
}

}  // namespace viewfold
