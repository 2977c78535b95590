// Implements the training loop.
#include "viewfold/train/trainer.hpp"

#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/train/checkpoint.hpp"
#include "viewfold/train/collapse_alarm.hpp"
#include "viewfold/train/slowdown_watch.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The state of one run of the loop; each function is one of its duties.
class Loop {
 public:
  explicit Loop(const TrainerParts& parts)
      : parts_(parts),
        total_(parts.config.epochs * parts.steps_per_epoch),
        training_(
            parts.task,
            parts.config,
            {.seed = parts.seed, .total_steps = total_, .steps_per_epoch = parts.steps_per_epoch}),
        alarm_(parts.task.known_constants(parts.config.batch_size)) {}

  TrainResult run();

 private:
  void restore();
  void report_step(const StepOutput& output, double loss);
  void watch(const StepOutput& output, double loss);
  void end_epoch();
  void save() {
    save_checkpoint(parts_.checkpoints, step_, parts_.task, training_.optimizer(), alarm_);
  }
  void save_when_due();
  void stop_if_asked();
  [[nodiscard]] double rate() const;

  const TrainerParts& parts_;
  std::int64_t total_;
  TrainingStep training_;
  CollapseAlarm alarm_;
  SlowdownWatch slowdown_;
  std::unique_ptr<Loader> loader_;
  std::int64_t step_ = 0;  // steps done
  TrainResult result_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_save_ = Clock::now();
  double train_seconds_ = 0.0;
  std::int64_t views_ = 0;
};

void Loop::restore() {
  const auto loaded =
      load_latest_checkpoint(parts_.checkpoints, parts_.task, training_.optimizer(), alarm_);
  if (!loaded) {
    if (parts_.metrics.truncate_after(0)) {
      parts_.log.warning(
          fmt::format("{}: holds no checkpoint; the run begins again from its first step",
                      parts_.checkpoints.string()));
    }
    return;
  }
  for (const auto& reason : loaded->unreadable) {
    parts_.log.warning("passed over a checkpoint: " + reason);
  }
  step_ = loaded->step;
  if (parts_.config.on_collapse == "stop" && alarm_.raised()) {
    throw DivergedError(fmt::format(
        "outputs have collapsed before step {}, as metrics.jsonl says (go on all the same with "
        "--train.on_collapse warn)",
        step_));
  }
  result_.resumed_from = step_;
  parts_.metrics.truncate_after(step_);
  parts_.log.info(fmt::format("going on from step {} of {}", step_, total_));
}

double Loop::rate() const {
  return train_seconds_ > 0.0 ? static_cast<double>(views_) / train_seconds_ : 0.0;
}

void Loop::watch(const StepOutput& output, double loss) {
  if (step_ % parts_.config.log_every != 0 && step_ != total_) {
    return;
  }
  const auto spread = spread_statistics(output.embedding);
  std::vector<std::pair<std::string, double>> scalars{
      {"loss", loss},
      {"lr", training_.lr(step_ - 1)},
      {"views_per_second", rate()},
      {"data_wait", train_seconds_ > 0.0 ? loader_->waited_seconds() / train_seconds_ : 0.0},
      {"std", spread.std},
      {"rank", spread.effective_rank}};
  scalars.insert(scalars.end(), output.scalars.begin(), output.scalars.end());
  const std::int64_t epoch = (step_ - 1) / parts_.steps_per_epoch;
  parts_.metrics.write("train", scalars, step_, epoch);
  parts_.tensorboard.write("train", scalars, step_);
  const auto message = alarm_.observe(step_, loss, spread);
  if (!message) {
    return;
  }
  parts_.log.warning(*message);
  parts_.metrics.write_message("alarm", *message, step_, epoch);
  if (parts_.config.on_collapse == "stop") {
    save();
    throw DivergedError(*message + " (train.on_collapse = \"stop\"; the checkpoint is kept)");
  }
}

void Loop::report_step(const StepOutput& output, double loss) {
  watch(output, loss);
  parts_.progress.update({.step = step_,
                          .total_steps = total_,
                          .epoch = (step_ - 1) / parts_.steps_per_epoch + 1,
                          .epochs = parts_.config.epochs,
                          .loss = loss,
                          .views_per_second = rate(),
                          .data_wait = loader_->waited_seconds() / std::max(train_seconds_, 1e-9)});
}

void Loop::end_epoch() {
  const std::int64_t epochs_done = step_ / parts_.steps_per_epoch;
  if (!parts_.after_epoch) {
    return;
  }
  const auto scalars = parts_.after_epoch(epochs_done);
  if (scalars.empty()) {
    return;
  }
  parts_.metrics.write("online", scalars, step_, epochs_done - 1);
  parts_.tensorboard.write("online", scalars, step_);
  std::string line = fmt::format("epoch {}", epochs_done);
  for (const auto& [name, value] : scalars) {
    line += fmt::format("  {} {:.4f}", name, value);
  }
  parts_.log.info(line);
}

void Loop::save_when_due() {
  if (seconds_since(last_save_) < parts_.config.checkpoint_minutes * 60.0) {
    return;
  }
  save();
  last_save_ = Clock::now();
}

void Loop::stop_if_asked() {
  if (!parts_.stop_requested || !parts_.stop_requested()) {
    return;
  }
  save();
  throw Interrupted(fmt::format("stopped after step {} of {}, everything is saved", step_, total_));
}

TrainResult Loop::run() {
  restore();
  parts_.task.module().train();
  if (step_ < total_) {
    loader_ = parts_.open_loader(step_);
  }
  while (step_ < total_) {
    const auto step_start = Clock::now();
    ViewBatch batch = loader_->next();
    const auto compute_start = Clock::now();
    const StepOutput output = training_.run(batch, step_);
    const double loss = output.loss.item<double>();
    const auto slowdown = slowdown_.observe(seconds_since(compute_start));
    train_seconds_ += seconds_since(step_start);
    views_ += batch.size() * batch.views();
    ++step_;
    if (!std::isfinite(loss)) {
      throw DivergedError(
          fmt::format("the loss is {} at step {}; {}", loss, step_, kDivergenceRemedy));
    }
    if (slowdown) {
      parts_.log.warning(*slowdown);
    }
    report_step(output, loss);
    if (step_ % parts_.steps_per_epoch == 0) {
      end_epoch();
    }
    if (step_ < total_) {
      stop_if_asked();
      save_when_due();
    }
  }
  save();
  parts_.progress.finish();
  result_.steps = step_;
  result_.seconds = seconds_since(start_);
  result_.views_per_second = rate();
  if (loader_) {
    result_.data_wait = loader_->waited_seconds() / std::max(train_seconds_, 1e-9);
    result_.left_out = loader_->left_out();
  }
  return result_;
}

}  // namespace

TrainResult train(const TrainerParts& parts) {
  return Loop(parts).run();
}

}  // namespace viewfold
