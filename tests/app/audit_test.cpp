// Tests of the verb audit by the program itself.
#include "app/program.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace viewfold {
namespace {

using testing::contains;
using testing::run_program;
using testing::write_pictures;

// One small run for all cases.
class Audit : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TestFolder("audit");
    write_pictures(folder_->path() / "pictures", 96);
    const auto trained =
        run_program(*folder_, {"pretrain", "pictures", "--encoder.width", "4", "--batch", "32",
                               "--epochs", "1", "--train.threads", "1", "--out", "run"});
    ASSERT_EQ(trained.code, 0) << trained.err;
  }
  static void TearDownTestSuite() { delete folder_; }

  static nlohmann::json result(const std::string& name) {
    return nlohmann::json::parse(
        read_text_file(folder_->path() / "run" / "eval" / (name + ".json")));
  }

  static TestFolder* folder_;
};

TestFolder* Audit::folder_ = nullptr;

TEST_F(Audit, FillsEveryPartAndKeepsWhatIsDone) {
  const auto audited = run_program(*folder_, {"audit", "run", "--minutes", "1", "--threads", "1"});
  ASSERT_EQ(audited.code, 0) << audited.err;
  for (const std::string name : {"knn", "linear", "robustness", "invariance", "alignment", "sets",
                                 "duplicates", "adversarial", "fine_tuning"}) {
    EXPECT_FALSE(result(name)["numbers"].empty()) << name;
    EXPECT_TRUE(contains(result(name)["dataset"].get<std::string>(), "pictures")) << name;
  }
  EXPECT_EQ(result("solids")["dataset"], "solids");
  EXPECT_TRUE(result("solids")["numbers"].contains("invariance_pose"));
  EXPECT_EQ(result("map")["points"].size(), 38U);  // a fifth of the pictures
  EXPECT_TRUE(std::filesystem::exists(folder_->path() / "run" / "figures" / "map.jpg"));
  const auto robustness = result("robustness");
  EXPECT_EQ(robustness["accuracy_by_severity"].size(), 19U);
  EXPECT_EQ(robustness["accuracy_by_severity"]["fog"].size(), 5U);
  EXPECT_TRUE(contains(audited.out, "Robustness, clean accuracy")) << audited.out;
  const auto before = read_text_file(folder_->path() / "run" / "eval" / "robustness.json");
  const auto again = run_program(
      *folder_, {"audit", "run", "--minutes", "1", "--threads", "1", "--on", "robustness,knn"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_TRUE(contains(again.err, "robustness: kept")) << again.err;
  EXPECT_TRUE(contains(again.err, "knn: kept")) << again.err;
  EXPECT_EQ(read_text_file(folder_->path() / "run" / "eval" / "robustness.json"), before);
  // What is no result is measured again.
  write_file_atomically(folder_->path() / "run" / "eval" / "knn.json",
                        std::string(R"({"counts": {}, "dataset": 5})"));
  const auto mended =
      run_program(*folder_, {"audit", "run", "--minutes", "1", "--threads", "1", "--on", "knn"});
  EXPECT_EQ(mended.code, 0) << mended.err;
  EXPECT_TRUE(result("knn")["numbers"].contains("accuracy"));
  const auto page = read_text_file(folder_->path() / "run" / "report.html");
  EXPECT_TRUE(contains(page, "images are told apart in"));
}

TEST_F(Audit, OfImagesWithoutLabelsMeasuresWhatNeedsNone) {
  const auto plain = folder_->path() / "plain";
  std::filesystem::create_directories(plain);
  for (const std::string name : {"spots", "stripes"}) {
    for (const auto& file :
         std::filesystem::directory_iterator(folder_->path() / "pictures" / name)) {
      std::filesystem::copy_file(file.path(), plain / (name + file.path().filename().string()));
    }
  }
  const auto audited = run_program(
      *folder_, {"audit", "run", "--data", "plain", "--minutes", "1", "--threads", "1"});
  ASSERT_EQ(audited.code, 0) << audited.err;
  for (const std::string name : {"spectrum", "invariance", "alignment", "map", "duplicates"}) {
    EXPECT_TRUE(contains(result(name)["dataset"].get<std::string>(), "plain")) << name;
  }
  EXPECT_EQ(result("map")["points"].size(), 38U);
  EXPECT_EQ(result("map")["points"][0]["label"], -1);
  EXPECT_TRUE(contains(audited.err, "knn is left out")) << audited.err;
  EXPECT_TRUE(contains(audited.err, "sets is left out")) << audited.err;
  EXPECT_FALSE(result("spectrum")["numbers"].contains("accuracy"));
  const auto evaluated = run_program(
      *folder_, {"evaluate", "run", "--data", "plain", "--on", "spectrum", "--threads", "1"});
  EXPECT_EQ(evaluated.code, 0) << evaluated.err;
  const auto refused = run_program(*folder_, {"evaluate", "run", "--data", "plain"});
  EXPECT_EQ(refused.code, 3);
  EXPECT_TRUE(contains(refused.err, "has no labels")) << refused.err;
}

TEST_F(Audit, SaysWhatItDoesNotKnow) {
  const auto part = run_program(*folder_, {"audit", "run", "--on", "robustnes"});
  EXPECT_EQ(part.code, 2);
  EXPECT_TRUE(contains(part.err, "did you mean robustness")) << part.err;
  const auto run = run_program(*folder_, {"audit", "pictures"});
  EXPECT_EQ(run.code, 3);
  const auto minutes = run_program(*folder_, {"audit", "run", "--minutes", "0"});
  EXPECT_EQ(minutes.code, 2);
}

}  // namespace
}  // namespace viewfold
