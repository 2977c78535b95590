// The state of a run on disk: one file, written whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "viewfold/nn/safetensors.hpp"
#include "viewfold/train/collapse_alarm.hpp"
#include "viewfold/train/optimizer.hpp"
#include "viewfold/train/task.hpp"

namespace viewfold {

/// What to do about numbers that are not finite.
inline constexpr std::string_view kDivergenceRemedy =
    "the last checkpoint is kept (lower train.base_lr, lengthen train.warmup_epochs, or set "
    "train.precision = \"fp32\")";

/// Writes `folder`/step-<step>.safetensors (tensors "module.*", "optimizer.*" and "alarm.signs",
/// the step in its metadata), then removes all others but the one before it. Throws WriteError when
/// the disk is full or read-only; older checkpoints stay. Refuses with DivergedError to write a
/// parameter that is not finite.
void save_checkpoint(const std::filesystem::path& folder,
                     std::int64_t step,
                     Task& task,
                     const Optimizer& optimizer,
                     const CollapseAlarm& alarm);

/// What load_latest_checkpoint() found.
struct LoadedCheckpoint {
  std::int64_t step = 0;                // steps done
  std::vector<std::string> unreadable;  // newer files that had to be passed over, with reasons
};

/// Restores the newest checkpoint that can be read; nothing when the folder holds none. Throws
/// DataError when it holds some and none can be read into this task.
[[nodiscard]] std::optional<LoadedCheckpoint> load_latest_checkpoint(
    const std::filesystem::path& folder, Task& task, Optimizer& optimizer, CollapseAlarm& alarm);

/// Checkpoint files in `folder`, newest first.
[[nodiscard]] std::vector<std::filesystem::path> list_checkpoints(
    const std::filesystem::path& folder);

}  // namespace viewfold
