// How far a run is, for a person.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace viewfold {

struct ProgressState {
  std::int64_t step = 0;  // steps done
  std::int64_t total_steps = 0;
  std::int64_t epoch = 0;  // counts from 1
  std::int64_t epochs = 0;
  double loss = 0.0;
  double views_per_second = 0.0;
  double data_wait = 0.0;  // share of the time waiting for views, 0 .. 1
};

/// One line of at most `width` characters: bar, share done, epoch, loss, rate, waiting, time left.
/// What does not fit is left out, the least useful first.
[[nodiscard]] std::string progress_line(const ProgressState& state, double seconds_left, int width);

/// Seconds as "12s", "3m05s" or "2h04m"; "?" for NaN and more than a million hours.
[[nodiscard]] std::string duration_text(double seconds);

/// Shows progress on one line that is drawn again (terminal), or as plain lines (file, pipe).
class Progress {
 public:
  Progress(std::FILE* out, bool is_terminal) : out_(out), is_terminal_(is_terminal) {}

  /// Draws at most 10 times a second; plain lines come every 30 seconds.
  void update(const ProgressState& state);

  /// Prints a line of text; the bar stays below it.
  void print_line(const std::string& text);

  /// Draws the last state and leaves the line. Further updates begin a new one.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  void draw();
  void erase();
  [[nodiscard]] double seconds_left() const;

  std::FILE* out_;
  bool is_terminal_;
  bool drawn_ = false;    // the bar stands on the current line
  bool current_ = false;  // state_ has been shown
  std::optional<ProgressState> state_;
  std::int64_t first_step_ = 0;
  Clock::time_point start_;
  Clock::time_point last_draw_;
};

}  // namespace viewfold
