// The report: a run directory as one HTML file that needs nothing beside it.
#pragma once

#include <filesystem>

namespace viewfold {

/// Writes the report of `run_dir` to `output`, whole or not at all. The page opens without network
/// and loads nothing; parts for which the run has no files are left out and named at its end. A run
/// that is still going on, or was interrupted, is reported as far as it came. Throws DataError that
/// names the file when run.json is missing, when a file of the run is broken, and when `output`
/// cannot be written.
void write_report(const std::filesystem::path& run_dir, const std::filesystem::path& output);

}  // namespace viewfold
