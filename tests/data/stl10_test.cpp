// Tests of STL-10's binary version.
#include <filesystem>

#include "data/sample_sets.hpp"

namespace viewfold {
namespace {

using testing::open_at;
using testing::open_error;
using testing::TemporaryFolder;

std::vector<Image> pictures() {
  return {testing::noise(96, 96, 3, PixelType::kUint8, 1),
          testing::noise(96, 96, 3, PixelType::kUint8, 2)};
}

TEST(Stl10, ReadsColumnsIntoRowsInAllThreeSplits) {
  const TemporaryFolder folder;
  testing::write_stl10(folder.path(), pictures());
  EXPECT_EQ(dataset_splits(folder.path()),
            (std::vector<std::string>{"train", "test", "unlabeled"}));
  for (const std::string split : {"train", "test", "unlabeled"}) {
    const auto dataset = open_at("stl10:" + folder.path().string(), split);
    ASSERT_EQ(dataset->size(), 2U);
    EXPECT_EQ(dataset->image(0), pictures()[0]);
    EXPECT_EQ(dataset->image(1), pictures()[1]);
    const bool labelled = split != "unlabeled";
    EXPECT_EQ(testing::labels_of(*dataset),
              labelled ? (std::vector<int>{0, 9}) : (std::vector<int>{-1, -1}));
    EXPECT_EQ(dataset->class_names().size(), labelled ? 10U : 0U);
  }
}

TEST(Stl10, RefusesLabelsThatDoNotFitTheImages) {
  const TemporaryFolder folder;
  testing::write_stl10(folder.path(), pictures());
  testing::write_text(folder / "train_y.bin", "\x01");
  EXPECT_NE(open_error(folder.path()).find("train_y.bin: holds 1 labels for 2 images"),
            std::string::npos);
  testing::write_text(folder / "train_y.bin", "\x01\x0B");
  EXPECT_NE(open_error(folder.path()).find("train_y.bin#1: label 11"), std::string::npos);
  testing::write_text(folder / "train_y.bin", std::string("\0\x01", 2));
  EXPECT_NE(open_error(folder.path()).find("train_y.bin#0: label 0"), std::string::npos);
  std::filesystem::remove(folder / "train_y.bin");
  EXPECT_NE(open_error(folder.path()).find("train_y.bin"), std::string::npos);
}

TEST(Stl10, SaysWhichFilesItNeeds) {
  const TemporaryFolder folder;
  EXPECT_NE(open_error("stl10:" + folder.path().string()).find("unlabeled_X.bin"),
            std::string::npos);
}

}  // namespace
}  // namespace viewfold
