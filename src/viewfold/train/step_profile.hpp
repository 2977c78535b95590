// Where the time of a training step goes: the operations of the calling thread, put together by
// kind.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace at {
struct RecordFunction;
}

namespace viewfold {

/// Kinds of work in a step. What no row of the table in step_profile.cpp names is kOther.
enum class StepPart : std::size_t {
  kConvolution,
  kBatchNorm,
  kReluAdd,
  kCopy,
  kLinear,
  kUpdate,  // optimiser, momentum copy, queue
  kLoss,    // with its gradient
  kFused,   // fused blocks: fused::totals() tells what they did
  kOther
};
inline constexpr std::size_t kStepParts = 9;

/// "convolution", "batch_norm", ...
[[nodiscard]] std::string_view name_of(StepPart part);

/// While it lives, times every operation of LibTorch in the thread that made it, forward and
/// backward. An operation counts without those that it calls. One that has no row in the table
/// belongs to the part of its caller. At most one at a time in a thread.
class StepProfile {
 public:
  StepProfile();
  ~StepProfile();
  StepProfile(const StepProfile&) = delete;
  StepProfile& operator=(const StepProfile&) = delete;
  StepProfile(StepProfile&&) = delete;
  StepProfile& operator=(StepProfile&&) = delete;

  /// Seconds in each part, by StepPart. The time between operations is in none of them.
  [[nodiscard]] const std::array<double, kStepParts>& seconds() const { return seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Callbacks;
  struct Running {
    StepPart part = StepPart::kOther;
    bool keeps_all = false;  // what it calls belongs to its part whatever its name
    std::uint64_t first_node = 0;
    Clock::time_point start;
    double called = 0.0;  // seconds of what it called
  };
  void begin(const at::RecordFunction& function);
  void end();

  std::array<double, kStepParts> seconds_{};
  std::vector<Running> running_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> loss_nodes_;  // from, to (exclusive)
  std::uint64_t handle_ = 0;
};

}  // namespace viewfold
