// Implements the watch over the time of steps.
#include "viewfold/train/slowdown_watch.hpp"

#include <fmt/format.h>

namespace viewfold {

std::optional<std::string> SlowdownWatch::observe(double seconds) {
  if (fastest_ == 0.0 || seconds < fastest_) {
    fastest_ = seconds;
  }
  const bool is_slow = seconds > kFactor * fastest_ && seconds > kMinSeconds;
  slow_ = is_slow ? slow_ + 1 : 0;
  if (slow_ < kPatience || told_) {
    return std::nullopt;
  }
  told_ = true;
  return fmt::format(
      "a step takes {:.2f} s, and took {:.2f} s before: another program wants the cores, and "
      "threads that share a core wait for one another (stop it, or begin the run with fewer "
      "--train.threads)",
      seconds, fastest_);
}

}  // namespace viewfold
