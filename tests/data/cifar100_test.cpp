// Tests of CIFAR-100's binary version.
#include "data/sample_sets.hpp"
#include <fmt/format.h>

namespace viewfold {
namespace {

using testing::open_at;
using testing::open_error;
using testing::TemporaryFolder;

void write_both(const TemporaryFolder& folder) {
  for (const char* const file : {"train.bin", "test.bin"}) {
    testing::write_bytes(folder / file,
                         testing::cifar_records({testing::cifar_image(1), testing::cifar_image(2)},
                                                {{3, 99}, {4, 0}}));
  }
}

TEST(Cifar100, ReadsFineLabelsAndPixels) {
  const TemporaryFolder folder;
  write_both(folder);
  const auto dataset = open_at("cifar100:" + folder.path().string(), "test");
  ASSERT_EQ(dataset->size(), 2U);
  EXPECT_EQ(testing::labels_of(*dataset), (std::vector<int>{99, 0}));
  EXPECT_EQ(dataset->image(0), testing::cifar_image(1));
  EXPECT_EQ(dataset->image(1), testing::cifar_image(2));
  EXPECT_EQ(dataset->class_names()[99], "99");
}

TEST(Cifar100, IsRecognisedByItsClassNames) {
  const TemporaryFolder folder;
  write_both(folder);
  std::string names;
  for (int i = 0; i < 100; ++i) {
    names += fmt::format("class_{}\n", i);
  }
  testing::write_text(folder / "fine_label_names.txt", names);
  EXPECT_EQ(open_at(folder.path())->class_names()[99], "class_99");
}

TEST(Cifar100, RefusesLabelsOutOfRangeAndPartsOfImages) {
  const TemporaryFolder folder;
  const std::string spec = "cifar100:" + folder.path().string();
  EXPECT_NE(open_error(spec).find("DIR/train.bin"), std::string::npos);
  testing::write_bytes(folder / "train.bin",
                       testing::cifar_records({testing::cifar_image(1)}, {{3, 100}}));
  EXPECT_NE(open_error(spec).find("train.bin#0: label 100"), std::string::npos);
  testing::write_bytes(folder / "train.bin",
                       testing::cifar_records({testing::cifar_image(1)}, {{3}}));
  EXPECT_NE(open_error(spec).find("train.bin: 3073 bytes"), std::string::npos);
}

}  // namespace
}  // namespace viewfold
