// Implements one step of training, and the precision of its operations.
#include "viewfold/train/training_step.hpp"

#include <cmath>

#include <ATen/autocast_mode.h>
#include <ATen/record_function.h>

#include "viewfold/core/rng.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/fused/block.hpp"

namespace viewfold {

TrainingStep::TrainingStep(Task& task, const TrainConfig& config, const StepSchedule& schedule)
    : task_(task),
      config_(config),
      optimizer_(task, config),
      gradients_(task.module().parameters(), schedule.communicator),
      schedule_(schedule),
      warmup_(std::llround(config.warmup_epochs * static_cast<double>(schedule.steps_per_epoch))),
      peak_(peak_lr(config)),
      bf16_(uses_bf16(config.precision)) {
  share_batch_norm(task.module(), schedule.communicator);
}

double TrainingStep::lr(std::int64_t step) const {
  return cosine_lr(peak_, step, schedule_.total_steps, warmup_);
}

StepOutput TrainingStep::run(ViewBatch& batch, std::int64_t step) {
  // The only use of the global generator: whatever a step draws from it depends on the step alone.
  torch::manual_seed(derive_seed(
      {.seed = schedule_.seed, .stream = "step", .sample = static_cast<std::uint32_t>(step)}));
  const StepContext context{
      .step = step, .total_steps = schedule_.total_steps, .communicator = schedule_.communicator};
  batch.shrink([this, step](std::int64_t full) {
    return size_at(config_, full, step, schedule_.total_steps);
  });
  optimizer_.zero_grad();
  StepOutput output;
  {
    const AutocastGuard autocast(bf16_);
    const fused::FusedGuard fused(config_.fused);
    output = task_.training_step(batch, context);
  }
  if (output.loss.requires_grad()) {  // else the task finds its parameters by itself
    output.loss.backward();
  }
  gradients_.finish();
  RECORD_USER_SCOPE("viewfold::update");
  optimizer_.step(lr(step), peak_);
  task_.after_optimizer_step(context);
  return output;
}

bool uses_bf16(const std::string& precision) {
  if (precision != "auto") {
    return precision == "bf16";
  }
  return __builtin_cpu_supports("avx512bf16") != 0;
}

AutocastGuard::AutocastGuard(bool enabled) : before_(at::autocast::is_cpu_enabled()) {
  at::autocast::set_cpu_enabled(enabled);
  at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
}

AutocastGuard::~AutocastGuard() {
  // Casts of weights are cached while autocast is on; they are stale after the next optimiser step.
  at::autocast::clear_cache();
  at::autocast::set_cpu_enabled(before_);
}

}  // namespace viewfold
