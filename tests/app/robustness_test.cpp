// A run whose disk is full, whose folder is read-only, whose checkpoints are gone, whose clock
// jumps: it ends in one line that says what to do, keeps its last good checkpoint, and then goes on
// to the bits of an undisturbed run.
#include <algorithm>
#include <csignal>
#include <fstream>
#include <thread>

#include "app/stopped_run.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::Ended;
using testing::long_run;
using testing::quoted;
using testing::run_line;
using testing::run_program;
using testing::start_and_signal;
using testing::with;
using testing::write_pictures;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of('\n');
  const auto begin = end == std::string::npos ? 0 : text.rfind('\n', end) + 1;
  return text.substr(begin, end + 1 - begin);
}

// Every file of a run's folder "checkpoints", with its content.
std::map<std::string, std::string> checkpoints_of(const fs::path& run) {
  std::map<std::string, std::string> files;
  for (const auto& file : fs::directory_iterator(run / "checkpoints")) {
    files[file.path().filename().string()] = read_text_file(file.path());
  }
  return files;
}

// Bytes on disk, in whole pages.
std::uintmax_t pages_of(const fs::path& path) {
  constexpr std::uintmax_t kPage = 4096;
  std::uintmax_t bytes = 0;
  if (!fs::is_directory(path)) {
    return (fs::file_size(path) + kPage - 1) / kPage * kPage;
  }
  for (const auto& file : fs::recursive_directory_iterator(path)) {
    bytes += file.is_directory() ? kPage : pages_of(file.path());
  }
  return bytes;
}

// Pictures, an undisturbed run "whole", made once, and what makes a mount point that only the
// commands behind it see; "" where nobody may do that.
class Robustness : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TestFolder>("robustness");
    write_pictures(path("pictures"), 40);
    const auto ended = run_program(*folder_, long_run(*folder_, "whole"));
    ASSERT_EQ(ended.code, 0) << ended.err;
    fs::create_directory(path("probe"));
    for (const std::string command : {"unshare -Urm", "unshare -m"}) {
      if (run_line(*folder_, command + " mount -t tmpfs tmpfs probe").code == 0) {
        with_mounts_ = command;
        break;
      }
    }
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static fs::path path(const std::string& name) { return folder_->path() / name; }

  // Makes "stopped", a run that was killed in the middle and has two checkpoints.
  static void make_stopped_run() {
    const int status = start_and_signal(*folder_, long_run(*folder_, "stopped"), SIGKILL);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the run ended before it could be killed";
    ASSERT_EQ(testing::count_checkpoints(path("stopped")), 2U);
  }

  // Goes on with a run to its end, which must be that of the undisturbed one.
  static void expect_same_end(const std::string& run) {
    const auto ended = run_program(*folder_, {"resume", run});
    EXPECT_EQ(ended.code, 0) << ended.err;
    expect_same_encoder(run);
  }
  static void expect_same_encoder(const std::string& run) {
    ASSERT_TRUE(fs::exists(path(run) / "encoder.safetensors"));
    EXPECT_TRUE(read_file(path(run) / "encoder.safetensors") ==
                read_file(path("whole/encoder.safetensors")));
  }

  // Runs lines of the shell that may mount what nobody else sees.
  static Ended run_with_mounts(const std::string& lines) {
    std::ofstream(path("script.sh")) << lines;
    return run_line(*folder_, with_mounts_ + " sh -e script.sh");
  }

  static std::string text(const std::string& name) { return read_text_file(path(name)); }

  static std::unique_ptr<TestFolder> folder_;
  static std::string with_mounts_;
};
std::unique_ptr<TestFolder> Robustness::folder_;
std::string Robustness::with_mounts_;

#define SKIP_WITHOUT_MOUNTS()                                                    \
  if (with_mounts_.empty()) {                                                    \
    GTEST_SKIP() << "nothing can be mounted here (unshare -Urm is not allowed)"; \
  }                                                                              \
  static_assert(true)

TEST_F(Robustness, ADiskThatFillsUpWhileTrainingKeepsTheLastTwoCheckpoints) {
  SKIP_WITHOUT_MOUNTS();
  std::uintmax_t room = 0;
  for (const char* part : {"run.json", "resolved.toml", "data.json", "figures/views.png",
                           "metrics.jsonl", "tensorboard", "lock"}) {
    room += pages_of(path("whole") / part);
  }
  const auto checkpoint = pages_of(path("whole/checkpoints")) / 2;
  room += 5 * checkpoint / 2;  // two checkpoints, and half of the third
  auto words = long_run(*folder_, "disk/run");
  const auto ended = run_with_mounts(
      fmt::format("mkdir -p disk; mount -t tmpfs -o size={} tmpfs disk\n"
                  "set +e; {} 2> full.txt; echo $? > full.code\n"
                  "cp -a disk/run full\n"
                  "mount -o remount,size=1g disk; {} 2> freed.txt; echo $? > freed.code\n"
                  "cp -a disk/run ended\n",
                  room, quoted(words), quoted({"resume", "disk/run"})));
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(text("full.code"), "3\n") << text("full.txt");
  const auto message = last_line(text("full.txt"));
  EXPECT_TRUE(contains(message,
                       "step-000000000003.safetensors: cannot be written (No space left "
                       "on device; free some space there)"))
      << message;
  EXPECT_TRUE(contains(message, "viewfold resume ")) << message;
  const auto kept = checkpoints_of(path("full"));
  ASSERT_EQ(kept.size(), 2U);
  EXPECT_TRUE(kept.contains("step-000000000001.safetensors"));
  EXPECT_TRUE(kept.contains("step-000000000002.safetensors"));
  EXPECT_TRUE(contains(text("full/run.json"), "interrupted"));
  EXPECT_EQ(text("freed.code"), "0\n") << text("freed.txt");
  EXPECT_TRUE(contains(text("freed.txt"), "going on from step 2 ")) << text("freed.txt");
  expect_same_encoder("ended");
}

// Whatever cannot be written first: the status, the metrics, a checkpoint.
TEST_F(Robustness, AFullDiskIsToldWhereverItIsMetAndCostsNoCheckpoint) {
  SKIP_WITHOUT_MOUNTS();
  make_stopped_run();
  const auto before = checkpoints_of(path("stopped"));
  std::string lines =
      "mkdir -p disk; mount -t tmpfs -o size=64m tmpfs disk; cp -a stopped disk/run\n"
      "set +e; cat /dev/zero > disk/ballast 2> ignored.txt\n";
  constexpr std::array kRooms{0, 1, 2, 3, 4, 6, 8, 12};  // pages
  const auto resume = quoted(
      {"resume", "disk/run", "--train.log_every", "1", "--train.checkpoint_minutes", "10000"});
  for (const int room : kRooms) {
    lines += fmt::format(
        "truncate -s -{1} disk/ballast; {0} 2> room{2}.txt; echo $? > room{2}.code\n"
        "cat /dev/zero >> disk/ballast 2> ignored.txt\n",
        resume, 4096 * room, room);
  }
  lines += "rm disk/ballast; cp -a disk/run kept; rm -r stopped; cp -a disk/run stopped\n";
  const auto ended = run_with_mounts(lines);
  ASSERT_EQ(ended.code, 0) << ended.err;
  for (const int room : kRooms) {
    const auto said = text(fmt::format("room{}.txt", room));
    EXPECT_EQ(text(fmt::format("room{}.code", room)), "3\n") << room << ": " << said;
    EXPECT_TRUE(contains(last_line(said), "No space left on device; free some space there)"))
        << room << ": " << said;
    EXPECT_TRUE(contains(last_line(said), "viewfold resume disk/run")) << room << ": " << said;
  }
  EXPECT_TRUE(checkpoints_of(path("kept")) == before);
  expect_same_end("stopped");
}

TEST_F(Robustness, ALimitOfFileSizesIsAnErrorThatNamesTheFileNotADeath) {
  make_stopped_run();
  const auto before = checkpoints_of(path("stopped"));
  // Blocks of 512 bytes: less than a checkpoint, more than anything else that is written before.
  const auto limit = before.begin()->second.size() / 1024;
  const auto ended =
      run_line(*folder_, fmt::format("ulimit -f {}; {}", limit, quoted({"resume", "stopped"})));
  EXPECT_EQ(ended.code, 3) << ended.err;
  const auto message = last_line(ended.err);
  EXPECT_TRUE(contains(message, ".safetensors: cannot be written (File too large; raise the limit"))
      << message;
  EXPECT_TRUE(contains(message, "viewfold resume stopped")) << message;
  EXPECT_TRUE(checkpoints_of(path("stopped")) == before);
  EXPECT_TRUE(contains(text("stopped/run.json"), "interrupted"));
  expect_same_end("stopped");
}

TEST_F(Robustness, AReadOnlyFolderIsNamedAndARunInItGoesOnWhenItIsWritable) {
  SKIP_WITHOUT_MOUNTS();
  make_stopped_run();
  const auto before = checkpoints_of(path("stopped"));
  const auto read_only = [](const std::string& part) {
    return fmt::format("mount --bind {0} {0}; mount -o remount,ro,bind {0}; set +e\n", part);
  };
  for (const std::string part : {"stopped", "stopped/checkpoints"}) {
    const auto ended = run_with_mounts(read_only(part) + quoted({"resume", "stopped"}));
    EXPECT_EQ(ended.code, 3) << ended.err;
    const auto message = last_line(ended.err);
    EXPECT_TRUE(contains(message, "viewfold: stopped/")) << message;
    EXPECT_TRUE(contains(message, "(Read-only file system; make it writable)")) << message;
    EXPECT_TRUE(contains(message, "viewfold resume stopped")) << message;
    EXPECT_TRUE(checkpoints_of(path("stopped")) == before);
  }
  EXPECT_TRUE(contains(text("stopped/run.json"), "interrupted"));
  fs::create_directory(path("shelf"));
  const auto refused =
      run_with_mounts(read_only("shelf") + quoted(long_run(*folder_, "shelf/run")));
  EXPECT_EQ(refused.code, 3) << refused.err;
  EXPECT_TRUE(contains(last_line(refused.err), "shelf/run: cannot be made a folder (Read-only"))
      << refused.err;
  expect_same_end("stopped");
}

TEST_F(Robustness, GoesOnFromTheOlderCheckpointWhenTheNewestIsDeletedOrCut) {
  for (const bool cut : {false, true}) {
    make_stopped_run();
    const auto newest =
        path("stopped/checkpoints") / checkpoints_of(path("stopped")).rbegin()->first;
    if (cut) {
      fs::resize_file(newest, fs::file_size(newest) / 2);
    } else {
      fs::remove(newest);
    }
    const auto ended = run_program(*folder_, {"resume", "stopped"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(contains(ended.err, "passed over a checkpoint"), cut) << ended.err;
    EXPECT_EQ(contains(ended.err, newest.filename().string()), cut) << ended.err;
    expect_same_encoder("stopped");
  }
}

TEST_F(Robustness, BeginsAgainAndSaysSoWhenAllCheckpointsAreGone) {
  make_stopped_run();
  fs::remove_all(path("stopped/checkpoints"));
  const auto ended = run_program(*folder_, {"resume", "stopped"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.err, "stopped/checkpoints: holds no checkpoint; the run begins again"))
      << ended.err;
  expect_same_encoder("stopped");
}

TEST_F(Robustness, NamesTheCheckpointsAndLeavesThemWhenNoneCanBeRead) {
  make_stopped_run();
  for (const auto& [name, content] : checkpoints_of(path("stopped"))) {
    fs::resize_file(path("stopped/checkpoints") / name, 40);
  }
  const auto ended = run_program(*folder_, {"resume", "stopped"});
  EXPECT_EQ(ended.code, 3);
  EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 3) << ended.err;
  for (const auto& [name, content] : checkpoints_of(path("stopped"))) {
    EXPECT_TRUE(contains(last_line(ended.err), name)) << ended.err;
    EXPECT_EQ(content.size(), 40U);
  }
}

TEST_F(Robustness, ARunWhoseCheckpointsAreDeletedWhileItTrainsMakesNewOnes) {
  fs::remove_all(path("stopped"));
  std::jthread vandal([](const std::stop_token& ended) {
    while (!ended.stop_requested() && testing::count_checkpoints(path("stopped")) < 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::error_code ignored;
    fs::remove_all(path("stopped/checkpoints"), ignored);
  });
  const auto ended = run_program(*folder_, long_run(*folder_, "stopped"));
  vandal.request_stop();
  vandal.join();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(testing::count_checkpoints(path("stopped")), 2U);
  expect_same_encoder("stopped");
}

TEST_F(Robustness, ABatchThatDoesNotFitIntoMemoryIsNamedBeforeTheFirstStep) {
  // 64 x 2 views of 1024 x 1024 x 3 floats are 1.6 GB; without them it would begin.
  const auto words =
      with(testing::small_run("pictures", "large"),
           {"--batch", "64", "--size", "1024", "--views", "none", "--train.precision", "fp32"});
  const auto ended = run_line(*folder_, "ulimit -v 2000000; " + quoted(words));
  EXPECT_EQ(ended.code, 1) << ended.err;
  EXPECT_TRUE(
      contains(last_line(ended.err),
               "viewfold: large: out of memory with train.batch_size = 64 (begin again with "
               "a smaller one: viewfold pretrain --config large/resolved.toml --batch 32"))
      << ended.err;
  EXPECT_TRUE(contains(text("large/run.json"), "interrupted"));
}

// From too little memory for the program itself up to too little for the run.
TEST_F(Robustness, MemoryThatRunsOutIsToldAndCostsNoCheckpoint) {
  make_stopped_run();
  const auto before = checkpoints_of(path("stopped"));
  const std::string told = "stopped: out of memory with train.batch_size = 16";
  Ended ended;
  for (int megabytes = 700; !contains(ended.err, told); megabytes += 100) {
    ended = run_line(*folder_, fmt::format("ulimit -v {}; timeout -s KILL 20 {}", megabytes * 1000,
                                           quoted({"resume", "stopped"})));
    ASSERT_NE(ended.code, 0) << "it ran with " << megabytes << " MB";
    EXPECT_TRUE(checkpoints_of(path("stopped")) == before) << megabytes;
  }
  EXPECT_EQ(ended.code, 1);
  EXPECT_TRUE(contains(last_line(ended.err), "go on with: viewfold resume stopped)")) << ended.err;
  expect_same_end("stopped");
}

// A jump of the wall clock cannot be made here without making it for the whole machine. What it can
// reach is what is written down of it: times of files, and of lines and marks. A run goes on from
// those of tomorrow and of yesterday as from others, because nothing else asks that clock.
TEST_F(Robustness, AJumpOfTheClockChangesNothing) {
  using std::chrono::hours;
  for (const auto jump : {hours(24 * 400), hours(-24 * 400)}) {
    make_stopped_run();
    const auto now = fs::file_time_type::clock::now();
    const auto files = checkpoints_of(path("stopped"));
    fs::last_write_time(path("stopped/checkpoints") / files.begin()->first, now + jump);
    fs::last_write_time(path("stopped/checkpoints") / files.rbegin()->first, now - jump);
    std::string moved;
    std::istringstream lines(text("stopped/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      auto json = nlohmann::ordered_json::parse(line);
      json["time"] =
          json["time"].get<double>() + static_cast<double>(std::chrono::seconds(jump).count());
      moved += json.dump() + "\n";
    }
    write_file_atomically(path("stopped/metrics.jsonl"), moved);
    const auto ended = run_program(*folder_, {"resume", "stopped"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    const auto step = std::stoi(files.rbegin()->first.substr(5));
    EXPECT_TRUE(contains(ended.err, fmt::format("going on from step {} of", step))) << ended.err;
    expect_same_encoder("stopped");
  }
}

TEST(Clocks, OnlyWhatIsWrittenDownIsOfTheClockThatCanJump) {
  std::vector<std::string> users;
  for (const auto& file :
       fs::recursive_directory_iterator(fs::path(VIEWFOLD_SOURCE_DIR) / "src/viewfold")) {
    if (!file.is_directory()) {
      const auto source = read_text_file(file.path());
      for (const char* clock : {"system_clock", "high_resolution_clock", "CLOCK_REALTIME",
                                "gettimeofday", "time(nullptr)", "std::time("}) {
        if (contains(source, clock)) {
          users.push_back(file.path().filename().string());
        }
      }
    }
  }
  std::sort(users.begin(), users.end());
  EXPECT_EQ(users, (std::vector<std::string>{"metrics.cpp", "run_dir.cpp", "tensorboard.cpp"}));
}

TEST_F(Robustness, ARunIsEvaluatedFromAnotherFolderAndGoesOnWhereItsImagesHaveBeenMoved) {
  fs::remove_all(path("stopped"));
  auto words = testing::small_run("pictures", "stopped");
  ASSERT_EQ(run_program(*folder_, words).code, 0);
  fs::create_directory(path("elsewhere"));
  const auto evaluated =
      run_line(*folder_, "cd elsewhere; " + quoted({"evaluate", "../stopped", "--on", "knn",
                                                    "--controls", "off", "--threads", "1"}));
  EXPECT_EQ(evaluated.code, 0) << evaluated.err;

  make_stopped_run();
  fs::rename(path("pictures"), path("moved"));
  const auto lost = run_program(*folder_, {"resume", "stopped"});
  EXPECT_EQ(lost.code, 3);
  EXPECT_TRUE(contains(lost.err, path("pictures").string())) << lost.err;
  const auto found = run_program(*folder_, {"resume", "stopped", "--data.source", "moved"});
  EXPECT_EQ(found.code, 0) << found.err;
  EXPECT_TRUE(contains(text("stopped/resolved.toml"), path("moved").string()));
  const auto again =
      run_line(*folder_, "cd elsewhere; " + quoted({"evaluate", "../stopped", "--on", "knn",
                                                    "--controls", "off", "--threads", "1"}));
  fs::rename(path("moved"), path("pictures"));
  EXPECT_EQ(again.code, 0) << again.err;
}

}  // namespace
}  // namespace viewfold
