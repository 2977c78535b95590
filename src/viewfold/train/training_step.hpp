// One step of training: views to a loss, its gradients, new parameters.
#pragma once

#include <cstdint>
#include <string>

#include "viewfold/tensor/view_batch.hpp"
#include "viewfold/train/gradient_sum.hpp"
#include "viewfold/train/optimizer.hpp"
#include "viewfold/train/task.hpp"
#include "viewfold/train/train_config.hpp"

namespace viewfold {

/// What the steps of a run depend on besides task and settings.
struct StepSchedule {
  std::uint64_t seed = 0;  // of the run
  std::int64_t total_steps = 0;
  std::int64_t steps_per_epoch = 0;
  Communicator communicator = {};  // the processes that take them together
};

/// Takes the steps of a run. In several processes, layers of batch normalisation share their batch,
/// and gradients are means over all of them. To LibTorch's callbacks (at::RecordFunction) the
/// update of the parameters shows as "viewfold::update".
class TrainingStep {
 public:
  TrainingStep(Task& task, const TrainConfig& config, const StepSchedule& schedule);

  /// Takes step number `step`, from 0: forward, backward, update. Seeds the generator of LibTorch,
  /// so that whatever the task draws depends on seed and step alone. Shrinks the views of `batch`
  /// to the size of this step (size_at). Throws as the task and the communicator do.
  StepOutput run(ViewBatch& batch, std::int64_t step);

  /// The learning rate of step number `step`.
  [[nodiscard]] double lr(std::int64_t step) const;

  [[nodiscard]] Optimizer& optimizer() { return optimizer_; }

 private:
  Task& task_;
  TrainConfig config_;
  Optimizer optimizer_;
  GradientSum gradients_;
  StepSchedule schedule_;
  std::int64_t warmup_;
  double peak_;
  bool bf16_;
};

/// Whether `precision` ("auto", "fp32", "bf16") means bfloat16 on this machine.
[[nodiscard]] bool uses_bf16(const std::string& precision);

/// Switches bfloat16 autocast on for CPU operations while alive.
class AutocastGuard {
 public:
  explicit AutocastGuard(bool enabled);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;
  AutocastGuard(AutocastGuard&&) = delete;
  AutocastGuard& operator=(AutocastGuard&&) = delete;

 private:
  bool before_;
};

}  // namespace viewfold
