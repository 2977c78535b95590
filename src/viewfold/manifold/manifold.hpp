// The interface of manifold operators: given an image, other images of the same thing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "viewfold/core/rng.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/manifold/local_manifold.hpp"

namespace viewfold {

/// Samples other images from the local manifolds of the images of a data set. Const and
/// thread-safe.
class Manifold {
 public:
  Manifold() = default;
  Manifold(const Manifold&) = delete;
  Manifold& operator=(const Manifold&) = delete;
  Manifold(Manifold&&) = delete;
  Manifold& operator=(Manifold&&) = delete;
  virtual ~Manifold() = default;

  /// One image from the local manifold of each sample, into images[i]. Which one depends on the key
  /// (its seed, stream, epoch and view) and the sample alone, up to rounding.
  virtual void sample(std::span<const std::uint32_t> samples,
                      const RngKey& key,
                      std::span<Image> images) const = 0;
};

/// What operators are made of.
struct ManifoldContext {
  std::shared_ptr<const LocalManifold> manifold;
  std::shared_ptr<const Dataset> images;  // that the manifold was fitted on, in its order
  std::int64_t bands = 3;                 // that training sees
  std::filesystem::path folder = {};      // of the fitted manifold: files of generators
  double truncation = 0.0;  // noise beyond this many deviations is drawn again; 0: none is
  std::uint64_t seed = 0;
};

/// One row of the table of operators. `src/viewfold/manifold/operators/<stem>.cpp` defines
/// `<stem>_entry()`.
struct ManifoldEntry {
  std::string_view name;     // the file stem
  std::string_view summary;  // one line for `viewfold list operators`
  bool is_costly = false;    // samples are better made once and kept
  /// Throws DataError when the folder does not hold what it needs.
  std::unique_ptr<Manifold> (*make)(const ManifoldContext& context);
};

/// All operators, by name. Generated from the file names in `src/viewfold/manifold/operators/`.
[[nodiscard]] std::span<const ManifoldEntry> manifold_table();

/// The row called `name`. Throws UsageError with the nearest known name.
[[nodiscard]] const ManifoldEntry& find_manifold(std::string_view name);

/// The generator of a fitted manifold.
[[nodiscard]] std::filesystem::path generator_file(const std::filesystem::path& folder);

/// Another sample for each of n, nobody's own: a random order, read as a ring. [n]
[[nodiscard]] std::vector<std::uint32_t> other_samples(std::uint32_t n, std::uint64_t seed);

}  // namespace viewfold
