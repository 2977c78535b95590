// Implements XXH64; steps and letters are those of its specification.
#include "viewfold/core/fast_hash.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace viewfold {
namespace {

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87ULL;
constexpr std::uint64_t kPrime2 = 0xC2B2AE3D27D4EB4FULL;
constexpr std::uint64_t kPrime3 = 0x165667B19E3779F9ULL;
constexpr std::uint64_t kPrime4 = 0x85EBCA77C2B2AE63ULL;
constexpr std::uint64_t kPrime5 = 0x27D4EB2F165667C5ULL;

template <class T>
T number_at(const std::byte* bytes) {
  T number{};
  std::memcpy(&number, bytes, sizeof(T));
  return number;
}

std::uint64_t mix(std::uint64_t accumulator, std::uint64_t lane) {
  return std::rotl(accumulator + lane * kPrime2, 31) * kPrime1;
}

// Steps 1 to 3: stripes of four lanes, which do not wait for one another.
std::uint64_t hash_stripes(std::span<const std::byte> stripes) {
  std::array<std::uint64_t, 4> acc{kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
  constexpr std::size_t kStripe = 32;
  for (std::size_t at = 0; at < stripes.size(); at += kStripe) {
    for (std::size_t lane = 0; lane < acc.size(); ++lane) {
      acc[lane] =
          mix(acc[lane], number_at<std::uint64_t>(stripes.data() + at + lane * sizeof(acc[0])));
    }
  }
  std::uint64_t hash =
      std::rotl(acc[0], 1) + std::rotl(acc[1], 7) + std::rotl(acc[2], 12) + std::rotl(acc[3], 18);
  for (const std::uint64_t lane : acc) {
    hash = (hash ^ mix(0, lane)) * kPrime1 + kPrime4;
  }
  return hash;
}

// Step 5: what is left behind the last stripe.
std::uint64_t hash_rest(std::uint64_t hash, std::span<const std::byte> rest) {
  std::size_t at = 0;
  for (; rest.size() - at >= 8; at += 8) {
    hash ^= mix(0, number_at<std::uint64_t>(rest.data() + at));
    hash = std::rotl(hash, 27) * kPrime1 + kPrime4;
  }
  if (rest.size() - at >= 4) {
    hash ^= std::uint64_t{number_at<std::uint32_t>(rest.data() + at)} * kPrime1;
    hash = std::rotl(hash, 23) * kPrime2 + kPrime3;
    at += 4;
  }
  for (; at < rest.size(); ++at) {
    hash ^= std::to_integer<std::uint64_t>(rest[at]) * kPrime5;
    hash = std::rotl(hash, 11) * kPrime1;
  }
  return hash;
}

}  // namespace

std::uint64_t fast_hash(std::span<const std::byte> bytes) {
  const std::size_t striped = bytes.size() / 32 * 32;
  std::uint64_t hash = striped > 0 ? hash_stripes(bytes.first(striped)) : kPrime5;
  hash = hash_rest(hash + bytes.size(), bytes.subspan(striped));
  // Step 6: every bit of the input reaches every bit of the output.
  hash = (hash ^ (hash >> 33U)) * kPrime2;
  hash = (hash ^ (hash >> 29U)) * kPrime3;
  return hash ^ (hash >> 32U);
}

}  // namespace viewfold
