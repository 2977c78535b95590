// What a person at the terminal sees, and how they stop a run.
#pragma once

#include <string>
#include <vector>

#include "viewfold/core/log.hpp"
#include "viewfold/core/progress.hpp"

namespace viewfold {

/// Writes lines to standard error, above the progress bar while there is one.
class TerminalLog final : public LogSink {
 public:
  explicit TerminalLog(Progress& progress) : progress_(progress) {}
  void info(const std::string& line) override { progress_.print_line(line); }
  void warning(const std::string& line) override { progress_.print_line("warning: " + line); }

 private:
  Progress& progress_;
};

/// A progress bar on standard error; plain lines when that is no terminal.
[[nodiscard]] Progress terminal_progress();

/// From now on Ctrl-C, SIGTERM and the end of the terminal (SIGHUP) ask to stop; a second one
/// kills, as usual, when it comes more than two seconds later. A closed pipe and a limit of file
/// sizes are errors of writing, which kill nobody.
void catch_stop_signals();
[[nodiscard]] bool stop_requested();

/// Columns padded to equal width, the first one to the left and the others to the right; the first
/// row is the head. Every line is indented by two spaces.
[[nodiscard]] std::string text_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace viewfold
