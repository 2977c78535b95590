// Other processes of this very program.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace viewfold {

/// Starts this program with `words` behind its name; what it prints is added to the end of
/// `output`. Throws DataError when it cannot be started.
[[nodiscard]] pid_t start_program(std::vector<std::string> words,
                                  const std::filesystem::path& output);

/// Waits for its end: the exit code, or minus the signal that ended it.
int wait_for(pid_t child);

/// The same without waiting; nothing while it runs.
[[nodiscard]] std::optional<int> end_of(pid_t child);

/// The last line of a file that is not empty; "" when there is none.
[[nodiscard]] std::string last_line(const std::filesystem::path& file);

}  // namespace viewfold
