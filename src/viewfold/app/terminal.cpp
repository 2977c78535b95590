// Implements the terminal's side: signals and tables.
#include "viewfold/app/terminal.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <unistd.h>

#include <fmt/format.h>

namespace viewfold {
namespace {

std::atomic<bool> g_stop{false};          // NOLINT: a signal handler can reach nothing else
std::atomic<std::time_t> g_stop_time{0};  // NOLINT: ditto

// torchrun hands on the Ctrl-C that the terminal has sent to all its processes already: what comes
// within two seconds of the first is no second wish.
extern "C" void ask_to_stop(int number) {
  constexpr std::time_t kOneWish = 2;  // seconds; ours
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  if (!g_stop.exchange(true)) {
    g_stop_time.store(now.tv_sec);
  } else if (now.tv_sec - g_stop_time.load() > kOneWish) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
}

}  // namespace

Progress terminal_progress() {
  return Progress(stderr, isatty(STDERR_FILENO) == 1);
}

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = ask_to_stop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction before {};
  sigaction(SIGHUP, nullptr, &before);
  if (before.sa_handler != SIG_IGN) {  // as under nohup
    sigaction(SIGHUP, &action, nullptr);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

bool stop_requested() {
  return g_stop.load();
}

std::string text_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::max(widths[c], row[c].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line = " ";
    for (std::size_t c = 0; c < row.size(); ++c) {
      line += c == 0 ? fmt::format(" {:<{}}", row[c], widths[c])
                     : fmt::format("   {:>{}}", row[c], widths[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace viewfold
