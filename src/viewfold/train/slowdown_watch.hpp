// Notices that steps have become much slower than they were: another program wants the cores.
#pragma once

#include <optional>
#include <string>

namespace viewfold {

/// Compares steps with the fastest one so far.
class SlowdownWatch {
 public:
  /// seconds  one training step took, waiting for data excluded
  /// returns  a message, once, after kPatience steps in a row took over kFactor times the fastest,
  ///          and over kMinSeconds
  std::optional<std::string> observe(double seconds);

  static constexpr int kPatience = 5;         // ours
  static constexpr double kFactor = 3.0;      // ours: a fair share of the cores costs at most half
  static constexpr double kMinSeconds = 0.5;  // ours: shorter ones vary by themselves

 private:
  double fastest_ = 0.0;  // 0: none yet
  int slow_ = 0;          // in a row
  bool told_ = false;
};

}  // namespace viewfold
