// The one loop that trains everything that learns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "viewfold/core/log.hpp"
#include "viewfold/core/metrics.hpp"
#include "viewfold/core/progress.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/core/tensorboard.hpp"
#include "viewfold/loader/loader.hpp"
#include "viewfold/train/task.hpp"
#include "viewfold/train/train_config.hpp"

namespace viewfold {

/// What the loop needs besides the task itself.
struct TrainerParts {
  Task& task;
  const TrainConfig& config;
  std::uint64_t seed = 0;
  std::int64_t steps_per_epoch = 0;
  std::filesystem::path checkpoints;         // folder
  MetricsWriter* metrics = nullptr;          // of rank 0; the others write nothing
  TensorboardWriter* tensorboard = nullptr;  // ditto
  LogSink& log;
  Progress& progress;
  std::function<std::unique_ptr<Loader>(std::int64_t first_step)> open_loader;
  /// Called after each epoch with the number of epochs done; its scalars are written as event
  /// "online". May be empty.
  std::function<std::vector<std::pair<std::string, double>>(std::int64_t epochs_done)> after_epoch;
  /// True when the user asked to stop; asked once per step.
  std::function<bool()> stop_requested;
  /// The processes that train together; each has its shard of every batch. Rank 0 alone reads and
  /// writes checkpoints, writes metrics and calls after_epoch; the others take its state at the
  /// start.
  Communicator communicator = {};
};

/// How a run ended.
struct TrainResult {
  std::int64_t steps = 0;         // of the whole run
  std::int64_t resumed_from = 0;  // 0: from the start
  double seconds = 0.0;           // of this process
  double views_per_second = 0.0;  // over all steps of this process, evaluation excluded
  double data_wait = 0.0;         // share of time waiting for views
  std::vector<std::string> left_out;
};

/// Trains to the end, from the newest checkpoint in parts.checkpoints if there is one.
///
/// Every step is a function of (seed, step, state of the checkpoint): a run that is interrupted at
/// any moment and continued ends with the same bits, given the same numbers of threads and
/// processes. Throws Interrupted when asked to stop (after saving; all processes stop when one is
/// asked), PeerError when another process is lost, DivergedError on a loss or weight that is not
/// finite (the last checkpoint stays) or on a collapse with on_collapse = "stop" (after saving),
/// DataError as the loader does.
[[nodiscard]] TrainResult train(const TrainerParts& parts);

}  // namespace viewfold
