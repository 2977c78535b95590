// Notices that outputs have collapsed, and says which way, since when, and why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/train/task.hpp"

namespace viewfold {

/// How spread out the rows of an embedding are.
struct SpreadStatistics {
  /// Mean over dimensions of the standard deviation of unit rows, times sqrt(D): about 1 when the
  /// rows fill the sphere, 0 when they are all equal (SimSiam, arXiv:2011.10566, Sec. 4.1).
  double std = 0.0;
  /// exp of the entropy of the normalised singular values of the centred unit rows (RankMe,
  /// arXiv:2210.02885, Eq. 1); between 0 (all equal) and min(N - 1, D).
  double effective_rank = 0.0;
};

/// embedding  [N, D] floating point, N >= 2
[[nodiscard]] SpreadStatistics spread_statistics(const at::Tensor& embedding);

/// Watches loss and spread from one observation to the next.
class CollapseAlarm {
 public:
  explicit CollapseAlarm(std::vector<KnownConstant> constants);

  /// Takes an observation; returns a message when alarms are raised: each kind once, after its sign
  /// has stood for kPatience observations, a narrow cone for kConePatience.
  std::optional<std::string> observe(std::int64_t step,
                                     double loss,
                                     const SpreadStatistics& spread);

  static constexpr int kPatience = 5;      // observations
  static constexpr double kMinStd = 0.05;  // ours: 20 times below a full sphere
  // Ours, measured on CIFAR-10 and Fashion-MNIST: in 24 healthy runs of three methods std is below
  // 0.4 for at most 4 observations in a row, at their start; SimSiam without stop-gradient stays
  // there.
  static constexpr double kConeStd = 0.4;
  static constexpr int kConePatience = 10;
  static constexpr double kMinRank = 1.5;    // ours: fewer than two directions in use
  static constexpr double kLossBand = 2e-3;  // ours: relative distance to a known constant

  /// What it remembers, so that an alarm of a run that goes on says the same at the same steps:
  /// [S, 3] int64.
  [[nodiscard]] at::Tensor state() const;

  /// Takes back what state() gave. Throws DataError unless it is of an alarm with as many
  /// constants.
  void load_state(const at::Tensor& state);

  /// Whether any alarm has been raised.
  [[nodiscard]] bool raised() const;

 private:
  struct Sign {
    std::string what;
    int patience = kPatience;
    std::int64_t since = 0;
    std::int64_t standing = 0;
    bool raised = false;
  };
  static std::optional<std::string> update(Sign& sign, bool present, std::int64_t step);

  std::vector<KnownConstant> constants_;
  std::vector<Sign> signs_;  // in the order of state(): std, cone, rank, then the constants
};

}  // namespace viewfold
