// Runs of the program that are stopped in the middle by a signal.
#pragma once

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <spawn.h>
#include <thread>

#include "app/program.hpp"
#include <gtest/gtest.h>

extern char** environ;

namespace viewfold::testing {

/// Finished checkpoints of a run; 0 where there is none.
inline std::size_t count_checkpoints(const std::filesystem::path& run) {
  std::error_code ignored;
  std::size_t count = 0;
  for (const auto& file : std::filesystem::directory_iterator(run / "checkpoints", ignored)) {
    count += file.path().filename().string().starts_with("step-") ? 1 : 0;
  }
  return count;
}

/// Starts the program, its output in `folder`/signalled.txt, waits until `run` has two checkpoints,
/// then sends a signal. Returns the status of waitpid().
inline int signal_when_run_is_on(const TestFolder& folder,
                                 std::vector<std::string> words,
                                 const std::filesystem::path& run,
                                 int signal) {
  words.insert(words.begin(), program());
  std::vector<char*> arguments;
  for (auto& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  const auto output = folder.path() / "signalled.txt";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  // A test that is run under nohup ignores SIGHUP, and so would what it starts.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGHUP);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  EXPECT_EQ(posix_spawn(&child, arguments[0], &actions, &attributes, arguments.data(), environ), 0);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  while (count_checkpoints(run) < 2) {
    if (waitpid(child, &status, WNOHANG) == child) {
      return status;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(child, signal);
  waitpid(child, &status, 0);
  return status;
}

/// The same with a run into `folder`/stopped.
inline int start_and_signal(const TestFolder& folder,
                            const std::vector<std::string>& words,
                            int signal) {
  const auto run = folder.path() / "stopped";
  std::filesystem::remove_all(run);
  return signal_when_run_is_on(folder, words, run, signal);
}

/// A run with a checkpoint and a line of metrics after every step.
inline std::vector<std::string> long_run(const TestFolder& folder, const std::string& name) {
  return with(small_run((folder.path() / "pictures").string(), (folder.path() / name).string()),
              {"--epochs", "12", "--train.checkpoint_minutes", "0", "--train.log_every", "1"});
}

}  // namespace viewfold::testing
