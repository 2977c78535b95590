// Implements the choice of a manifold operator.
#include "viewfold/manifold/manifold.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/config.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {

const ManifoldEntry& find_manifold(std::string_view name) {
  const auto table = manifold_table();
  const auto found = std::ranges::find(table, name, &ManifoldEntry::name);
  if (found != table.end()) {
    return *found;
  }
  std::vector<std::string> names;
  for (const auto& row : table) {
    names.emplace_back(row.name);
  }
  const auto nearest = nearest_name(name, names);
  throw UsageError(fmt::format("unknown manifold operator '{}' ({})", name,
                               nearest.empty() ? fmt::format("known: {}", fmt::join(names, ", "))
                                               : fmt::format("did you mean {}?", nearest)));
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
