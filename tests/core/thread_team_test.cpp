// Tests of threads that stay: many loops, one after the other.
#include "viewfold/core/thread_team.hpp"

#include <atomic>
#include <barrier>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

TEST(ThreadTeam, RunsManyShortLoopsCompletely) {
  for (const int threads : {1, 2, 5}) {
    ThreadTeam team(threads);
    EXPECT_EQ(team.size(), threads);
    std::vector<int> calls(17, 0);  // each index is one thread's at a time
    for (int loop = 0; loop < 2000; ++loop) {
      team.run(calls.size(), [&](std::size_t i) { ++calls[i]; });
      ASSERT_EQ(std::accumulate(calls.begin(), calls.end(), 0), 17 * (loop + 1));
    }
  }
}

TEST(ThreadTeam, WakesItsThreadsAfterAPause) {
  ThreadTeam team(3);
  for (int loop = 0; loop < 3; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // they sleep by now
    std::barrier together(3);                                   // passed by three threads only
    team.run(3, [&](std::size_t /*i*/) { together.arrive_and_wait(); });
  }
}

TEST(ThreadTeam, StartsEachOfItsThreadsOnce) {
  std::atomic<int> started{0};
  {
    ThreadTeam team(4, [&] { ++started; });
    team.run(100, [](std::size_t /*i*/) {});
  }
  EXPECT_EQ(started, 3);  // the caller has been there before
}

TEST(ThreadTeam, GoesOnAfterAnException) {
  ThreadTeam team(2);
  EXPECT_THROW(team.run(10,
                        [](std::size_t i) {
                          if (i == 4) {
                            throw std::runtime_error("four");
                          }
                        }),
               std::runtime_error);
  std::atomic<int> calls{0};
  team.run(10, [&](std::size_t /*i*/) { ++calls; });
  EXPECT_EQ(calls, 10);
}

TEST(ThreadTeam, TakesOneLoopAtATimeFromSeveralCallers) {
  ThreadTeam team(2);
  std::vector<std::atomic<int>> counts(2);
  {
    std::vector<std::jthread> callers;
    for (std::size_t c = 0; c < 2; ++c) {
      callers.emplace_back([&, c] {
        for (int loop = 0; loop < 500; ++loop) {
          team.run(3, [&](std::size_t /*i*/) { ++counts[c]; });
        }
      });
    }
  }
  EXPECT_EQ(counts[0], 1500);
  EXPECT_EQ(counts[1], 1500);
}

TEST(ThreadTeam, NeedsAThread) {
  EXPECT_THROW(ThreadTeam(0), ContractViolation);
}

}  // namespace
}  // namespace viewfold
