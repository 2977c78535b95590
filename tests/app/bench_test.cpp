// The verb that times parts of the program: its JSON, its table, its refusals. Never how fast they
// are.
#include "viewfold/app/bench.hpp"

#include "app/program.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/augment/augmentation.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::contains;
using testing::run_program;
using testing::with;
using testing::write_pictures;

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> objects;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = text.find('\n', begin);
    objects.push_back(nlohmann::json::parse(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return objects;
}

// Six pictures of 16 x 16, made once for all tests.
class BenchViews : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TestFolder>("bench_views");
    write_pictures(folder_->path() / "pictures", 3);
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static testing::Ended bench(const std::vector<std::string>& more) {
    return run_program(
        *folder_,
        with({"bench", "views", "pictures", "--rounds", "3", "--milliseconds", "2"}, more));
  }

  static std::unique_ptr<TestFolder> folder_;
};
std::unique_ptr<TestFolder> BenchViews::folder_;

TEST(Median, IsTheMiddleOneOrTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(median({5.0}), 5.0);
  EXPECT_EQ(median({9.0, 1.0, 4.0}), 4.0);
  EXPECT_EQ(median({8.0, 1.0, 4.0, 2.0}), 3.0);
  EXPECT_THROW((void)median({}), ContractViolation);
}

TEST(Bench, AloneListsWhatCanBeMeasured) {
  const TestFolder folder("bench_list");
  const auto ended = run_program(folder, {"bench"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(ended.out.starts_with("views ")) << ended.out;
  EXPECT_TRUE(contains(ended.out, "\ntrain ")) << ended.out;
}

TEST(Bench, WhatCannotBeMeasuredIsRefused) {
  const TestFolder folder("bench_refused");
  const auto ended = run_program(folder, {"bench", "veiws", "pictures"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_TRUE(contains(ended.err, "did you mean views?")) << ended.err;
}

TEST_F(BenchViews, ARecipeGivesOneJsonObjectWithAllThatDescribesIt) {
  const auto ended =
      bench({"--recipe", "simclr", "--size", "12", "--threads", "2", "--decode", "on", "--json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const auto lines = json_lines(ended.out);
  ASSERT_EQ(lines.size(), 1U) << ended.out;
  const auto& json = lines.front();
  EXPECT_GT(json.at("views_per_second").get<double>(), 0.0);
  EXPECT_EQ(json.at("views_per_second"), median(json.at("rates").get<std::vector<double>>()));
  EXPECT_EQ(json.at("rates").size(), 3U);
  EXPECT_EQ(json.at("rounds"), 3);
  EXPECT_EQ(json.at("recipe"), "simclr");
  EXPECT_FALSE(json.contains("op"));
  EXPECT_EQ(json.at("size"), 12);
  EXPECT_EQ(json.at("threads"), 2);
  EXPECT_EQ(json.at("decode"), "on");
  EXPECT_EQ(json.at("images"), 6);
  EXPECT_EQ(json.at("source_height"), 16);
  EXPECT_EQ(json.at("source_width"), 16);
  EXPECT_EQ(json.at("views_per_sample"), 2);
  EXPECT_FALSE(json.at("instruction_set").get<std::string>().empty());
  EXPECT_FALSE(contains(json.at("instruction_set").get<std::string>(), "Unknown"));
}

TEST_F(BenchViews, EveryOperationRuns) {
  std::string names;
  for (const auto& entry : augmentation_table()) {
    names += fmt::format("{}{}", names.empty() ? "" : ",", entry.name);
  }
  const auto ended = bench({"--op", names, "--size", "16", "--json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(json_lines(ended.out).size(), augmentation_table().size());
}

TEST_F(BenchViews, AllViewsOfAMultiCropRecipeCount) {
  const auto ended = bench({"--recipe", "swav", "--size", "16", "--json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(json_lines(ended.out).front().at("views_per_sample"), 8);
}

TEST_F(BenchViews, OperationsOtherThanCropsWorkOnPicturesOfTheSizeOfAView) {
  const auto ended = bench({"--op", "random_resized_crop,grayscale", "--size", "8", "--json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const auto lines = json_lines(ended.out);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].at("op"), "random_resized_crop");
  EXPECT_EQ(lines[0].at("source_height"), 16);
  EXPECT_EQ(lines[1].at("op"), "grayscale");
  EXPECT_EQ(lines[1].at("source_height"), 8);
  EXPECT_EQ(lines[1].at("views_per_sample"), 1);
}

TEST_F(BenchViews, SettingsOfOperationsAreTakenAndTold) {
  const auto ended = bench({"--op", "color_jitter", "--views.color_jitter.hue", "0", "--json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(json_lines(ended.out).front().at("settings").at("views.color_jitter.hue"), "0");
}

TEST_F(BenchViews, WithoutJsonItIsATable) {
  const auto ended = bench({"--recipe", "none", "--images", "2"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.out, "2 images, 3 bands, views of 16 x 16")) << ended.out;
  EXPECT_TRUE(contains(ended.out, "views/s")) << ended.out;
}

TEST_F(BenchViews, WrongSettingsAreRefusedWithAReason) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"--recipe", "simclear"}, "simclr"},
      {{"--op", "gaussian_blurr"}, "gaussian_blur"},
      {{"--size", "2"}, "--size"},
      {{"--decode", "maybe"}, "on | off"},
      {{"--sise", "32"}, "size"},
      {{"--recipe", "byol", "--op", "grayscale"}, "one of them"},
      {{"--op", "grayscale", "--decode", "on"}, "--decode"},
      {{"--op", "grayscale", "--views.grayscale.strength", "1"}, "views.grayscale"}};
  for (const auto& [words, part] : cases) {
    const auto ended = bench(words);
    EXPECT_EQ(ended.code, 2) << part;
    EXPECT_TRUE(contains(ended.err, part)) << ended.err;
    EXPECT_TRUE(ended.out.empty()) << ended.out;
  }
}

TEST_F(BenchViews, PicturesThatAreMissingOrDamagedAreNamed) {
  EXPECT_EQ(run_program(*folder_, {"bench", "views"}).code, 2);
  const auto missing = run_program(*folder_, {"bench", "views", "nowhere"});
  EXPECT_EQ(missing.code, 3);
  EXPECT_TRUE(contains(missing.err, "nowhere")) << missing.err;
  write_pictures(folder_->path() / "damaged", 1);
  write_file_atomically(folder_->path() / "damaged/spots/bad.png",
                        std::string_view("\x89PNG gone"));
  const auto damaged = run_program(*folder_, {"bench", "views", "damaged"});
  EXPECT_EQ(damaged.code, 3);
  EXPECT_TRUE(contains(damaged.err, "bad.png")) << damaged.err;
}

// Sixteen pictures, and one measurement of them that all tests look at.
class BenchTrain : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TestFolder>("bench_train");
    write_pictures(folder_->path() / "pictures", 8);
    ended_ = bench({"--rounds", "3", "--milliseconds", "1", "--json"});
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static testing::Ended bench(const std::vector<std::string>& more) {
    return run_program(*folder_, with({"bench", "train", "pictures", "--batch", "4",
                                       "--encoder.width", "4", "--threads", "1"},
                                      more));
  }

  static std::unique_ptr<TestFolder> folder_;
  static testing::Ended ended_;
};
std::unique_ptr<TestFolder> BenchTrain::folder_;
testing::Ended BenchTrain::ended_;

TEST_F(BenchTrain, GivesOneJsonObjectWithAllThatDescribesIt) {
  ASSERT_EQ(ended_.code, 0) << ended_.err;
  const auto lines = json_lines(ended_.out);
  ASSERT_EQ(lines.size(), 1U) << ended_.out;
  const auto& json = lines.front();
  EXPECT_EQ(json.at("views_per_second"), median(json.at("rates").get<std::vector<double>>()));
  EXPECT_EQ(json.at("rates").size(), 3U);
  EXPECT_GE(json.at("steps"), 3);
  EXPECT_EQ(json.at("method"), "simclr");
  EXPECT_EQ(json.at("encoder"), "resnet18");
  EXPECT_EQ(json.at("width"), 4);
  EXPECT_EQ(json.at("size"), 16);
  EXPECT_EQ(json.at("batch"), 4);
  EXPECT_EQ(json.at("threads"), 1);
  EXPECT_EQ(json.at("images_in"), "memory");
  EXPECT_GT(json.at("peak_rss_mb"), 10.0);
  const double wait = json.at("data_wait");
  EXPECT_TRUE(wait >= 0.0 && wait <= 1.0) << wait;
}

TEST_F(BenchTrain, TheShareOfTheCeilingFollowsFromTheOtherNumbers) {
  ASSERT_EQ(ended_.code, 0) << ended_.err;
  const auto json = json_lines(ended_.out).front();
  const auto& ceiling = json.at("ceiling");
  const double used = ceiling.at(json.at("precision") == "bf16" ? "bf16_gflops" : "fp32_gflops");
  EXPECT_DOUBLE_EQ(json.at("share_of_ceiling"), json.at("views_per_second").get<double>() *
                                                    json.at("gflop_per_view").get<double>() / used);
}

// ResNet-18 of width 4 on 16 x 16, in multiply-adds: the stem; then for each stage two blocks of
// two 3x3 convolutions and, from the second on, a 1x1 shortcut. Maps are halved from stage to
// stage while widths double, so that a full 3x3 convolution costs the same in all.
TEST_F(BenchTrain, CountsTheArithmeticOfTheNetwork) {
  ASSERT_EQ(ended_.code, 0) << ended_.err;
  const double stem = 16 * 16 * 4 * (9 * 3);
  const double full = 16 * 16 * 4 * (9 * 4);
  const double first_half = full / 2;  // of a later stage: half as many input channels
  const double shortcut = full / 18;
  const double body = 4 * full + 3 * (first_half + 3 * full + shortcut);
  const double head = 32 * 32 + 32 * 128;
  const double loss = 8 * 128;  // a row of similarities with the batch of 2 x 4, for one view
  const double flops = 2 * (2 * stem + 3 * (body + head + loss));
  EXPECT_NEAR(json_lines(ended_.out).front().at("gflop_per_view"), flops / 1e9, 1e-12);
}

TEST_F(BenchTrain, ThePartsOfAStepAreAllOfItsTime) {
  ASSERT_EQ(ended_.code, 0) << ended_.err;
  const auto json = json_lines(ended_.out).front();
  double sum = 0.0;
  for (const auto& [name, share] : json.at("breakdown").items()) {
    EXPECT_GE(share, 0.0) << name;
    sum += share.get<double>();
  }
  EXPECT_NEAR(sum, 1.0, 1e-9);
  for (const auto* part : {"convolution", "batch_norm", "relu_add", "copy", "linear", "update",
                           "loss", "data_wait", "other"}) {
    EXPECT_TRUE(json.at("breakdown").contains(part)) << part;
  }
  EXPECT_GT(json.at("breakdown").at("convolution"), 0.0);
  EXPECT_GT(json.at("breakdown").at("update"), 0.0);
}

TEST_F(BenchTrain, WithoutJsonItIsATableAndTakesTheSettingsOfARun) {
  const auto ended = bench({"--rounds", "1", "--milliseconds", "1", "--method", "moco_v2",
                            "--method.queue_size", "16", "--train.precision", "fp32"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.out, "moco_v2 with resnet18 (width 4)")) << ended.out;
  EXPECT_TRUE(contains(ended.out, "fp32, 1 thread;")) << ended.out;
  EXPECT_TRUE(contains(ended.out, "share of ceiling")) << ended.out;
  EXPECT_TRUE(contains(ended.out, "batch_norm")) << ended.out;
}

TEST_F(BenchTrain, WrongSettingsAreRefusedWithAReason) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"--method", "simclear"}, "simclr"},
      {{"--rounds", "0"}, "rounds"},
      {{"--train.batch_sise", "8"}, "train.batch_size"},
      {{"--batch", "64"}, "do not fill one batch"},
      {{"more"}, "one argument too many"}};
  for (const auto& [words, part] : cases) {
    const auto ended = bench(words);
    EXPECT_EQ(ended.code, 2) << part;
    EXPECT_TRUE(contains(ended.err, part)) << ended.err;
    EXPECT_TRUE(ended.out.empty()) << ended.out;
  }
  EXPECT_EQ(run_program(*folder_, {"bench", "train", "nowhere"}).code, 3);
}

}  // namespace
}  // namespace viewfold
