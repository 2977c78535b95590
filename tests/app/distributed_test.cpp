// Runs of several processes: as the user starts them, ends them, and loses one.
#include <chrono>
#include <csignal>
#include <thread>

#include "app/program.hpp"
#include "tensor/processes.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/nn/safetensors.hpp"

namespace viewfold {
namespace {

using testing::run_program;
using testing::small_run;
using testing::with;
using testing::write_pictures;
using Words = std::vector<std::string>;

// The processes of one run.
class Group {
 public:
  // words of each process, without the program's name
  Group(const TestFolder& folder, const std::vector<Words>& words) {
    const int port = testing::free_port();
    const auto size = static_cast<int>(words.size());
    for (int rank = 0; rank < size; ++rank) {
      auto line = words[static_cast<std::size_t>(rank)];
      line.insert(line.begin(), testing::program());
      outputs_.push_back((folder.path() / fmt::format("rank-{}.txt", rank)).string());
      children_.push_back(
          testing::start_process(line, testing::environment_of(rank, size, port), outputs_.back()));
    }
  }

  void send(int rank, int signal) const {
    ::kill(children_[static_cast<std::size_t>(rank)], signal);
  }

  // Exit codes of all.
  std::vector<int> wait() {
    std::vector<int> codes;
    for (const auto child : children_) {
      codes.push_back(testing::wait_for_process(child));
    }
    return codes;
  }

  [[nodiscard]] std::string said(int rank) const {
    return testing::text_of_file(outputs_[static_cast<std::size_t>(rank)]);
  }

 private:
  std::vector<pid_t> children_;
  std::vector<std::string> outputs_;
};

Words training(const TestFolder& folder, const std::string& out, const Words& more = {}) {
  return with(with(small_run((folder.path() / "pictures").string(), (folder.path() / out).string()),
                   {"--epochs", "8", "--train.checkpoint_minutes", "0", "--train.log_every", "1",
                    "--train.precision", "fp32"}),
              more);
}

std::vector<double> losses(const std::filesystem::path& run) {
  std::vector<double> values;
  std::istringstream text(read_text_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json["event"] == "train") {
      values.push_back(json["loss"].get<double>());
    }
  }
  return values;
}

void wait_for_checkpoint(const std::filesystem::path& run) {
  const auto folder = run / "checkpoints";
  for (int i = 0; i < 6000; ++i) {
    if (std::filesystem::exists(folder) && !std::filesystem::is_empty(folder)) {
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  FAIL() << folder << " stays empty";
}

bool same_encoder(const TestFolder& folder, const std::string& a, const std::string& b) {
  return read_file(folder.path() / a / "encoder.safetensors") ==
         read_file(folder.path() / b / "encoder.safetensors");
}

TEST(TwoProcesses, TrainAsOneDoes) {
  const TestFolder folder("as_one");
  write_pictures(folder.path() / "pictures", 40);
  const Words more{"--epochs", "2"};
  const auto alone = run_program(folder, training(folder, "alone", more));
  ASSERT_EQ(alone.code, 0) << alone.err;
  const auto words = training(folder, "together", more);
  Group group(folder, {words, words});
  ASSERT_EQ(group.wait(), (std::vector<int>{0, 0})) << group.said(0) << group.said(1);
  EXPECT_NE(group.said(0).find("2 processes, 2 of them on this machine"), std::string::npos);
  EXPECT_EQ(group.said(1), "");
  const auto expected = losses(folder.path() / "alone");
  const auto found = losses(folder.path() / "together");
  ASSERT_EQ(expected.size(), 8U);
  ASSERT_EQ(found.size(), expected.size());
  // Rounding grows from step to step; a sum that one process missed would show at the second.
  EXPECT_NEAR(found[0], expected[0], 1e-5);
  EXPECT_NEAR(found[1], expected[1], 1e-4);
  for (std::size_t i = 2; i < expected.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], 3e-3) << i;
  }
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "together/report.html"));
}

TEST(TwoProcesses, StopTogetherAndGoOnWithTheSameBits) {
  const TestFolder folder("stop_together");
  write_pictures(folder.path() / "pictures", 40);
  const Words more{"--method", "moco_v2"};
  const auto whole = training(folder, "whole", more);
  Group uninterrupted(folder, {whole, whole});
  ASSERT_EQ(uninterrupted.wait(), (std::vector<int>{0, 0})) << uninterrupted.said(0);
  const auto words = training(folder, "stopped", more);
  Group stopped(folder, {words, words});
  wait_for_checkpoint(folder.path() / "stopped");
  stopped.send(1, SIGTERM);
  ASSERT_EQ(stopped.wait(), (std::vector<int>{130, 130})) << stopped.said(0) << stopped.said(1);
  EXPECT_NE(stopped.said(0).find("viewfold resume"), std::string::npos) << stopped.said(0);
  const Words resume{"resume", (folder.path() / "stopped").string()};
  Group resumed(folder, {resume, resume});
  ASSERT_EQ(resumed.wait(), (std::vector<int>{0, 0})) << resumed.said(0) << resumed.said(1);
  EXPECT_TRUE(same_encoder(folder, "stopped", "whole"));
}

TEST(TwoProcesses, EndSoonWhenOneIsKilledAndGoOnWithTheSameBits) {
  const TestFolder folder("one_killed");
  write_pictures(folder.path() / "pictures", 40);
  const auto whole = training(folder, "whole");
  Group uninterrupted(folder, {whole, whole});
  ASSERT_EQ(uninterrupted.wait(), (std::vector<int>{0, 0})) << uninterrupted.said(0);
  for (const int victim : {0, 1}) {
    std::filesystem::remove_all(folder.path() / "killed");
    const auto words = training(folder, "killed");
    Group group(folder, {words, words});
    wait_for_checkpoint(folder.path() / "killed");
    const auto begin = std::chrono::steady_clock::now();
    group.send(victim, SIGKILL);
    auto codes = group.wait();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
    EXPECT_EQ(codes[static_cast<std::size_t>(victim)], 128 + SIGKILL);
    EXPECT_EQ(codes[static_cast<std::size_t>(1 - victim)], 5) << group.said(1 - victim);
    const auto said = group.said(1 - victim);
    EXPECT_NE(said.find(fmt::format("viewfold: rank {} on ", victim)), std::string::npos) << said;
    const Words resume{"resume", (folder.path() / "killed").string()};
    Group resumed(folder, {resume, resume});
    ASSERT_EQ(resumed.wait(), (std::vector<int>{0, 0})) << resumed.said(0) << resumed.said(1);
    EXPECT_TRUE(same_encoder(folder, "killed", "whole"));
  }
}

TEST(TwoProcesses, MustAgree) {
  const TestFolder folder("must_agree");
  write_pictures(folder.path() / "pictures", 40);
  const auto words = training(folder, "run");
  Group seeds(folder, {words, with(words, {"--seed", "2"})});
  EXPECT_EQ(seeds.wait(), (std::vector<int>{5, 2})) << seeds.said(0) << seeds.said(1);
  EXPECT_NE(seeds.said(1).find("rank 1 has other settings than rank 0: seed"), std::string::npos)
      << seeds.said(1);
  EXPECT_NE(seeds.said(0).find("rank 1 has other settings"), std::string::npos) << seeds.said(0);
  const auto uneven = with(words, {"--batch", "15"});
  Group batches(folder, {uneven, uneven});
  EXPECT_EQ(batches.wait(), (std::vector<int>{2, 2})) << batches.said(0);
  EXPECT_NE(batches.said(0).find("use --train.batch_size 16"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "run"));
}

TEST(TwoProcesses, LearnWhyTheOtherEnded) {
  const TestFolder folder("learn_why");
  write_pictures(folder.path() / "pictures", 40);
  write_pictures(folder.path() / "other", 39);
  auto words = training(folder, "run");
  auto others = words;
  others[1] = (folder.path() / "other").string();
  Group group(folder, {words, others});
  EXPECT_EQ(group.wait(), (std::vector<int>{5, 2})) << group.said(0) << group.said(1);
  EXPECT_NE(group.said(0).find("rank 1 finds other images there"), std::string::npos)
      << group.said(0);
}

}  // namespace
}  // namespace viewfold
