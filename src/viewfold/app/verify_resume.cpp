// The verb that proves resume: runs of this very program, killed at random moments and continued,
// must end with the bits of an uninterrupted one.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

#include "viewfold/app/child_process.hpp"
#include "viewfold/app/commands.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/train/checkpoint.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// A folder that is removed with all that is in it.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "viewfold-verify-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw DataError(
          fmt::format("{}: cannot make a folder there", fs::temp_directory_path().string()));
    }
    path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void expect_success(int code, const fs::path& output) {
  if (code == 0) {
    return;
  }
  throw UsageError(
      fmt::format("a run of the recipe ended with code {}: {}", code, last_line(output)));
}

// What a run leaves: its encoder, and its whole state.
struct Outcome {
  std::string encoder;
  std::string checkpoint;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome outcome_of(const fs::path& run) {
  const RunDir dir = RunDir::open(run);
  const auto checkpoints = list_checkpoints(dir.checkpoints());
  if (checkpoints.empty()) {
    throw DataError(fmt::format("{}: has no checkpoint", run.string()));
  }
  return {.encoder = hex_hash(read_file(dir.encoder())),
          .checkpoint = hex_hash(read_file(checkpoints.front()))};
}

struct Plan {
  std::vector<std::string> recipe;  // words of `viewfold pretrain`
  fs::path folder;
  double seconds = 0.0;  // of an uninterrupted run
};

std::vector<std::string> pretrain_words(const Plan& plan, const fs::path& run) {
  std::vector<std::string> words{"pretrain"};
  words.insert(words.end(), plan.recipe.begin(), plan.recipe.end());
  words.insert(words.end(), {"--out", run.string(), "--overwrite"});
  return words;
}

// Kills the run after `seconds`; false when it had ended before.
bool kill_after(pid_t child, double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const bool ended = end_of(child).has_value();
  if (!ended) {
    ::kill(child, SIGKILL);
    (void)wait_for(child);
  }
  return !ended;
}

// One run, killed at a random moment and continued. Says when that was and where it went on.
std::string killed_and_continued(const Plan& plan, const fs::path& run, double moment) {
  const fs::path output = plan.folder / "output.txt";
  const bool killed = kill_after(start_program(pretrain_words(plan, run), output), moment);
  const bool began = fs::exists(run / "resolved.toml");
  const auto words =
      began ? std::vector<std::string>{"resume", run.string()} : pretrain_words(plan, run);
  std::int64_t steps = 0;
  if (began) {
    const auto checkpoints = list_checkpoints(RunDir::open(run).checkpoints());
    steps = static_cast<std::int64_t>(checkpoints.size());
    if (steps > 0) {
      steps = std::atoll(checkpoints.front().stem().string().substr(5).c_str());
    }
  }
  expect_success(wait_for(start_program(words, output)), output);
  if (!killed) {
    return fmt::format("had ended before {:.1f} s", moment);
  }
  return began ? fmt::format("killed after {:.1f} s, went on from step {}", moment, steps)
               : fmt::format("killed after {:.1f} s, before it began", moment);
}

std::vector<std::string> recipe_words(Arguments& arguments) {
  const std::string recipe = arguments.take_positional("RECIPE (a TOML file, or images)");
  const auto images = arguments.take("images").value_or("2048");
  const auto epochs = arguments.take("epochs").value_or("2");
  std::vector<std::string> words;
  if (recipe.ends_with(".toml")) {
    words = {"--config", recipe};
  } else {
    words = {recipe};
  }
  // A checkpoint after every step: the kill falls between, within and beside them.
  words.insert(words.end(), {"--data.limit", images, "--train.epochs", epochs,
                             "--train.checkpoint_minutes", "0"});
  return words;
}

}  // namespace

void verify_resume_command(Arguments arguments) {
  const ScratchFolder scratch;
  Plan plan{.recipe = recipe_words(arguments), .folder = scratch.path()};
  const std::int64_t kills = arguments.take_integer("kills", 3);
  arguments.expect_empty({"kills", "images", "epochs"});
  const fs::path whole = scratch.path() / "whole";
  const auto begin = Clock::now();
  const fs::path output = scratch.path() / "output.txt";
  expect_success(wait_for(start_program(pretrain_words(plan, whole), output)), output);
  plan.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const Outcome expected = outcome_of(whole);
  fmt::print("uninterrupted: {:.1f} s, encoder {}\n", plan.seconds, expected.encoder.substr(0, 16));
  Rng rng({.seed = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()),
           .stream = "kill"});
  std::int64_t same = 0;
  for (std::int64_t i = 0; i < kills; ++i) {
    const fs::path run = scratch.path() / fmt::format("killed-{}", i);
    // Before the end, which comes a little earlier or later each time.
    const double moment = rng.uniform(0.0, 0.9 * plan.seconds);
    const std::string story = killed_and_continued(plan, run, moment);
    const bool equal = outcome_of(run) == expected;
    same += equal ? 1 : 0;
    fmt::print("{:>3}  {}: {}\n", i + 1, story, equal ? "the same bits" : "OTHER BITS");
    std::fflush(stdout);
    fs::remove_all(run);
  }
  fmt::print("{} of {} end bit-identical\n", same, kills);
  if (same != kills) {
    throw DivergedError("resume is not exact on this machine with this recipe");
  }
}

}  // namespace viewfold
