// Implements Philox4x32-10 and the distributions drawn from it.
#include "viewfold/core/rng.hpp"

#include <cmath>
#include <numbers>
#include <utility>

#include "viewfold/core/error.hpp"

namespace viewfold {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  // Multipliers and Weyl increments of the paper's reference implementation (Random123).
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53U;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57U;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32U) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32U) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

Rng::Rng(const RngKey& key)
    : key_{},
      counter_{0, key.sample, key.epoch, (std::uint32_t{key.view} << 16U) | key.op} {
  // The stream enters through the key, mixed (SplitMix64's finaliser) so that seeds 0, 1, 2 ... of
  // one stream never meet those of another.
  std::uint64_t mixed = key.seed + name_hash(key.stream);
  mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBULL;
  mixed ^= mixed >> 31U;
  key_ = {static_cast<std::uint32_t>(mixed), static_cast<std::uint32_t>(mixed >> 32U)};
}

std::uint32_t Rng::next_u32() {
  if (used_ == block_.size()) {
    block_ = philox4x32(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

double Rng::uniform() {
  return static_cast<double>(next_u32() >> 8U) * 0x1p-24;
}

double Rng::uniform(double low, double high) {
  return low + (high - low) * uniform();
}

std::uint32_t Rng::below(std::uint32_t bound) {
  check(bound >= 1, "Rng::below needs a bound of at least 1");
  // Lemire's multiply-and-reject: the low half decides whether a draw falls in the biased
  // remainder.
  const std::uint32_t threshold = (0U - bound) % bound;
  while (true) {
    const std::uint64_t product = std::uint64_t{next_u32()} * bound;
    if (static_cast<std::uint32_t>(product) >= threshold) {
      return static_cast<std::uint32_t>(product >> 32U);
    }
  }
}

bool Rng::bernoulli(double probability) {
  return uniform() < probability;
}

double Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

void Rng::permute(std::span<std::uint32_t> order) {
  const auto n = static_cast<std::uint32_t>(order.size());
  for (std::uint32_t i = 0; i < n; ++i) {
    order[i] = i;
  }
  for (std::uint32_t i = n; i > 1; --i) {
    std::swap(order[i - 1], order[below(i)]);
  }
}

std::vector<std::uint32_t> Rng::permutation(std::uint32_t n) {
  std::vector<std::uint32_t> order(n);
  permute(order);
  return order;
}

std::uint64_t derive_seed(const RngKey& key) {
  Rng rng(key);
  const std::uint64_t high = rng.next_u32();
  return (high << 32U) | rng.next_u32();
}

}  // namespace viewfold
