// Random numbers as a function of a key: Philox4x32-10 and the distributions drawn from it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace viewfold {

/// One block of Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
/// 2011).
[[nodiscard]] std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                      std::array<std::uint32_t, 2> key);

/// 64-bit FNV-1a of a name; gives streams and operations numbers that do not depend on their order.
[[nodiscard]] constexpr std::uint64_t name_hash(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  }
  return hash;
}

/// Everything that a random number may depend on.
struct RngKey {
  std::uint64_t seed = 0;        // of the run
  std::string_view stream = {};  // what the number is for: "view", "order", "holdout", ...
  std::uint32_t epoch = 0;
  std::uint32_t sample = 0;  // index of the sample in its data set
  std::uint16_t view = 0;    // index of the view of that sample
  std::uint16_t op = 0;      // low 16 bits of name_hash(operation)
};

/// Yields the numbers that belong to a key, wherever and in whatever order it runs.
class Rng {
 public:
  explicit Rng(const RngKey& key);

  [[nodiscard]] std::uint32_t next_u32();

  /// In [0, 1), 24 bits.
  [[nodiscard]] double uniform();

  /// In [low, high); low when both are equal.
  [[nodiscard]] double uniform(double low, double high);

  /// In [0, bound), without modulo bias; bound >= 1, else ContractViolation.
  [[nodiscard]] std::uint32_t below(std::uint32_t bound);

  [[nodiscard]] bool bernoulli(double probability);

  /// Standard normal (Box-Muller).
  [[nodiscard]] double normal();

  /// Fills `order` with 0 .. order.size() - 1 in random order (Fisher-Yates).
  void permute(std::span<std::uint32_t> order);

  /// 0 .. n-1 in random order, as permute() draws it.
  [[nodiscard]] std::vector<std::uint32_t> permutation(std::uint32_t n);

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  unsigned used_ = 4;
};

/// A seed for a library generator that must be keyed too: mixes the parts of `key` into 64 bits.
[[nodiscard]] std::uint64_t derive_seed(const RngKey& key);

}  // namespace viewfold
