// Implements the statistics of a few measurements.
#include "viewfold/report/statistics.hpp"

#include <cmath>
#include <numbers>
#include <numeric>

#include "viewfold/core/error.hpp"

namespace viewfold::report {
namespace {

// P(|T| <= t) at t = sqrt(degrees) tan(theta): Abramowitz and Stegun, Handbook of Mathematical
// Functions, 26.7.3 for odd and 26.7.4 for even degrees of freedom.
double share_within(double theta, int degrees) {
  const bool is_odd = degrees % 2 == 1;
  const double cosine = std::cos(theta);
  double term = is_odd ? cosine : 1.0;
  double sum = 0.0;
  for (int k = is_odd ? 3 : 2; k <= degrees; k += 2) {
    sum += term;
    term *= cosine * cosine * (k - 1) / k;
  }
  const double part = std::sin(theta) * sum;
  return is_odd ? 2.0 / std::numbers::pi * (theta + part) : part;
}

}  // namespace

std::optional<Summary> summarise(std::span<const double> values) {
  if (values.empty()) {
    return std::nullopt;
  }
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  Summary summary{.n = values.size(), .mean = mean, .sd = std::nullopt};
  if (values.size() > 1) {
    double squares = 0.0;
    for (const double value : values) {
      squares += (value - mean) * (value - mean);
    }
    summary.sd = std::sqrt(squares / (n - 1.0));
  }
  return summary;
}

double t_quantile(double coverage, int degrees) {
  check(degrees >= 1 && coverage >= 0.0 && coverage < 1.0,
        "a quantile needs degrees >= 1 and a coverage in [0, 1)");
  double low = 0.0;
  double high = std::numbers::pi / 2.0;
  constexpr int kHalvings = 60;  // beyond the 53 bits of a double
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = 0.5 * (low + high);
    (share_within(middle, degrees) < coverage ? low : high) = middle;
  }
  return std::sqrt(degrees) * std::tan(0.5 * (low + high));
}

std::optional<Interval> mean_interval(const Summary& summary) {
  if (!summary.sd) {
    return std::nullopt;
  }
  constexpr double kCoverage = 0.95;
  const double half = t_quantile(kCoverage, static_cast<int>(summary.n) - 1) * *summary.sd /
                      std::sqrt(static_cast<double>(summary.n));
  return Interval{.low = summary.mean - half, .high = summary.mean + half};
}

}  // namespace viewfold::report
