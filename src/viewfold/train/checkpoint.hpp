// The state of a run on disk: one file, written whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "viewfold/nn/safetensors.hpp"
#include "viewfold/train/optimizer.hpp"
#include "viewfold/train/task.hpp"

namespace viewfold {

/// Writes `folder`/step-<step>.safetensors (tensors "module.*" and "optimizer.*", the step in its
/// metadata), then removes all but the newest two. Throws DataError when the disk is full or
/// read-only; older checkpoints stay. Refuses with DivergedError to write a parameter that is not
/// finite.
void save_checkpoint(const std::filesystem::path& folder,
                     std::int64_t step,
                     Task& task,
                     const Optimizer& optimizer);

/// What load_latest_checkpoint() found.
struct LoadedCheckpoint {
  std::int64_t step = 0;                // steps done
  std::vector<std::string> unreadable;  // newer files that had to be passed over, with reasons
};

/// Restores the newest checkpoint that can be read; nothing when the folder holds none.
[[nodiscard]] std::optional<LoadedCheckpoint> load_latest_checkpoint(
    const std::filesystem::path& folder, Task& task, Optimizer& optimizer);

/// Checkpoint files in `folder`, newest first.
[[nodiscard]] std::vector<std::filesystem::path> list_checkpoints(
    const std::filesystem::path& folder);

}  // namespace viewfold
