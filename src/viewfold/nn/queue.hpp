// The queue of past keys that MoCo contrasts with.
#pragma once

#include <cstdint>

#include <torch/nn/module.h>

namespace viewfold {

/// Throws UsageError, naming sizes that work, unless whole batches fill the queue exactly.
void check_queue_size(std::int64_t size, std::int64_t batch);

/// First in, first out, over K unit rows. Both buffers are part of a checkpoint.
class KeyQueue : public torch::nn::Module {
 public:
  /// Starts as `size` random unit rows of `dim`, which depend on `seed` alone. Throws
  /// ContractViolation on sizes below 1.
  KeyQueue(std::int64_t size, std::int64_t dim, std::uint64_t seed);

  /// [K, D] float32, unit rows: a copy, which enqueue() may not change under a pending backward().
  [[nodiscard]] at::Tensor rows() const;

  /// Replaces the oldest N rows.
  /// keys  [N, D] any floating type and length; normalised here, no gradient kept. Throws
  /// UsageError
  ///       unless K is a multiple of N, ContractViolation on another D.
  void enqueue(const at::Tensor& keys);

 private:
  at::Tensor rows_;     // [K, D]
  at::Tensor pointer_;  // [] int64, the oldest row
};

}  // namespace viewfold
