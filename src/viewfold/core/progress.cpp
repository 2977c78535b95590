// Implements the progress line.
#include "viewfold/core/progress.hpp"

#include <algorithm>
#include <cmath>
#include <sys/ioctl.h>
#include <vector>

#include <fmt/format.h>

namespace viewfold {
namespace {

constexpr int kDefaultWidth = 80;

int terminal_width(std::FILE* out) {
  winsize size{};
  const bool known = ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kDefaultWidth;
}

std::string bar(double done) {
  constexpr std::size_t kCells = 20;
  const auto full = static_cast<std::size_t>(done * kCells);
  std::string text(kCells + 2, '.');
  text.front() = '[';
  text.back() = ']';
  std::fill_n(text.begin() + 1, full, '#');
  return text;
}

}  // namespace

std::string duration_text(double seconds) {
  constexpr double kLongest = 3600.0 * 1e6;  // beyond it, and for NaN, nothing is worth telling
  if (!(seconds <= kLongest)) {
    return "?";
  }
  const auto whole = std::llround(std::max(0.0, seconds));
  if (whole < 60) {
    return fmt::format("{}s", whole);
  }
  if (whole < 3600) {
    return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  }
  return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
}

std::string progress_line(const ProgressState& state, double seconds_left, int width) {
  const double done =
      state.total_steps > 0
          ? std::clamp(static_cast<double>(state.step) / static_cast<double>(state.total_steps),
                       0.0, 1.0)
          : 0.0;
  // In the order of their place; the number says how early a part is given up.
  struct Part {
    int value;
    std::string text;
  };
  std::vector<Part> parts{{2, bar(done)},
                          {9, fmt::format("{:3.0f}%", 100.0 * done)},
                          {6, fmt::format("epoch {}/{}", state.epoch, state.epochs)},
                          {7, fmt::format("loss {:.4f}", state.loss)},
                          {5, fmt::format("{:.0f} views/s", state.views_per_second)},
                          {4, fmt::format("data wait {:.0f}%", 100.0 * state.data_wait)},
                          {8, fmt::format("{} left", duration_text(seconds_left))}};
  const auto line = [&parts] {
    std::string text;
    for (const auto& part : parts) {
      text.append(text.empty() ? "" : "  ").append(part.text);
    }
    return text;
  };
  while (!parts.empty() && static_cast<int>(line().size()) > width) {
    parts.erase(std::min_element(parts.begin(), parts.end(),
                                 [](const Part& a, const Part& b) { return a.value < b.value; }));
  }
  return line();
}

double Progress::seconds_left() const {
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  const auto steps = static_cast<double>(state_->step - first_step_);
  const auto left = static_cast<double>(state_->total_steps - state_->step);
  return steps > 0.0 ? elapsed / steps * left : 0.0;
}

void Progress::erase() {
  if (drawn_) {
    std::fputs("\r\x1b[K", out_);
    drawn_ = false;
  }
}

void Progress::draw() {
  last_draw_ = Clock::now();
  current_ = true;
  if (is_terminal_) {
    const auto line = progress_line(*state_, seconds_left(), terminal_width(out_) - 1);
    std::fprintf(out_, "\r\x1b[K%s", line.c_str());
    drawn_ = true;
  } else {
    constexpr int kPlainWidth = 120;
    std::fprintf(out_, "%s\n", progress_line(*state_, seconds_left(), kPlainWidth).c_str());
  }
  std::fflush(out_);
}

void Progress::update(const ProgressState& state) {
  const bool first = !state_;
  state_ = state;
  current_ = false;
  if (first) {
    start_ = Clock::now();
    first_step_ = state.step;
  }
  const auto pause =
      is_terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(30000);
  if (first || Clock::now() - last_draw_ >= pause) {
    draw();
  }
}

void Progress::print_line(const std::string& text) {
  const bool had_bar = drawn_;
  erase();
  std::fprintf(out_, "%s\n", text.c_str());
  if (had_bar) {
    draw();
  }
  std::fflush(out_);
}

void Progress::finish() {
  if (!state_) {
    return;
  }
  if (!current_) {
    draw();
  }
  if (drawn_) {
    std::fputs("\n", out_);
    drawn_ = false;
  }
  std::fflush(out_);
  state_.reset();
}

}  // namespace viewfold
