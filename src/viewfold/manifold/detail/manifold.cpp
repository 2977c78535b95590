// Implements the choice of a manifold operator.
#include "viewfold/manifold/manifold.hpp"

#include <string>
#include <vector>

#include "viewfold/core/error.hpp"
#include "viewfold/core/named_table.hpp"

namespace viewfold {

const ManifoldEntry& find_manifold(std::string_view name) {
  return find_row(manifold_table(), name, "manifold operator");
}

std::filesystem::path generator_file(const std::filesystem::path& folder) {
  return folder / "generator.safetensors";
}

std::vector<std::uint32_t> other_samples(std::uint32_t n, std::uint64_t seed) {
  check(n >= 2, "the only image has no other");
  const auto ring = Rng({.seed = seed, .stream = "others"}).permutation(n);
  std::vector<std::uint32_t> others(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    others[ring[i]] = ring[(i + 1) % n];
  }
  return others;
}

}  // namespace viewfold
