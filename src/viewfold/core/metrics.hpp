// The measurements of a run as they happen: metrics.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "viewfold/core/files.hpp"

namespace viewfold {

/// Appends one JSON object per line: {"event", "step", "epoch", "time" (seconds since 1970), and
/// the measurements}. A line reaches the file whole or, after a crash, torn at its very end.
class MetricsWriter {
 public:
  /// Opens or creates `file`, first removing a torn last line. Throws WriteError.
  explicit MetricsWriter(std::filesystem::path file);

  /// A number that is not finite is written as null. Throws WriteError when the disk is full.
  void write(std::string_view event,
             const std::vector<std::pair<std::string, double>>& scalars,
             std::int64_t step,
             std::int64_t epoch);

  /// The same with a "message" instead of measurements.
  void write_message(std::string_view event,
                     const std::string& text,
                     std::int64_t step,
                     std::int64_t epoch);

  /// Drops lines of steps after `step`, which a resumed run will write again. Says whether there
  /// were any.
  bool truncate_after(std::int64_t step);

 private:
  void append(const std::string& line);

  std::filesystem::path path_;
  FileHandle file_;
};

}  // namespace viewfold
