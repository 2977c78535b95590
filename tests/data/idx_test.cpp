// Tests of the MNIST family.
#include <filesystem>

#include "data/sample_sets.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::ByteVector;
using testing::open_at;
using testing::open_error;
using testing::TemporaryFolder;
using Names = std::vector<std::string>;

std::vector<Image> digits() {
  return {testing::noise(28, 28, 1, PixelType::kUint8, 1),
          testing::noise(28, 28, 1, PixelType::kUint8, 2)};
}

TEST(Idx, ReadsPackedAndPlainFilesPixelByPixel) {
  for (const bool packed : {false, true}) {
    const TemporaryFolder folder;
    testing::write_mnist(folder.path(), digits(), packed);
    EXPECT_EQ(dataset_splits(folder.path()), (Names{"train", "test"}));
    const auto dataset = open_at(folder.path(), "test");
    ASSERT_EQ(dataset->size(), 2U);
    EXPECT_EQ(dataset->image(0), digits()[0]);
    EXPECT_EQ(dataset->image(1), digits()[1]);
    EXPECT_EQ(testing::labels_of(*dataset), (std::vector<int>{9, 8}));
    EXPECT_EQ(dataset->class_names().size(), 10U);
    EXPECT_EQ(dataset->class_names()[9], "9");
    EXPECT_EQ(testing::names_below(*dataset, folder.path())[1],
              packed ? "t10k-images-idx3-ubyte.gz#1" : "t10k-images-idx3-ubyte#1");
  }
}

TEST(Idx, IsFoundByNameAndKnowsTheClothesOfFashionMnist) {
  const TemporaryFolder folder;
  testing::write_mnist(folder.path(), digits(), true);
  EXPECT_EQ(open_at("mnist:" + folder.path().string())->class_names()[1], "1");
  EXPECT_EQ(open_at("fashion-mnist:" + folder.path().string())->class_names()[9], "Ankle boot");
}

TEST(Idx, HasAsManyClassesAsTheLargestLabelAsks) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "train-images.idx3-ubyte", testing::idx_images(digits()));
  testing::write_bytes(folder / "train-labels.idx1-ubyte", testing::idx_labels({26, 1}));
  EXPECT_EQ(open_at(folder.path())->class_names().size(), 27U);
  EXPECT_NE(open_error("fashion-mnist:" + folder.path().string()).find("label 26"),
            std::string::npos);
}

TEST(Idx, RefusesFilesThatAreNotAsLongAsTheyPromise) {
  for (const bool packed : {false, true}) {
    for (const int change : {-100, -1, 1, 100}) {
      const TemporaryFolder folder;
      testing::write_mnist(folder.path(), digits(), packed);
      const std::string file = packed ? "train-images-idx3-ubyte.gz" : "train-images-idx3-ubyte";
      ByteVector bytes = testing::idx_images(digits());
      bytes.resize(static_cast<std::size_t>(static_cast<int>(bytes.size()) + change));
      testing::write_bytes(folder / file, packed ? testing::gzip(bytes) : bytes);
      EXPECT_TRUE(open_error(folder.path()).starts_with((folder / file).string()))
          << change << " " << open_error(folder.path());
    }
  }
}

TEST(Idx, RefusesAGzipBombAfterWhatItsHeaderPromises) {
  const TemporaryFolder folder;
  testing::write_mnist(folder.path(), digits(), true);
  ByteVector bytes = testing::idx_images(digits());
  bytes.resize(50'000'000);
  testing::write_bytes(folder / "train-images-idx3-ubyte.gz", testing::gzip(bytes));
  EXPECT_NE(open_error(folder.path()).find("holds more than the 1584 bytes"), std::string::npos);
}

TEST(Idx, RefusesHeadersThatClaimMoreThanMemoryHolds) {
  const TemporaryFolder folder;
  testing::write_mnist(folder.path(), digits(), true);
  const ByteVector lie = testing::big_endian({0x0803, 0xFFFFFFFF, 10000, 10000});
  testing::write_bytes(folder / "train-images-idx3-ubyte.gz", testing::gzip(lie));
  EXPECT_NE(open_error(folder.path()).find("gunzip"), std::string::npos);
  const ByteVector huge = testing::big_endian({0x0803, 1, 0xFFFFFFFF, 0xFFFFFFFF});
  testing::write_bytes(folder / "train-images-idx3-ubyte.gz", testing::gzip(huge));
  EXPECT_NE(open_error(folder.path()).find("claims 1 images of 4294967295"), std::string::npos);
  // Promises 2 GB and ends at once: must fail without having taken them.
  const ByteVector large = testing::big_endian({0x0803, 2'000, 1000, 1000});
  testing::write_bytes(folder / "train-images-idx3-ubyte.gz", testing::gzip(large));
  EXPECT_NE(open_error(folder.path()).find("unpacks to 16 bytes"), std::string::npos);
}

TEST(Idx, RefusesOtherMagicNumbersAndUnequalCounts) {
  const TemporaryFolder folder;
  testing::write_mnist(folder.path(), digits(), false);
  testing::write_bytes(folder / "train-labels-idx1-ubyte", testing::idx_labels({1, 2, 3}));
  EXPECT_NE(open_error(folder.path()).find("holds 3 labels for 2 images"), std::string::npos);
  testing::write_bytes(folder / "train-labels-idx1-ubyte", testing::idx_images(digits()));
  EXPECT_NE(open_error(folder.path()).find("begins with 0x00000803"), std::string::npos);
  fs::remove(folder / "train-labels-idx1-ubyte");
  EXPECT_NE(open_error(folder.path()).find("train-labels-idx1-ubyte"), std::string::npos);
}

TEST(Idx, SaysWhichFilesItNeeds) {
  const TemporaryFolder folder;
  const std::string message = open_error("mnist:" + folder.path().string());
  EXPECT_NE(message.find("train-images-idx3-ubyte"), std::string::npos) << message;
  EXPECT_NE(message.find(folder.path().string()), std::string::npos) << message;
}

TEST(Idx, ReadsFashionMnistOfThePackageOrNamesThePackage) {
  if (!fs::exists("/usr/share/datasets/fashion-mnist")) {
    EXPECT_NE(open_error("fashion-mnist").find("dataset-fashion-mnist"), std::string::npos);
    GTEST_SKIP() << "the package dataset-fashion-mnist is not installed";
  }
  const auto train = open_at("fashion-mnist");
  const auto test = open_at("fashion-mnist", "test");
  EXPECT_EQ(train->size(), 60000U);
  EXPECT_EQ(test->size(), 10000U);
  EXPECT_EQ(train->class_names()[0], "T-shirt/top");
  EXPECT_EQ(train->label(0), 9);  // the first image is an ankle boot
  EXPECT_EQ(test->image(9999).height(), 28);
}

}  // namespace
}  // namespace viewfold
