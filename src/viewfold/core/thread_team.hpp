// Threads that stay, for loops that are short and many.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace viewfold {

/// Threads that share loops. An index is taken when a thread is free for it, so that a thread that
/// the system keeps from running delays no more than the index that it holds.
class ThreadTeam {
 public:
  /// threads   the caller of run() among them; at least 1
  /// on_start  is called once in each thread but the caller's; may be empty
  explicit ThreadTeam(int threads, const std::function<void()>& on_start = {});

  /// Waits for the threads to end.
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;
  ThreadTeam(ThreadTeam&&) = delete;
  ThreadTeam& operator=(ThreadTeam&&) = delete;

  [[nodiscard]] int size() const;

  /// Calls body(0) ... body(count - 1), each once, in no fixed order. Returns when all are done.
  /// When calls throw, no further ones are begun, and the exception of the lowest index that threw
  /// is rethrown. One loop at a time: a second caller waits; a body must not call run().
  void run(std::size_t count, const std::function<void(std::size_t)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace viewfold
