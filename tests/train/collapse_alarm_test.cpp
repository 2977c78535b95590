// Tests of the collapse alarm and of the statistics it looks at.
#include "viewfold/train/collapse_alarm.hpp"

#include <cmath>

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

TEST(SpreadStatistics, AreZeroWhenAllRowsAreEqual) {
  const auto spread = spread_statistics(at::ones({8, 5}));
  EXPECT_NEAR(spread.std, 0.0, 1e-12);
  EXPECT_EQ(spread.effective_rank, 0.0);
  EXPECT_EQ(spread_statistics(at::zeros({8, 5})).std, 0.0);
}

TEST(SpreadStatistics, AreOneWhenRowsFillTheSphere) {
  // The unit vectors and their opposites: each coordinate is 1, -1 or 0 with variance 1 / D.
  const auto axes = at::cat({at::eye(6), -at::eye(6)});
  const auto spread = spread_statistics(axes);
  EXPECT_NEAR(spread.std, 1.0, 1e-12);
  EXPECT_NEAR(spread.effective_rank, 6.0, 1e-9);
  EXPECT_NEAR(spread_statistics(normal_tensor({4096, 32}, 1, at::kFloat)).std, 1.0, 0.02);
}

TEST(SpreadStatistics, DoNotDependOnLengths) {
  const auto z = normal_tensor({16, 6}, 2);
  const auto lengths = at::arange(1, 17, at::kDouble).view({16, 1});
  EXPECT_NEAR(spread_statistics(z * lengths).std, spread_statistics(z).std, 1e-12);
  EXPECT_NEAR(spread_statistics(z * lengths).effective_rank, spread_statistics(z).effective_rank,
              1e-6);
}

TEST(SpreadStatistics, SeeOneDirectionWhereThereIsOne) {
  const auto line = at::tensor({1.0, -1.0, 1.0, -1.0}, at::kDouble).view({4, 1});
  const auto direction = normal_tensor({1, 9}, 3);
  const auto spread = spread_statistics(line * direction);
  EXPECT_NEAR(spread.effective_rank, 1.0, 1e-3);
  EXPECT_GT(spread.std, 0.5);
}

TEST(SpreadStatistics, HaveTheRankOfUnequalSingularValues) {
  // Rows +-a on one axis, +-a on another twice: singular values sqrt(2) : sqrt(4), p = 1 / (1 + r).
  const auto e = at::eye(2, at::kDouble);
  const auto z = at::cat({e, -e, e.narrow(0, 0, 1), -e.narrow(0, 0, 1)});
  const double p = std::sqrt(2.0) / (std::sqrt(2.0) + 2.0);
  const double expected = std::exp(-p * std::log(p) - (1.0 - p) * std::log(1.0 - p));
  EXPECT_NEAR(spread_statistics(z).effective_rank, expected, 1e-9);
}

TEST(SpreadStatistics, AreEqualForFewerAndForMoreRowsThanDimensions) {
  const auto z = at::cat({at::eye(3, at::kDouble), -at::eye(3, at::kDouble)});  // [6, 3]
  const auto wide = at::constant_pad_nd(z, {0, 9});                             // [6, 12]
  EXPECT_NEAR(spread_statistics(wide).effective_rank, spread_statistics(z).effective_rank, 1e-6);
}

TEST(SpreadStatistics, RefuseASingleRow) {
  EXPECT_THROW((void)spread_statistics(at::ones({1, 4})), ContractViolation);
  EXPECT_THROW((void)spread_statistics(at::ones({4})), ContractViolation);
}

const SpreadStatistics kHealthy{.std = 0.9, .effective_rank = 20.0};

CollapseAlarm alarm_at(double value) {
  return CollapseAlarm({{.name = "ln(2N-1)", .value = value, .cause = "a rate that is too high"}});
}

// The step and text of the first alarm in a series of observations at steps 10, 20, 30, ...
std::pair<std::int64_t, std::string> first_alarm(CollapseAlarm& alarm,
                                                 double loss,
                                                 const SpreadStatistics& spread,
                                                 int observations = 20) {
  for (int i = 1; i <= observations; ++i) {
    if (const auto message = alarm.observe(10 * i, loss, spread)) {
      return {10 * i, *message};
    }
  }
  return {0, ""};
}

TEST(CollapseAlarm, IsSilentOverHealthyNumbers) {
  auto alarm = alarm_at(6.2364);
  EXPECT_EQ(first_alarm(alarm, 5.0, kHealthy).first, 0);
}

TEST(CollapseAlarm, SaysAtWhichConstantTheLossStandsSinceWhenAndWhy) {
  auto alarm = alarm_at(6.2364);
  const auto [step, text] = first_alarm(alarm, 6.2360, kHealthy);
  EXPECT_EQ(step, 10 * CollapseAlarm::kPatience);
  EXPECT_NE(text.find("since step 10:"), std::string::npos) << text;
  EXPECT_NE(text.find("ln(2N-1) = 6.2364"), std::string::npos) << text;
  EXPECT_NE(text.find("a rate that is too high"), std::string::npos) << text;
}

TEST(CollapseAlarm, TellsAConstantLossFromOneNearby) {
  auto alarm = alarm_at(6.0);
  EXPECT_EQ(first_alarm(alarm, 6.0 * (1.0 + 1.1 * CollapseAlarm::kLossBand), kHealthy).first, 0);
  EXPECT_EQ(first_alarm(alarm, 6.0 * (1.0 - 1.1 * CollapseAlarm::kLossBand), kHealthy).first, 0);
  EXPECT_NE(first_alarm(alarm, 6.0 * (1.0 - 0.9 * CollapseAlarm::kLossBand), kHealthy).first, 0);
}

TEST(CollapseAlarm, SaysThatAllOutputsAreTheSame) {
  auto alarm = alarm_at(6.0);
  const auto [step, text] = first_alarm(alarm, 1.0, {.std = 0.01, .effective_rank = 9.0});
  EXPECT_EQ(step, 10 * CollapseAlarm::kPatience);
  EXPECT_NE(text.find("outputs of all images are the same"), std::string::npos) << text;
  EXPECT_NE(text.find("likely"), std::string::npos) << text;
}

TEST(CollapseAlarm, SaysThatOutputsLieInANarrowCone) {
  auto alarm = alarm_at(6.0);
  const SpreadStatistics cone{.std = CollapseAlarm::kConeStd - 0.01, .effective_rank = 9.0};
  for (std::int64_t step = 1; step < CollapseAlarm::kConePatience; ++step) {
    EXPECT_FALSE(alarm.observe(step, 1.0, cone));
  }
  const auto message = alarm.observe(CollapseAlarm::kConePatience, 1.0, cone);
  ASSERT_TRUE(message);
  EXPECT_NE(message->find("since step 1: the outputs of all images lie in a narrow cone"),
            std::string::npos)
      << *message;
}

TEST(CollapseAlarm, SaysThatOutputsUseTooFewDirections) {
  auto alarm = alarm_at(6.0);
  const auto [step, text] = first_alarm(alarm, 1.0, {.std = 0.9, .effective_rank = 1.2});
  EXPECT_EQ(step, 10 * CollapseAlarm::kPatience);
  EXPECT_NE(text.find("effective rank"), std::string::npos) << text;
  EXPECT_NE(text.find("likely"), std::string::npos) << text;
}

TEST(CollapseAlarm, StartsToCountAgainWhenTheSignGoesAway) {
  auto alarm = alarm_at(6.0);
  for (std::int64_t step = 1; step < CollapseAlarm::kPatience; ++step) {
    EXPECT_FALSE(alarm.observe(step, 6.0, kHealthy));
  }
  EXPECT_FALSE(alarm.observe(100, 5.0, kHealthy));
  for (std::int64_t step = 101; step < 100 + CollapseAlarm::kPatience; ++step) {
    EXPECT_FALSE(alarm.observe(step, 6.0, kHealthy));
  }
  const auto message = alarm.observe(200, 6.0, kHealthy);
  ASSERT_TRUE(message);
  EXPECT_NE(message->find("since step 101:"), std::string::npos) << *message;
}

TEST(CollapseAlarm, IsRaisedOncePerKind) {
  auto alarm = alarm_at(6.0);
  EXPECT_NE(first_alarm(alarm, 6.0, kHealthy).first, 0);
  EXPECT_EQ(first_alarm(alarm, 6.0, kHealthy).first, 0);
  EXPECT_NE(first_alarm(alarm, 6.0, {.std = 0.0, .effective_rank = 9.0}).first, 0);
}

// Numbers under which each kind of alarm begins, ends and is raised at some time.
std::pair<double, SpreadStatistics> changing_numbers(std::int64_t step) {
  SpreadStatistics spread = kHealthy;
  if (step % 23 > 14) {
    spread.std = 0.01;
  } else if (step > 30) {
    spread.std = 0.2;
  }
  if (step > 20 && step != 24) {
    spread.effective_rank = 1.2;
  }
  return {step > 12 && step < 40 ? 6.0 : 5.0, spread};
}

TEST(CollapseAlarm, SaysTheSameWhenItGoesOnFromItsStateAtAnyTime) {
  constexpr std::int64_t kLast = 60;
  auto whole = alarm_at(6.0);
  std::vector<std::pair<std::int64_t, std::string>> expected;
  for (std::int64_t step = 1; step <= kLast; ++step) {
    const auto [loss, spread] = changing_numbers(step);
    if (const auto message = whole.observe(step, loss, spread)) {
      expected.emplace_back(step, *message);
    }
  }
  EXPECT_EQ(expected.size(), 4U);
  for (std::int64_t stop = 0; stop <= kLast; ++stop) {
    std::vector<std::pair<std::int64_t, std::string>> messages;
    auto alarm = std::make_unique<CollapseAlarm>(alarm_at(6.0));
    for (std::int64_t step = 1; step <= kLast; ++step) {
      if (step == stop) {
        auto next = std::make_unique<CollapseAlarm>(alarm_at(6.0));
        next->load_state(alarm->state());
        EXPECT_EQ(next->raised(), alarm->raised());
        alarm = std::move(next);
      }
      const auto [loss, spread] = changing_numbers(step);
      if (const auto message = alarm->observe(step, loss, spread)) {
        messages.emplace_back(step, *message);
      }
    }
    EXPECT_EQ(messages, expected) << stop;
  }
}

TEST(CollapseAlarm, RefusesTheStateOfAnotherAlarm) {
  auto alarm = alarm_at(6.0);
  EXPECT_FALSE(alarm.raised());
  EXPECT_THROW(alarm.load_state(CollapseAlarm({}).state()), DataError);
  EXPECT_THROW(alarm.load_state(at::zeros({4, 3})), DataError);
  EXPECT_THROW(alarm.load_state(at::zeros({12}, at::kLong)), DataError);
  EXPECT_THROW(alarm.load_state(at::zeros({4, 2}, at::kLong)), DataError);
}

}  // namespace
}  // namespace viewfold
