// Worker threads that turn a data set and a view plan into batches, in an order fixed by seed and
// epoch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/augment/substitutes.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/tensor/image_tensor.hpp"
#include "viewfold/tensor/view_batch.hpp"

namespace viewfold {

struct LoaderOptions {
  std::int64_t batch_size = 256;
  std::int64_t shard = 0;        // of each batch: this one of `shards` equal runs of its samples
  std::int64_t shards = 1;       // they divide batch_size
  std::int64_t first_step = 0;   // where a resumed run goes on
  std::int64_t total_steps = 0;  // next() may be called total_steps - first_step times
  std::int64_t bands = 3;        // every image is converted to this many
  std::uint64_t seed = 0;
  int threads = 1;
  int prefetch = 3;  // batches made ahead of the trainer (at least one for each thread) ...
  std::uint64_t memory_budget = 4'000'000'000;  // ... as far as their bytes fit; one always does
  double max_bad_fraction = 0.0;                // share of images that may turn out unreadable
  bool reduce_jpeg = false;                     // decode JPEGs no larger than their views need
  at::ScalarType type = at::kFloat;             // of the views: kFloat or kBFloat16
  std::shared_ptr<const SubstituteSource> substitutes = {};  // null: every view is of its own image
};

/// Batches per epoch; the last, incomplete batch of an epoch is dropped, as MoCo's queue and batch
/// statistics need equal batches. Throws UsageError when there is not even one.
[[nodiscard]] std::int64_t batches_per_epoch(std::size_t dataset_size, std::int64_t batch_size);

/// Bytes of one batch, or of the shard of it that is made, without annotations.
[[nodiscard]] std::uint64_t batch_bytes(const ViewPlan& plan, const LoaderOptions& options);

/// Makes the batches of a run, or its shard of each. What a batch holds depends on seed and step
/// only, never on threads, and the shards together are the whole batch.
class Loader {
 public:
  /// Throws UsageError when the data set is smaller than one batch, ContractViolation on shards
  /// that do not divide it.
  Loader(std::shared_ptr<const Dataset> dataset,
         ViewPlan plan,
         const Normalization& normalization,
         const LoaderOptions& options);

  /// Stops the workers; returns within the time of one sample.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  Loader(Loader&&) = delete;
  Loader& operator=(Loader&&) = delete;

  /// The next batch; waits for it. Rethrows what a worker threw: DataError names the image.
  [[nodiscard]] ViewBatch next();

  /// Seconds that next() has waited since construction.
  [[nodiscard]] double waited_seconds() const;

  /// Names and reasons of the images that were left out so far.
  [[nodiscard]] std::vector<std::string> left_out() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace viewfold
