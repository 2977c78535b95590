// Tests of loops over several threads: each index once, and what becomes of exceptions.
#include "viewfold/core/thread_pool.hpp"

#include <atomic>
#include <barrier>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace viewfold {
namespace {

TEST(ParallelFor, CallsEveryIndexOnce) {
  for (const std::size_t count : {0, 1, 2, 7, 1000}) {
    for (const int threads : {-1, 0, 1, 2, 8}) {
      std::vector<std::atomic<int>> calls(count);
      parallel_for(count, threads, [&](std::size_t i) { ++calls[i]; });
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(calls[i], 1) << i << " of " << count << " on " << threads;
      }
    }
  }
}

TEST(ParallelFor, OneThreadIsTheCallersInOrder) {
  const auto caller = std::this_thread::get_id();
  std::vector<std::size_t> order;
  parallel_for(5, 1, [&](std::size_t i) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    order.push_back(i);
  });
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3, 4}));
}

TEST(ParallelFor, WorksOnAsManyThreadsAsAsked) {
  std::barrier together(4);  // never passed by fewer than four threads
  std::atomic<int> passed{0};
  parallel_for(8, 4, [&](std::size_t /*i*/) {
    together.arrive_and_wait();
    ++passed;
  });
  EXPECT_EQ(passed, 8);
}

TEST(ParallelFor, AfterAnExceptionNoFurtherCallBegins) {
  std::vector<std::size_t> calls;
  EXPECT_THROW(parallel_for(10, 1,
                            [&](std::size_t i) {
                              calls.push_back(i);
                              if (i == 3) {
                                throw std::runtime_error("three");
                              }
                            }),
               std::runtime_error);
  EXPECT_EQ(calls, (std::vector<std::size_t>{0, 1, 2, 3}));
}

TEST(ParallelFor, RethrowsTheExceptionOfTheLowestIndex) {
  std::barrier together(4);
  std::atomic<int> calls{0};
  try {
    parallel_for(1000, 4, [&](std::size_t i) {
      ++calls;
      together.arrive_and_wait();
      throw std::runtime_error(std::to_string(i));
    });
    FAIL() << "four exceptions were swallowed";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "0");
  }
  EXPECT_EQ(calls, 4);
}

TEST(ParallelFor, CallsThatHaveBegunAreFinishedBeforeItThrows) {
  std::barrier together(2);
  std::atomic<bool> finished{false};
  EXPECT_THROW(parallel_for(2, 2,
                            [&](std::size_t i) {
                              together.arrive_and_wait();
                              if (i == 0) {
                                throw std::runtime_error("first");
                              }
                              std::this_thread::yield();
                              finished = true;
                            }),
               std::runtime_error);
  EXPECT_TRUE(finished);
}

}  // namespace
}  // namespace viewfold
