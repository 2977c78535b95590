// What the tests of drawn parameters share: many records of an operation, and how often what came.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "viewfold/augment/augmentation.hpp"

namespace viewfold::testing {

inline constexpr int kDraws = 10000;

/// The records of many samples, each from a key of its own.
inline std::vector<OpRecord> draw(const Augmentation& op, ImageSize size = {48, 64}) {
  std::vector<OpRecord> records;
  for (std::uint32_t sample = 0; sample < kDraws; ++sample) {
    Rng rng({.seed = 1, .stream = "view", .sample = sample});
    records.push_back(op.sample(rng, size));
  }
  return records;
}

inline std::vector<double> column(const std::vector<OpRecord>& records, std::size_t i) {
  std::vector<double> values;
  for (const auto& record : records) {
    values.push_back(static_cast<double>(record.values.at(i)));
  }
  return values;
}

/// Five standard deviations of a count with a binomial distribution.
inline double binomial_bound(double n, double p) {
  return 5.0 * std::sqrt(n * p * (1.0 - p));
}

/// Four quarters of low .. high must be drawn equally often, and nothing outside.
inline void expect_uniform(const std::vector<double>& values, double low, double high) {
  std::array<int, 4> counts{};
  for (const double value : values) {
    ASSERT_GE(value, low - 1e-6);  // records hold float32
    ASSERT_LE(value, high + 1e-6);
    const auto quarter = static_cast<int>(4.0 * (value - low) / (high - low));
    ++counts.at(static_cast<std::size_t>(std::clamp(quarter, 0, 3)));
  }
  const auto n = static_cast<double>(values.size());
  for (const int count : counts) {
    EXPECT_NEAR(count, n / 4.0, binomial_bound(n, 0.25));
  }
}

}  // namespace viewfold::testing
