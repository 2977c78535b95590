// Tests of the checksum for much data.
#include "viewfold/core/fast_hash.hpp"

#include <set>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace viewfold {
namespace {

std::uint64_t hash_of(std::string_view text) {
  return fast_hash(std::as_bytes(std::span(text)));
}

TEST(FastHash, GivesTheNumbersOfTheReferenceImplementation) {
  EXPECT_EQ(hash_of(""), 0xEF46DB3751D8E999ULL);
  EXPECT_EQ(hash_of("a"), 0xD24EC4F1A98C6E5BULL);
  EXPECT_EQ(hash_of("abc"), 0x44BC2CF5AD770999ULL);
  EXPECT_EQ(hash_of("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1ULL);
}

TEST(FastHash, ChangesWithEveryBitAndWithTheLength) {
  for (const std::size_t size : {1U, 4U, 7U, 8U, 31U, 32U, 33U, 77U}) {
    std::vector<std::byte> bytes(size, std::byte{0x5A});
    std::set<std::uint64_t> seen{fast_hash(bytes), fast_hash(std::span(bytes).first(size - 1))};
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
      const std::byte mask{static_cast<unsigned char>(1U << bit % 8)};
      bytes[bit / 8] ^= mask;
      seen.insert(fast_hash(bytes));
      bytes[bit / 8] ^= mask;
    }
    EXPECT_EQ(seen.size(), 2 + 8 * size);
  }
}

}  // namespace
}  // namespace viewfold
