// Runs that are stopped and continued.
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <spawn.h>
#include <thread>

#include "app/program.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/run_dir.hpp"

extern char** environ;

namespace viewfold {
namespace {

using testing::run_program;
using testing::small_run;
using testing::with;
using testing::write_pictures;

// Starts a run whose output goes to a file, waits for its first checkpoint, then sends a signal.
// Returns the status of waitpid().
int start_and_signal(const TestFolder& folder, std::vector<std::string> words, int signal) {
  words.insert(words.begin(), testing::program());
  std::vector<char*> arguments;
  for (auto& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  std::filesystem::remove_all(folder.path() / "stopped");
  const auto output = folder.path() / "signalled.txt";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = 0;
  EXPECT_EQ(posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  const auto checkpoints = folder.path() / "stopped/checkpoints";
  int status = 0;
  while (!std::filesystem::exists(checkpoints) || std::filesystem::is_empty(checkpoints)) {
    if (waitpid(child, &status, WNOHANG) == child) {
      return status;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(child, signal);
  waitpid(child, &status, 0);
  return status;
}

std::vector<std::string> long_run(const TestFolder& folder, const std::string& name) {
  return with(small_run((folder.path() / "pictures").string(), (folder.path() / name).string()),
              {"--epochs", "12", "--train.checkpoint_minutes", "0"});
}

TEST(Interruption, KilledRunEndsWithTheBitsOfAnUninterruptedOne) {
  const TestFolder folder("killed");
  write_pictures(folder.path() / "pictures", 40);
  for (const std::string method : {"simclr", "moco_v2", "simsiam"}) {
    const std::vector<std::string> more{"--method", method, "--overwrite"};
    const auto whole = run_program(folder, with(long_run(folder, "whole"), more));
    ASSERT_EQ(whole.code, 0) << whole.err;
    const int status = start_and_signal(folder, with(long_run(folder, "stopped"), more), SIGKILL);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the run ended before it could be killed";
    const auto resumed = run_program(folder, {"resume", "stopped"});
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_TRUE(read_file(folder.path() / "stopped/encoder.safetensors") ==
                read_file(folder.path() / "whole/encoder.safetensors"))
        << method;
  }
}

TEST(Interruption, ImagesDecodedIntoTheRunFolderAreReadAgainAndGoneAtTheEnd) {
  const TestFolder folder("cached");
  write_pictures(folder.path() / "pictures", 40);
  const auto whole = run_program(
      folder, with(long_run(folder, "whole"), {"--data.memory_gb", "0", "--data.cache_gb", "0"}));
  ASSERT_EQ(whole.code, 0) << whole.err;
  const int status = start_and_signal(
      folder, with(long_run(folder, "stopped"), {"--data.memory_gb", "0"}), SIGKILL);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the run ended before it could be killed";
  const auto cache = folder.path() / "stopped/cache/images.pixels";
  EXPECT_TRUE(std::filesystem::exists(cache));
  const auto resumed = run_program(folder, {"resume", "stopped"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("read from their cache"), std::string::npos) << resumed.err;
  EXPECT_TRUE(read_file(folder.path() / "stopped/encoder.safetensors") ==
              read_file(folder.path() / "whole/encoder.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(cache));
}

TEST(Interruption, AnUnreadableImageOnDiskIsNamedBeforeTraining) {
  const TestFolder folder("repaired");
  write_pictures(folder.path() / "pictures", 40);
  const auto picture = folder.path() / "pictures/spots/039.png";
  const auto good = read_file(picture);
  write_file_atomically(picture, std::string_view("\x89PNG gone"));
  const auto run = with(small_run("pictures", "run"), {"--data.memory_gb", "0"});
  const auto refused = run_program(folder, run);
  EXPECT_EQ(refused.code, 3);
  EXPECT_NE(refused.err.find("039.png"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("1 of 80 images"), std::string::npos) << refused.err;
  EXPECT_TRUE(std::filesystem::is_empty(folder.path() / "run/checkpoints"));
  write_file_atomically(picture, good);
  const auto repaired = run_program(folder, with(run, {"--overwrite"}));
  EXPECT_EQ(repaired.code, 0) << repaired.err;
}

TEST(Interruption, CtrlCSavesAndSaysHowToGoOn) {
  const TestFolder folder("interrupted");
  write_pictures(folder.path() / "pictures", 40);
  const int status = start_and_signal(folder, long_run(folder, "stopped"), SIGINT);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  const std::string said = read_text_file(folder.path() / "signalled.txt");
  EXPECT_NE(said.find("viewfold resume"), std::string::npos) << said;
  EXPECT_NE(read_text_file(folder.path() / "stopped/run.json").find("interrupted"),
            std::string::npos);
  EXPECT_EQ(run_program(folder, {"resume", "stopped"}).code, 0);
}

TEST(Interruption, ResumeRefusesOtherImages) {
  const TestFolder folder("other_images");
  write_pictures(folder.path() / "pictures", 40);
  start_and_signal(folder, long_run(folder, "stopped"), SIGKILL);
  std::filesystem::remove(folder.path() / "pictures/spots/003.png");
  const auto ended = run_program(folder, {"resume", "stopped"});
  EXPECT_EQ(ended.code, 3);
  EXPECT_NE(ended.err.find("images have changed"), std::string::npos) << ended.err;
}

TEST(Interruption, TwoProcessesCannotTrainIntoOneRun) {
  const TestFolder folder("two_processes");
  write_pictures(folder.path() / "pictures", 40);
  start_and_signal(folder, long_run(folder, "stopped"), SIGKILL);
  const RunLock lock = RunDir::open(folder.path() / "stopped").lock();
  const auto ended = run_program(folder, {"resume", "stopped"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_NE(ended.err.find("another process"), std::string::npos) << ended.err;
}

}  // namespace
}  // namespace viewfold
