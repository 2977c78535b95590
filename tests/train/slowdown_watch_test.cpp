// Slow steps are told once, and only when they last.
#include "viewfold/train/slowdown_watch.hpp"

#include <gtest/gtest.h>

namespace viewfold {
namespace {

TEST(SlowdownWatch, TellsOnceWhenSteadilySlowerThanTheFastestStep) {
  SlowdownWatch watch;
  EXPECT_FALSE(watch.observe(0.25));
  for (int i = 1; i < SlowdownWatch::kPatience; ++i) {
    EXPECT_FALSE(watch.observe(2.0)) << i;
  }
  const auto message = watch.observe(2.0);
  ASSERT_TRUE(message);
  EXPECT_NE(message->find("took 0.25 s before"), std::string::npos) << *message;
  EXPECT_FALSE(watch.observe(2.0));
}

TEST(SlowdownWatch, KeepsQuietAboutOneSlowStepAndASlowStart) {
  SlowdownWatch watch;
  for (const double seconds : {3.0, 0.25, 2.0, 0.25, 2.0, 2.0, 2.0, 2.0, 0.7, 0.3}) {
    EXPECT_FALSE(watch.observe(seconds)) << seconds;
  }
}

}  // namespace
}  // namespace viewfold
