// What the processes that train together exchange.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "viewfold/core/process_place.hpp"

namespace viewfold {

/// How processes find each other, and when one counts as lost.
struct JoinOptions {
  std::chrono::milliseconds arrival{300'000};  // all must have come after this time
  std::chrono::milliseconds beat{1'000};       // how often each says that it is there
  std::chrono::milliseconds silence{15'000};   // of a process that counts as lost
  /// Called from another thread when a process is lost and this one has not noticed within five
  /// beats, because it computes or waits. May end the process. May be empty.
  std::function<void(const std::string& message)> on_lost = {};
};

struct ProcessGroup;  // of communicator.cpp

/// A sum that is being formed while this process computes.
class PendingSum {
 public:
  PendingSum() = default;

  /// Returns when the sum is complete. Throws PeerError as Communicator does.
  void wait();

 private:
  friend class Communicator;
  struct State;
  std::shared_ptr<State> state_;  // null: complete
};

/// This process among `size()` that do the same, each with its part of every batch. A handle:
/// copies mean the same processes. All of them must call the same functions in the same order, with
/// tensors of the same shapes and types; in one process every function returns at once. Tensors are
/// on the CPU.
///
/// Every function throws PeerError, naming the process as far as it is known, when another one has
/// ended or cannot be reached; after that there is nothing to do but to end.
class Communicator {
 public:
  /// One process.
  Communicator() = default;

  /// Waits until all processes of `place` have come. Throws PeerError naming those that have not,
  /// UsageError when the meeting point cannot be used or when two have the same rank.
  [[nodiscard]] static Communicator join(const ProcessPlace& place, JoinOptions options = {});

  [[nodiscard]] int rank() const;
  [[nodiscard]] int size() const;
  [[nodiscard]] int processes_here() const;  // on this machine, this one included

  /// Replaces `values` (contiguous, float32, float64 or int64) by their sum over all processes. No
  /// gradient flows through it: autograd functions call it in their own forward and backward.
  void all_reduce_sum(const at::Tensor& values) const;

  /// The same beside other work; `values` must be left alone until PendingSum::wait() returns.
  [[nodiscard]] PendingSum start_all_reduce_sum(const at::Tensor& values) const;

  /// rows     [n, ...] any type
  /// returns  [size() * n, ...]: the rows of rank 0, of rank 1, ... The gradient of the own rows is
  ///          the sum over all processes of what they have computed for them.
  [[nodiscard]] at::Tensor all_gather(const at::Tensor& rows) const;

  /// Redistributes the rows of all processes.
  /// rows     [n, ...] any type; no gradient flows through it
  /// order    [size() * n] int64, a permutation, the same on all processes
  /// returns  [n, ...]: of the rows of all processes, in the order of all_gather(), those numbered
  ///          order[rank() * n], order[rank() * n + 1], ...
  [[nodiscard]] at::Tensor exchange_rows(const at::Tensor& rows, const at::Tensor& order) const;

  /// Replaces `values` (contiguous, any type) by those of rank 0.
  void broadcast(const at::Tensor& values) const;

  /// The text of rank 0.
  [[nodiscard]] std::string broadcast(const std::string& text) const;

  /// Returns when all processes have called it.
  void barrier() const;

  /// Divides the processes into `count` runs of consecutive ranks, where count divides size();
  /// returns the one that this process is in. The new group has connections of its own: what it
  /// does may be mixed with what this one does in any order.
  [[nodiscard]] Communicator part(int count) const;

  /// Tells the others why this process is about to end, which they will show in their PeerError.
  /// Never throws.
  void tell_failure(const std::string& why) const noexcept;

 private:
  explicit Communicator(std::shared_ptr<ProcessGroup> group) : group_(std::move(group)) {}

  std::shared_ptr<ProcessGroup> group_;  // null: one process
};

}  // namespace viewfold
