// Tests of the verb fuse by the program itself: the features of several runs side by side.
#include <cstring>

#include "app/program.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace viewfold {
namespace {

using testing::contains;
using testing::run_program;
using testing::write_pictures;

// Three small runs for all cases: two of one size of images, which normalise differently, and one
// of another.
class Fuse : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TestFolder("fuse");
    write_pictures(folder_->path() / "pictures", 32);
    train("first", {"--seed", "1"});
    train("second", {"--seed", "2", "--encoder", "resnet10", "--data.limit", "20"});
    train("larger", {"--seed", "1", "--views.size", "24"});
  }
  static void TearDownTestSuite() { delete folder_; }

  static void train(const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> words{"pretrain", "pictures", "--encoder.width", "4", "--batch", "16",
                                   "--epochs", "1",        "--train.threads", "1", "--out",   name};
    words.insert(words.end(), more.begin(), more.end());
    const auto trained = run_program(*folder_, words);
    ASSERT_EQ(trained.code, 0) << trained.err;
  }

  // The rows of a NumPy file of float32.
  static std::vector<std::vector<float>> features_of(const std::string& run) {
    const auto embedded =
        run_program(*folder_, {"embed", run, "pictures", "--out", run + ".npy", "--threads", "1"});
    EXPECT_EQ(embedded.code, 0) << embedded.err;
    const auto bytes = read_file(folder_->path() / (run + ".npy"));
    const auto text = std::string(reinterpret_cast<const char*>(bytes.data()), 128);
    const auto shape = text.find("'shape': (") + 10;
    const auto rows = std::stoul(text.substr(shape));
    const auto columns = std::stoul(text.substr(text.find(", ", shape) + 2));
    std::vector<std::vector<float>> features(rows, std::vector<float>(columns));
    const auto* data = bytes.data() + bytes.size() - rows * columns * sizeof(float);
    for (auto& row : features) {
      std::memcpy(row.data(), data, columns * sizeof(float));
      data += columns * sizeof(float);
    }
    return features;
  }

  static TestFolder* folder_;
};

TestFolder* Fuse::folder_ = nullptr;

TEST_F(Fuse, GivesTheFeaturesOfBothSideBySide) {
  const auto fused =
      run_program(*folder_, {"fuse", "first", "second", "--out", "both", "--overwrite"});
  ASSERT_EQ(fused.code, 0) << fused.err;
  EXPECT_TRUE(contains(fused.out, "64 features: 32 of first, 32 of second")) << fused.out;
  const auto first = features_of("first");
  const auto second = features_of("second");
  const auto both = features_of("both");
  ASSERT_EQ(both.size(), first.size());
  for (std::size_t i = 0; i < both.size(); ++i) {
    ASSERT_EQ(both[i].size(), first[i].size() + second[i].size());
    for (std::size_t j = 0; j < both[i].size(); ++j) {
      const bool is_first = j < first[i].size();
      const float expected = is_first ? first[i][j] : second[i][j - first[i].size()];
      ASSERT_NEAR(both[i][j], expected, 1e-4 * (1.0 + std::abs(expected))) << i << ", " << j;
    }
  }
  const auto card = [](const std::string& run) {
    return nlohmann::json::parse(read_text_file(folder_->path() / run / "card.json"));
  };
  EXPECT_NE(card("first")["input"]["mean"], card("second")["input"]["mean"]);  // worth testing
}

TEST_F(Fuse, IsARunForTheVerbsThatMeasureAndHandOver) {
  ASSERT_EQ(run_program(*folder_, {"fuse", "first", "second", "--out", "run", "--overwrite"}).code,
            0);
  const auto measured =
      run_program(*folder_, {"evaluate", "run", "--on", "knn", "--data", "pictures"});
  EXPECT_EQ(measured.code, 0) << measured.err;
  EXPECT_TRUE(contains(measured.out, "untrained encoder")) << measured.out;
  const auto audited = run_program(*folder_, {"audit", "run", "--data", "pictures", "--on",
                                              "alignment,spectrum", "--minutes", "1"});
  EXPECT_EQ(audited.code, 0) << audited.err;
  const auto exported = run_program(*folder_, {"export", "run"});
  EXPECT_EQ(exported.code, 0) << exported.err;
  EXPECT_TRUE(std::filesystem::exists(folder_->path() / "run/export/encoder.pt"));
  const auto nothing = run_program(*folder_, {"evaluate", "run"});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_TRUE(contains(nothing.err, "--data")) << nothing.err;
}

TEST_F(Fuse, SaysWhatItCannotFuse) {
  const auto alone = run_program(*folder_, {"fuse", "first", "--out", "none"});
  EXPECT_EQ(alone.code, 2);
  EXPECT_TRUE(contains(alone.err, "two runs or more")) << alone.err;
  const auto sizes = run_program(*folder_, {"fuse", "first", "larger", "--out", "none"});
  EXPECT_EQ(sizes.code, 2);
  EXPECT_TRUE(contains(sizes.err, "16 x 16") && contains(sizes.err, "24 x 24")) << sizes.err;
  ASSERT_EQ(run_program(*folder_, {"fuse", "first", "first", "--out", "twice", "--overwrite"}).code,
            0);
  const auto again = run_program(*folder_, {"fuse", "first", "twice", "--out", "none"});
  EXPECT_EQ(again.code, 2);
  EXPECT_TRUE(contains(again.err, "is fused itself")) << again.err;
  const auto nowhere = run_program(*folder_, {"fuse", "first", "second"});
  EXPECT_EQ(nowhere.code, 2);
  EXPECT_TRUE(contains(nowhere.err, "--out")) << nowhere.err;
  const auto there = run_program(*folder_, {"fuse", "first", "second", "--out", "first"});
  EXPECT_EQ(there.code, 2) << there.err;
  EXPECT_EQ(run_program(*folder_, {"fuse", "first", "absent", "--out", "none"}).code, 3);
  EXPECT_FALSE(std::filesystem::exists(folder_->path() / "none"));
}

}  // namespace
}  // namespace viewfold
