// The gradient of all processes, summed while it is computed.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// Averages gradients over processes. They are collected in buckets, from the last parameter to the
/// first, as backward() reaches them; a bucket that is full travels while backward() goes on. In
/// one process it does nothing.
class GradientSum {
 public:
  /// parameters  leaves, in the order in which a forward pass uses them, the same in all processes;
  ///             those that require no gradient are left alone
  GradientSum(const std::vector<at::Tensor>& parameters, const Communicator& communicator);
  ~GradientSum();
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;
  GradientSum(GradientSum&&) = delete;
  GradientSum& operator=(GradientSum&&) = delete;

  /// To be called after each backward(): replaces the gradients by their means over all processes.
  /// Parameters without a gradient stay so.
  void finish();

  /// How many numbers a bucket holds, unless one parameter is larger: 4 MB (ours; torch's
  /// DistributedDataParallel takes 25, for networks that are larger).
  static constexpr std::int64_t kBucket = 1 << 20;

  /// How many buckets there are; 0 in one process.
  [[nodiscard]] std::size_t buckets() const;

 private:
  struct State;
  std::unique_ptr<State> state_;  // null in one process
};

}  // namespace viewfold
