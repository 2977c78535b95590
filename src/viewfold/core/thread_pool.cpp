// Implements loops over several threads.
#include "viewfold/core/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace viewfold {

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& body) {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::size_t failed_index = count;
  std::exception_ptr failure;
  const auto work = [&] {
    while (!failed) {
      const std::size_t index = next++;
      if (index >= count) {
        return;
      }
      try {
        body(index);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        failed = true;
        if (index < failed_index) {
          failed_index = index;
          failure = std::current_exception();
        }
      }
    }
  };
  // They join when they go, also when the system refuses to begin one more.
  std::vector<std::jthread> helpers;
  const std::size_t wanted = std::min(count, static_cast<std::size_t>(std::max(threads, 1)));
  for (std::size_t t = 1; t < wanted; ++t) {
    helpers.emplace_back(work);
  }
  work();
  helpers.clear();
  if (failure) {
    std::rethrow_exception(failure);
  }
}

}  // namespace viewfold
