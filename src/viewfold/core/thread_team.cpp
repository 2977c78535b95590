// Implements threads that stay: they look out for the next loop for a moment, then sleep.
#include "viewfold/core/thread_team.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// About 20 microseconds: what waking a sleeping thread costs.
constexpr int kSpins = 500;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

template <class Condition>
void spin_until(const Condition& condition) {
  for (int i = 0; i < kSpins && !condition(); ++i) {
    pause_briefly();
  }
}

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

struct ThreadTeam::State {
  std::mutex turn;  // held by the caller of run()
  std::mutex mutex;
  std::condition_variable begun;
  std::condition_variable ended;
  Loop* loop = nullptr;                  // guarded by mutex, as the next three are when they change
  std::atomic<std::uint64_t> loops = 0;  // begun so far
  std::atomic<int> working = 0;          // threads inside `loop`, the caller not counted
  std::atomic<bool> stops = false;
  std::vector<std::jthread> threads;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  State(State&&) = delete;
  State& operator=(State&&) = delete;

  // Also when the system has refused to begin one more thread.
  ~State() {
    {
      const std::scoped_lock lock(mutex);
      stops = true;
    }
    begun.notify_all();
  }

  void serve() {
    std::uint64_t seen = 0;
    while (true) {
      spin_until([this, seen] { return loops != seen || stops; });
      std::unique_lock lock(mutex);
      begun.wait(lock, [this, seen] { return loops != seen || stops; });
      if (stops) {
        return;
      }
      seen = loops;
      if (loop == nullptr) {
        continue;  // over before this thread had come
      }
      ++working;
      Loop& current = *loop;
      lock.unlock();
      current.work();
      lock.lock();
      --working;
      ended.notify_one();
    }
  }
};

ThreadTeam::ThreadTeam(int threads, const std::function<void()>& on_start)
    : state_(std::make_unique<State>()) {
  check(threads >= 1, "a team has at least one thread");
  for (int i = 1; i < threads; ++i) {
    state_->threads.emplace_back([state = state_.get(), on_start] {
      if (on_start) {
        on_start();
      }
      state->serve();
    });
  }
}

ThreadTeam::~ThreadTeam() = default;

int ThreadTeam::size() const {
  return static_cast<int>(state_->threads.size()) + 1;
}

void ThreadTeam::run(std::size_t count, const std::function<void(std::size_t)>& body) {
  const std::scoped_lock turn(state_->turn);
  Loop loop(count, body);
  {
    const std::scoped_lock lock(state_->mutex);
    state_->loop = &loop;
    ++state_->loops;
  }
  state_->begun.notify_all();
  loop.work();
  {
    const std::scoped_lock lock(state_->mutex);
    state_->loop = nullptr;  // who has not come by now need not come
  }
  spin_until([this] { return state_->working == 0; });
  {
    std::unique_lock lock(state_->mutex);
    state_->ended.wait(lock, [this] { return state_->working == 0; });
  }
  loop.rethrow_failure();
}

}  // namespace viewfold
