// Implements the training loop.
#include "viewfold/train/trainer.hpp"

#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/state.hpp"
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

// Channels-last weights are not contiguous, but take part as any other.
void broadcast_any(const Communicator& communicator, at::Tensor tensor) {
  const auto values = tensor.contiguous();
  communicator.broadcast(values);
  tensor.copy_(values);
}

// The state of one run of the loop; each function is one of its duties.
class Loop {
 public:
  explicit Loop(const TrainerParts& parts)
      : parts_(parts),
        communicator_(parts.communicator),
        total_(parts.config.epochs * parts.steps_per_epoch),
        training_(parts.task,
                  parts.config,
                  {.seed = parts.seed,
                   .total_steps = total_,
                   .steps_per_epoch = parts.steps_per_epoch,
                   .communicator = parts.communicator}),
        alarm_(parts.task.known_constants(parts.config.batch_size)) {}

  TrainResult run();

 private:
  void restore();
  void read_checkpoint();
  void share_state();
  // What all processes must know of a step before they go on.
  struct Agreement {
    double loss = 0.0;  // mean over the whole batch
    bool stop = false;  // one of them was asked to stop
  };
  [[nodiscard]] Agreement agree(const StepOutput& output) const;
  void report_step(const StepOutput& output, double loss);
  void watch(const StepOutput& output, double loss);
  std::string record(const StepOutput& output, const at::Tensor& embedding, double loss);
  void end_epoch();
  void save();
  void save_when_due();
  void stop_when(bool asked);
  [[nodiscard]] bool writes() const { return communicator_.rank() == 0; }
  [[nodiscard]] double rate() const;

  const TrainerParts& parts_;
  const Communicator& communicator_;
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
  if (writes()) {
    read_checkpoint();
  }
  share_state();
}

// All processes begin with the state of rank 0, which need not be able to share its files.
void Loop::share_state() {
  if (communicator_.size() == 1) {
    return;
  }
  const auto step = at::full({1}, step_, at::kLong);
  communicator_.broadcast(step);
  step_ = step.item<std::int64_t>();
  result_.resumed_from = step_;
  const auto state = training_.optimizer().state();
  for (const auto& item : state) {
    broadcast_any(communicator_, item.tensor);
  }
  training_.optimizer().load_state(state);
  for (const auto& item : module_state(parts_.task.module())) {
    broadcast_any(communicator_, item.tensor);
  }
}

void Loop::read_checkpoint() {
  const auto loaded =
      load_latest_checkpoint(parts_.checkpoints, parts_.task, training_.optimizer(), alarm_);
  if (!loaded) {
    if (parts_.metrics->truncate_after(0)) {
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
  parts_.metrics->truncate_after(step_);
  parts_.log.info(fmt::format("going on from step {} of {}", step_, total_));
}

double Loop::rate() const {
  return train_seconds_ > 0.0 ? static_cast<double>(views_) / train_seconds_ : 0.0;
}

void Loop::watch(const StepOutput& output, double loss) {
  if (step_ % parts_.config.log_every != 0 && step_ != total_) {
    return;
  }
  const auto embedding = communicator_.all_gather(output.embedding);  // [N of all processes, D]
  const auto alarm = communicator_.broadcast(writes() ? record(output, embedding, loss) : "");
  if (!alarm.empty() && parts_.config.on_collapse == "stop") {
    save();
    communicator_.barrier();  // nobody leaves before it is saved
    throw DivergedError(alarm + " (train.on_collapse = \"stop\"; the checkpoint is kept)");
  }
}

// Writes what is measured at this step; returns the collapse that it shows, if any.
std::string Loop::record(const StepOutput& output, const at::Tensor& embedding, double loss) {
  const auto spread = spread_statistics(embedding);
  std::vector<std::pair<std::string, double>> scalars{
      {"loss", loss},
      {"lr", training_.lr(step_ - 1)},
      {"views_per_second", rate()},
      {"data_wait", train_seconds_ > 0.0 ? loader_->waited_seconds() / train_seconds_ : 0.0},
      {"std", spread.std},
      {"rank", spread.effective_rank}};
  scalars.insert(scalars.end(), output.scalars.begin(), output.scalars.end());
  const std::int64_t epoch = (step_ - 1) / parts_.steps_per_epoch;
  parts_.metrics->write("train", scalars, step_, epoch);
  parts_.tensorboard->write("train", scalars, step_);
  const auto message = alarm_.observe(step_, loss, spread);
  if (message) {
    parts_.log.warning(*message);
    parts_.metrics->write_message("alarm", *message, step_, epoch);
  }
  return message.value_or("");
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
  if (!parts_.after_epoch || !writes()) {
    return;
  }
  const auto scalars = parts_.after_epoch(epochs_done);
  if (scalars.empty()) {
    return;
  }
  parts_.metrics->write("online", scalars, step_, epochs_done - 1);
  parts_.tensorboard->write("online", scalars, step_);
  std::string line = fmt::format("epoch {}", epochs_done);
  for (const auto& [name, value] : scalars) {
    line += fmt::format("  {} {:.4f}", name, value);
  }
  parts_.log.info(line);
}

void Loop::save() {
  if (writes()) {
    save_checkpoint(parts_.checkpoints, step_, parts_.task, training_.optimizer(), alarm_);
  }
}

void Loop::save_when_due() {
  if (seconds_since(last_save_) < parts_.config.checkpoint_minutes * 60.0) {
    return;
  }
  save();
  last_save_ = Clock::now();
}

void Loop::stop_when(bool asked) {
  if (!asked) {
    return;
  }
  save();
  communicator_.barrier();  // nobody leaves before it is saved
  throw Interrupted(fmt::format("stopped after step {} of {}, everything is saved", step_, total_));
}

Loop::Agreement Loop::agree(const StepOutput& output) const {
  const bool asked = parts_.stop_requested && parts_.stop_requested();
  const auto sums = at::tensor({output.loss.item<double>(), asked ? 1.0 : 0.0}, at::kDouble);
  communicator_.all_reduce_sum(sums);
  return {.loss = sums[0].item<double>() / communicator_.size(),
          .stop = sums[1].item<double>() > 0.0};
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
    const auto [loss, stop] = agree(output);
    // The steps of a task without gradients need not be alike.
    const auto slowdown = output.loss.requires_grad()
                              ? slowdown_.observe(seconds_since(compute_start))
                              : std::nullopt;
    train_seconds_ += seconds_since(step_start);
    views_ += batch.size() * batch.views() * communicator_.size();
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
      stop_when(stop);
      save_when_due();
    }
  }
  save();
  communicator_.barrier();
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
