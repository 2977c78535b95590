// Runs that are stopped and continued.
#include <csignal>

#include "app/stopped_run.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/run_dir.hpp"

namespace viewfold {
namespace {

using testing::long_run;
using testing::run_program;
using testing::small_run;
using testing::start_and_signal;
using testing::with;
using testing::write_pictures;

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

TEST(Interruption, EverySignalThatAsksToStopSavesAndSaysHowToGoOn) {
  const TestFolder folder("interrupted");
  write_pictures(folder.path() / "pictures", 40);
  ASSERT_EQ(run_program(folder, long_run(folder, "whole")).code, 0);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const int status = start_and_signal(folder, long_run(folder, "stopped"), signal);
    EXPECT_TRUE(WIFEXITED(status)) << signal;
    EXPECT_EQ(WEXITSTATUS(status), 130) << signal;
    const std::string said = read_text_file(folder.path() / "signalled.txt");
    EXPECT_NE(said.find("viewfold resume"), std::string::npos) << said;
    EXPECT_NE(read_text_file(folder.path() / "stopped/run.json").find("interrupted"),
              std::string::npos);
    EXPECT_EQ(run_program(folder, {"resume", "stopped"}).code, 0);
    EXPECT_TRUE(read_file(folder.path() / "stopped/encoder.safetensors") ==
                read_file(folder.path() / "whole/encoder.safetensors"))
        << signal;
  }
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
