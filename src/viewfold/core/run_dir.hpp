// The run directory: the contract between training, evaluation, report and the outside, and the
// only place where results live.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "viewfold/core/files.hpp"

namespace viewfold {

enum class RunStatus { kRunning, kFinished, kInterrupted, kDiverged };

/// "running", "finished", "interrupted" or "diverged".
[[nodiscard]] std::string_view to_string(RunStatus status);

/// What run.json says.
struct RunInfo {
  std::string version;  // of the viewfold that created the run
  std::string created;  // UTC, "2026-01-31T23:59:59Z"
  RunStatus status = RunStatus::kRunning;
};

/// Keeps other processes from training into a run while it lives.
class RunLock {
 private:
  friend class RunDir;
  explicit RunLock(FileHandle file) : file_(std::move(file)) {}

  FileHandle file_;  // the kernel gives the lock back when it is closed, even after a crash
};

/// A folder with run.json, and the names of everything that may be beside it.
class RunDir {
 public:
  /// Throws UsageError when there is something at `path` already: a run (names the remedies), or a
  /// file or files of another kind. A missing or an empty folder is free.
  static void check_free(const std::filesystem::path& path);

  /// Makes a new run at `path`, and the folders above it, with status "running". Throws UsageError
  /// as check_free() does; with `overwrite` a run is replaced: what a run consists of is removed,
  /// and no other file in the folder. Throws UsageError while a process trains into the old run.
  [[nodiscard]] static RunDir create(const std::filesystem::path& path, bool overwrite = false);

  /// Throws DataError when there is no run at `path`, saying what is missing or wrong.
  [[nodiscard]] static RunDir open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path marker() const;  // run.json
  [[nodiscard]] std::filesystem::path config() const { return path_ / "resolved.toml"; }
  [[nodiscard]] std::filesystem::path data() const { return path_ / "data.json"; }
  [[nodiscard]] std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  [[nodiscard]] std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  [[nodiscard]] std::filesystem::path figures() const { return path_ / "figures"; }
  [[nodiscard]] std::filesystem::path cache() const { return path_ / "cache"; }
  [[nodiscard]] std::filesystem::path tensorboard() const { return path_ / "tensorboard"; }
  [[nodiscard]] std::filesystem::path encoder() const { return path_ / "encoder.safetensors"; }
  [[nodiscard]] std::filesystem::path card() const { return path_ / "card.json"; }
  [[nodiscard]] std::filesystem::path report() const { return path_ / "report.html"; }

  /// eval/<name>.json; `name` is one file name, else ContractViolation.
  [[nodiscard]] std::filesystem::path eval(std::string_view name) const;

  /// Reads run.json; throws DataError when it is not what it should be.
  [[nodiscard]] RunInfo info() const;

  /// Rewrites run.json with another status and leaves the rest of it as it is.
  void set_status(RunStatus status) const;

  /// Throws UsageError naming the folder when another process (or another lock of this one) trains
  /// into this run.
  [[nodiscard]] RunLock lock() const;

 private:
  explicit RunDir(std::filesystem::path path) : path_(std::move(path)) {}

  void remove_old_run() const;

  std::filesystem::path path_;
};

}  // namespace viewfold
