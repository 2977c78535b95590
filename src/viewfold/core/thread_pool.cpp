// Implements loops over several threads.
#include "viewfold/core/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace viewfold {

namespace {

// What the threads of one loop share.
class Loop {
 public:
  Loop(std::size_t count, const std::function<void(std::size_t)>& body)
      : count_(count),
        body_(body),
        failed_index_(count) {}

  // Takes one index after another until there are no more, or a call has thrown.
  void work() {
    while (!failed_) {
      const std::size_t index = next_++;
      if (index >= count_) {
        return;
      }
      call(index);
    }
  }

  void rethrow_failure() const {
    if (failure_) {
      std::rethrow_exception(failure_);
    }
  }

 private:
  void call(std::size_t index) {
    try {
      body_(index);
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      failed_ = true;
      if (index < failed_index_) {
        failed_index_ = index;
        failure_ = std::current_exception();
      }
    }
  }

  const std::size_t count_;
  const std::function<void(std::size_t)>& body_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::size_t failed_index_;
  std::exception_ptr failure_;
};

}  // namespace

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& body) {
  Loop loop(count, body);
  {
    // They join when they go, also when the system refuses to begin one more.
    std::vector<std::jthread> helpers;
    const std::size_t wanted = std::min(count, static_cast<std::size_t>(std::max(threads, 1)));
    for (std::size_t t = 1; t < wanted; ++t) {
      helpers.emplace_back([&loop] { loop.work(); });
    }
    loop.work();
  }
  loop.rethrow_failure();
}

}  // namespace viewfold
