// Tests of CIFAR-10's binary version.
#include <filesystem>

#include "data/sample_sets.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::open_at;
using testing::open_error;
using testing::TemporaryFolder;
using Names = std::vector<std::string>;

TEST(Cifar10, ReadsAllBatchesPixelByPixel) {
  const TemporaryFolder folder;
  testing::write_cifar10(folder.path());
  const auto train = open_at(folder.path());
  ASSERT_EQ(train->size(), 10U);
  for (std::uint32_t i = 0; i < 10; ++i) {
    EXPECT_EQ(train->image(i), testing::cifar_image(i));
    EXPECT_EQ(train->label(i), i);
  }
  EXPECT_EQ(train->name(3), (folder / "data_batch_2.bin").string() + "#1");
  EXPECT_EQ(train->class_names()[3], "cat");
  const auto test = open_at("cifar10:" + folder.path().string(), "test");
  ASSERT_EQ(test->size(), 2U);
  EXPECT_EQ(test->image(1), testing::cifar_image(11));
}

TEST(Cifar10, TakesClassNamesFromTheirFile) {
  const TemporaryFolder folder;
  testing::write_cifar10(folder / "cifar-10-batches-bin");
  const fs::path names = folder / "cifar-10-batches-bin/batches.meta.txt";
  testing::write_text(names, "a\r\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  EXPECT_EQ(open_at(folder.path())->class_names(),
            (Names{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}));
  testing::write_text(names, "a\nb\n");
  EXPECT_EQ(open_error(folder.path()), names.string() + ": names 2 classes, expected 10");
}

TEST(Cifar10, RefusesPartsOfImagesMissingBatchesAndLabelsOutOfRange) {
  const TemporaryFolder folder;
  testing::write_cifar10(folder.path());
  const fs::path batch = folder / "data_batch_4.bin";
  auto bytes = testing::load_bytes(batch);
  bytes[3073] = std::byte{10};
  testing::write_bytes(batch, bytes);
  EXPECT_EQ(open_error(folder.path()),
            batch.string() + "#1: label 10 is not one of the 10 classes");
  bytes.pop_back();
  testing::write_bytes(batch, bytes);
  EXPECT_TRUE(open_error(folder.path()).starts_with(batch.string()));
  fs::remove(batch);
  EXPECT_TRUE(open_error(folder.path()).starts_with(batch.string()));
}

TEST(Cifar10, AsksForTheBinaryVersion) {
  const TemporaryFolder folder;
  testing::write_text(folder / "data_batch_1", "pickle");
  const std::string message = open_error("cifar10:" + folder.path().string());
  EXPECT_NE(message.find("data_batch_1.bin"), std::string::npos) << message;
  EXPECT_NE(message.find("Python version"), std::string::npos) << message;
  EXPECT_NE(open_error("cifar10").find("cifar10:DIR"), std::string::npos);
}

TEST(Cifar10, HasNoTestSplitWithoutItsFile) {
  const TemporaryFolder folder;
  testing::write_cifar10(folder.path());
  fs::remove(folder / "test_batch.bin");
  EXPECT_NE(open_error(folder.path(), "test").find("has no split \"test\""), std::string::npos);
}

}  // namespace
}  // namespace viewfold
