// Tests of the verb import by the program itself: what was exported comes back.
#include "app/program.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace viewfold {
namespace {

using testing::contains;
using testing::run_program;
using testing::write_pictures;

// One small run for all cases.
class Import : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TestFolder("import");
    write_pictures(folder_->path() / "pictures", 64);
    const auto trained =
        run_program(*folder_, {"pretrain", "pictures", "--encoder.width", "4", "--batch", "32",
                               "--epochs", "1", "--train.threads", "1", "--out", "run"});
    ASSERT_EQ(trained.code, 0) << trained.err;
    const auto exported = run_program(*folder_, {"export", "run"});
    ASSERT_EQ(exported.code, 0) << exported.err;
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string listed(const nlohmann::json& numbers) {
    std::string text;
    for (const auto& number : numbers) {
      text += (text.empty() ? "" : ",") + number.dump();
    }
    return text;
  }

  static TestFolder* folder_;
};

TestFolder* Import::folder_ = nullptr;

TEST_F(Import, AnExportedEncoderComesBackWithTheSameFeatures) {
  const auto card =
      nlohmann::json::parse(read_text_file(folder_->path() / "run" / "card.json"))["input"];
  for (const std::string file : {"encoder.pt", "encoder.safetensors"}) {
    const auto imported = run_program(
        *folder_, {"import", "run/export/" + file, "--out", "back", "--size", card["size"].dump(),
                   "--mean", listed(card["mean"]), "--std", listed(card["std"]), "--overwrite"});
    ASSERT_EQ(imported.code, 0) << imported.err;
    EXPECT_TRUE(contains(imported.out, "resnet18 of width 4")) << imported.out;
    for (const std::string run : {"run", "back"}) {
      const auto embedded =
          run_program(*folder_, {"embed", run, "pictures", "--out", run + ".npy"});
      ASSERT_EQ(embedded.code, 0) << embedded.err;
    }
    EXPECT_EQ(read_file(folder_->path() / "run.npy"), read_file(folder_->path() / "back.npy"))
        << file;
  }
}

TEST_F(Import, AnImportedEncoderIsMeasuredOnImagesThatAreNamed) {
  const auto imported =
      run_program(*folder_, {"import", "run/export/encoder.pt", "--out", "theirs", "--size", "24"});
  ASSERT_EQ(imported.code, 0) << imported.err;
  const auto nothing = run_program(*folder_, {"evaluate", "theirs"});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_TRUE(contains(nothing.err, "--data")) << nothing.err;
  const auto measured =
      run_program(*folder_, {"evaluate", "theirs", "--on", "knn", "--data", "pictures"});
  EXPECT_EQ(measured.code, 0) << measured.err;
  EXPECT_TRUE(contains(measured.out, "pretrained encoder")) << measured.out;
  const auto resumed = run_program(*folder_, {"resume", "theirs"});
  EXPECT_EQ(resumed.code, 2);
  EXPECT_TRUE(contains(resumed.err, "imported")) << resumed.err;
}

TEST_F(Import, WhatIsNoCheckpointIsRefusedAndNothingIsMade) {
  write_file_atomically(folder_->path() / "text.pth", std::string("not a checkpoint"));
  const auto refused = run_program(*folder_, {"import", "text.pth", "--out", "none"});
  EXPECT_EQ(refused.code, 3);
  EXPECT_TRUE(contains(refused.err, "text.pth")) << refused.err;
  EXPECT_FALSE(std::filesystem::exists(folder_->path() / "none"));
  const auto taken = run_program(*folder_, {"import", "run/export/encoder.pt", "--out", "run"});
  EXPECT_EQ(taken.code, 2);
  const auto number = run_program(
      *folder_, {"import", "run/export/encoder.pt", "--out", "none", "--mean", "0.5,x"});
  EXPECT_EQ(number.code, 2);
  const auto bands = run_program(
      *folder_, {"import", "run/export/encoder.pt", "--out", "none", "--mean", "0.5,0.5"});
  EXPECT_EQ(bands.code, 2);
}

}  // namespace
}  // namespace viewfold
