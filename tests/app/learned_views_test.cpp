// Learned views from the outside: fitting a manifold, pretraining with it, all of it in one
// command.
#include <fstream>

#include "app/program.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace viewfold {
namespace {

using testing::contains;
using testing::run_program;
using testing::small_run;
using testing::with;
using testing::write_pictures;

std::vector<std::string> fit(const std::string& out) {
  return {"manifold", "fit",
          "pictures", "--out",
          out,        "--condition.space",
          "pca",      "--condition.components",
          "8",        "--condition.neighbours",
          "3",        "--epochs",
          "2",        "--batch",
          "16",       "--ic_gan.channels",
          "8",        "--ic_gan.discriminator_channels",
          "8",        "--threads",
          "1"};
}

class FittedManifold : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TestFolder>("manifold");
    write_pictures(folder_->path() / "pictures", 40);
    ended_ = run_program(*folder_, fit("manifold"));
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static std::filesystem::path file(const std::string& name) { return folder_->path() / name; }
  static std::vector<std::string> learned_run(const std::string& out) {
    return with(small_run("pictures", out),
                {"--views.learned.from", "manifold", "--views.learned.mode", "cached:2"});
  }

  static std::unique_ptr<TestFolder> folder_;
  static testing::Ended ended_;
};
std::unique_ptr<TestFolder> FittedManifold::folder_;
testing::Ended FittedManifold::ended_;

TEST_F(FittedManifold, LeavesNeighboursGeneratorNumbersAndAPicture) {
  ASSERT_EQ(ended_.code, 0) << ended_.err;
  for (const char* name : {"neighbourhoods.safetensors", "generator.safetensors", "manifold.json",
                           "figures/manifold.png", "metrics.jsonl"}) {
    EXPECT_TRUE(std::filesystem::exists(file("manifold") / name)) << name;
  }
  const auto numbers = nlohmann::json::parse(read_text_file(file("manifold/manifold.json")));
  EXPECT_EQ(numbers["neighbourhoods"]["neighbours"], 3.0);
  EXPECT_GT(numbers["neighbourhoods"]["purity_at_1"], 0.5);
  EXPECT_EQ(numbers["judge"], "untrained");
  for (const char* score : {"frechet", "precision", "recall", "diversity", "label_agreement"}) {
    EXPECT_TRUE(numbers["generator"].contains(score)) << score;
  }
  EXPECT_TRUE(contains(run_program(*folder_, {"manifold", "show", "manifold"}).out, "frechet"));
}

TEST_F(FittedManifold, IsTheSameWhenFittedAgainOrInterrupted) {
  ASSERT_EQ(run_program(*folder_, with(fit("again"), {"--checkpoint_minutes", "0"})).code, 2);
  ASSERT_EQ(run_program(*folder_, with(fit("again"), {"--train.checkpoint_minutes", "0"})).code, 0);
  const auto generator = read_file(file("manifold/generator.safetensors"));
  EXPECT_EQ(read_file(file("again/generator.safetensors")), generator);
  // As a process that was killed after its first checkpoints leaves it.
  std::vector<std::filesystem::path> checkpoints;
  for (const auto& entry : std::filesystem::directory_iterator(file("again/checkpoints"))) {
    checkpoints.push_back(entry.path());
  }
  ASSERT_EQ(checkpoints.size(), 2U);
  std::ranges::sort(checkpoints);
  std::filesystem::remove(checkpoints.back());
  std::filesystem::remove(file("again/manifold.json"));
  ASSERT_EQ(run_program(*folder_, fit("again")).code, 0);
  EXPECT_EQ(read_file(file("again/generator.safetensors")), generator);
  EXPECT_TRUE(std::filesystem::exists(file("again/manifold.json")));
  // All that has been learned, not only what was kept before.
  const auto last = checkpoints.back().filename();
  EXPECT_EQ(read_file(file("again/checkpoints") / last),
            read_file(file("manifold/checkpoints") / last));
}

TEST_F(FittedManifold, IsNotFittedOverAnother) {
  const auto ended = run_program(*folder_, with(fit("manifold"), {"--condition.neighbours", "4"}));
  EXPECT_EQ(ended.code, 2);
  EXPECT_TRUE(contains(ended.err, "condition.neighbours")) << ended.err;
}

TEST_F(FittedManifold, GivesViewsToARunThatIsShownAsItWas) {
  ASSERT_EQ(run_program(*folder_, learned_run("run")).code, 0);
  EXPECT_TRUE(std::filesystem::exists(file("run/figures/manifold.png")));
  EXPECT_TRUE(contains(read_text_file(file("run/report.html")), "Local manifolds"));
  EXPECT_TRUE(std::filesystem::exists(file("manifold/samples/ic_gan-2-seed1.pixels")));
  // The same bits with samples that are there, and with samples that have to be made again.
  ASSERT_EQ(run_program(*folder_, learned_run("second")).code, 0);
  std::filesystem::remove_all(file("manifold/samples"));
  ASSERT_EQ(run_program(*folder_, learned_run("third")).code, 0);
  EXPECT_EQ(read_file(file("run/encoder.safetensors")),
            read_file(file("second/encoder.safetensors")));
  EXPECT_EQ(read_file(file("run/encoder.safetensors")),
            read_file(file("third/encoder.safetensors")));
  const auto page = run_program(
      *folder_, {"show", "run", "--sample", "3", "--epoch", "2", "--out", "views.html"});
  EXPECT_EQ(page.code, 0) << page.err;
}

TEST_F(FittedManifold, IsRefusedByARunOnOtherImages) {
  const auto ended = run_program(*folder_, with(learned_run("other"), {"--data.limit", "60"}));
  EXPECT_EQ(ended.code, 3);
  EXPECT_TRUE(contains(ended.err, "fitted on other images")) << ended.err;
  EXPECT_FALSE(std::filesystem::exists(file("other")));
}

TEST_F(FittedManifold, GivesPicturesOfItsSamples) {
  const std::vector<std::string> words{"manifold", "sample", "manifold", "--images",
                                       "4",        "--each", "3",        "--out"};
  const auto drawn = run_program(*folder_, with(words, {"drawn"}));
  ASSERT_EQ(drawn.code, 0) << drawn.err;
  std::size_t pictures = 0;
  for (const auto& entry : std::filesystem::directory_iterator(file("drawn"))) {
    pictures += entry.path().extension() == ".png" ? 1 : 0;
  }
  EXPECT_EQ(pictures, 4U * 3U + 1U);
  EXPECT_NE(read_file(file("drawn/000000-00.png")), read_file(file("drawn/000000-01.png")));
  ASSERT_EQ(run_program(*folder_, with(words, {"again"})).code, 0);
  EXPECT_EQ(read_file(file("again/sheet.png")), read_file(file("drawn/sheet.png")));
  ASSERT_EQ(run_program(*folder_, with(words, {"other", "--seed", "2"})).code, 0);
  EXPECT_NE(read_file(file("other/sheet.png")), read_file(file("drawn/sheet.png")));
  const auto code = [&](const std::vector<std::string>& more) {
    return run_program(*folder_, with(words, more)).code;
  };
  EXPECT_EQ(code({"never", "--images", "0"}), 2);
  EXPECT_EQ(code({"never", "--images", "1000"}), 2);
  EXPECT_EQ(code({"never", "--operator", "ic-gan"}), 2);
  EXPECT_EQ(code({"never", "--truncation", "some"}), 2);
  EXPECT_FALSE(std::filesystem::exists(file("never")));
  EXPECT_EQ(run_program(*folder_, {"manifold", "sample", "manifold"}).code, 2);
}

TEST_F(FittedManifold, IsSeenInTheViewsBeforeTraining) {
  const std::vector<std::string> words{"views", "pictures", "--views", "none"};
  const std::vector<std::string> learned{"--views.learned.from", "manifold",
                                         "--views.learned.operator", "neighbour"};
  ASSERT_EQ(run_program(*folder_, with(words, {"--out", "plain.png"})).code, 0);
  const auto shown = run_program(*folder_, with(with(words, learned), {"--out", "learned.png"}));
  ASSERT_EQ(shown.code, 0) << shown.err;
  EXPECT_NE(read_file(file("plain.png")), read_file(file("learned.png")));
  ASSERT_EQ(
      run_program(*folder_, with(with(words, learned),
                                 {"--views.learned.probability_view1", "0",
                                  "--views.learned.probability_view2", "0", "--out", "never.png"}))
          .code,
      0);
  EXPECT_NE(read_file(file("never.png")), read_file(file("learned.png")));
  const auto audited =
      run_program(*folder_, with({"audit-views", "pictures", "--views", "none"}, learned));
  EXPECT_EQ(audited.code, 2);
  EXPECT_TRUE(contains(audited.err, "views.learned.from")) << audited.err;
}

TEST_F(FittedManifold, MustBeTheSameWhenARunGoesOn) {
  ASSERT_EQ(run_program(*folder_, fit("moving")).code, 0);
  const auto words =
      with(small_run("pictures", "went_on"),
           {"--views.learned.from", "moving", "--views.learned.operator", "neighbour"});
  ASSERT_EQ(run_program(*folder_, words).code, 0);
  EXPECT_EQ(run_program(*folder_, {"resume", "went_on"}).code, 0);
  std::filesystem::remove_all(file("moving"));
  ASSERT_EQ(run_program(*folder_, with(fit("moving"), {"--condition.components", "4"})).code, 0);
  const auto ended = run_program(*folder_, {"resume", "went_on"});
  EXPECT_EQ(ended.code, 3);
  EXPECT_TRUE(contains(ended.err, "fitted anew")) << ended.err;
}

TEST_F(FittedManifold, TakesConditionsFromAnEncoderOfPatches) {
  ASSERT_EQ(run_program(*folder_,
                        {"pretrain", "pictures", "--method", "sparse_manifold", "--encoder.width",
                         "1", "--batch", "8", "--threads", "1", "--out", "patches"})
                .code,
            0);
  EXPECT_EQ(run_program(*folder_, {"export", "patches"}).code, 0);
  const auto ended =
      run_program(*folder_, {"manifold", "fit", "pictures", "--out", "by_patches",
                             "--condition.run", "patches", "--condition.neighbours", "3",
                             "--epochs", "1", "--batch", "16", "--ic_gan.channels", "8",
                             "--ic_gan.discriminator_channels", "8", "--threads", "1"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_FALSE(contains(ended.err, "other images")) << ended.err;
  const auto fewer = run_program(
      *folder_, {"manifold", "fit", "pictures", "--out", "of_fewer", "--condition.run", "patches",
                 "--condition.neighbours", "3", "--generator", "none", "--data.limit", "30"});
  EXPECT_EQ(fewer.code, 0) << fewer.err;
  EXPECT_TRUE(contains(fewer.err, "other images")) << fewer.err;
}

TEST_F(FittedManifold, DamagedIsNamed) {
  std::filesystem::create_directories(file("broken"));
  std::ofstream(file("broken/neighbourhoods.safetensors")) << "nothing";
  const auto ended = run_program(
      *folder_, with(small_run("pictures", "of_damaged"), {"--views.learned.from", "broken"}));
  EXPECT_EQ(ended.code, 3);
  EXPECT_TRUE(contains(ended.err, "neighbourhoods.safetensors")) << ended.err;
}

TEST_F(FittedManifold, TellsWrongSettingsBeforeAnythingIsDone) {
  const auto code = [&](const std::vector<std::string>& more) {
    return run_program(*folder_, with(small_run("pictures", "never"), more)).code;
  };
  EXPECT_EQ(code({"--views.learned.operator", "ic-gan"}), 2);
  EXPECT_EQ(code({"--views.learned.mode", "cached"}), 2);
  EXPECT_EQ(code({"--views.learned.probability_view1", "1.5"}), 2);
  EXPECT_EQ(code({"--views", "learned", "--manifold.condition.spaces", "pca"}), 2);
  EXPECT_FALSE(std::filesystem::exists(file("never")));
  EXPECT_EQ(run_program(*folder_, {"manifold", "fit", "pictures"}).code, 2);
  EXPECT_EQ(run_program(*folder_, {"manifold", "fit", "pictures", "--out", "never"}).code, 2);
  EXPECT_EQ(run_program(*folder_, {"manifold", "mend"}).code, 2);
  EXPECT_EQ(run_program(*folder_, with(fit("never"), {"--condition.neighbours", "80"})).code, 2);
  EXPECT_EQ(run_program(*folder_, with(fit("never"), {"--size", "18"})).code, 2);
  EXPECT_EQ(run_program(*folder_, with(fit("never"), {"--data.limit", "12"})).code, 2);
  // What only the second stage cannot do is told before the first.
  EXPECT_EQ(code({"--views", "learned", "--views.size", "18"}), 2);
  EXPECT_FALSE(std::filesystem::exists(file("never")));
}

TEST_F(FittedManifold, AllStagesAreOneCommandThatDoesNothingTwice) {
  const auto words =
      with(small_run("pictures", "all"),
           {"--views", "learned", "--manifold.condition.neighbours", "3", "--manifold.train.epochs",
            "1", "--manifold.train.batch_size", "16", "--manifold.ic_gan.channels", "8",
            "--manifold.ic_gan.discriminator_channels", "8", "--views.learned.mode", "online"});
  const auto first = run_program(*folder_, words);
  ASSERT_EQ(first.code, 0) << first.err;
  for (const char* stage : {"base", "manifold", "learned"}) {
    EXPECT_TRUE(contains(read_text_file(file("all") / stage / "run.json"), "finished")) << stage;
  }
  const auto manifold = nlohmann::json::parse(read_text_file(file("all/manifold/manifold.json")));
  EXPECT_TRUE(contains(manifold["condition"], "encoder "));
  const auto written = std::filesystem::last_write_time(file("all/learned/encoder.safetensors"));
  const auto again = run_program(*folder_, words);
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_TRUE(contains(again.err, "finished already"));
  EXPECT_EQ(std::filesystem::last_write_time(file("all/learned/encoder.safetensors")), written);
  const auto other = run_program(*folder_, with(words, {"--epochs", "3"}));
  EXPECT_EQ(other.code, 2);
  EXPECT_TRUE(contains(other.err, "train.epochs")) << other.err;
  const auto compared =
      run_program(*folder_, {"evaluate", "all/learned", "--on", "knn", "--beside", "all/base"});
  EXPECT_EQ(compared.code, 0) << compared.err;
  EXPECT_TRUE(contains(compared.out, "beside: all/base")) << compared.out;
}

}  // namespace
}  // namespace viewfold
