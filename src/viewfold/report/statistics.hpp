// Mean, spread and interval of a few measurements.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace viewfold::report {

/// What n > 0 numbers are like.
struct Summary {
  std::size_t n = 0;
  double mean = 0.0;
  std::optional<double> sd;  // standard deviation, with n - 1; one number has none
};

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

/// Nothing when there are no values.
[[nodiscard]] std::optional<Summary> summarise(std::span<const double> values);

/// The t >= 0 with P(|T| <= t) = coverage, where T has Student's distribution with `degrees` >= 1
/// degrees of freedom and coverage is in [0, 1).
[[nodiscard]] double t_quantile(double coverage, int degrees);

/// Where the true mean is, with a confidence of 95 %, if the numbers are independent draws of one
/// normal distribution. Nothing for a single number.
[[nodiscard]] std::optional<Interval> mean_interval(const Summary& summary);

}  // namespace viewfold::report
