// Tests of how a path or a name finds its format.
#include <algorithm>
#include <set>

#include "data/sample_sets.hpp"

namespace viewfold {
namespace {

using testing::open_error;
using testing::TemporaryFolder;

TEST(Dataset, TableNamesEveryFormatOnce) {
  std::set<std::string_view> names;
  for (const DatasetEntry& entry : dataset_table()) {
    EXPECT_FALSE(entry.summary.empty());
    names.insert(entry.name);
  }
  EXPECT_EQ(names, (std::set<std::string_view>{"cifar10", "cifar100", "idx", "image_folder", "list",
                                               "solids", "stl10", "tar"}));
  EXPECT_EQ(dataset_table().size(), names.size());
}

TEST(Dataset, NamesTheNearestNameAndAllForms) {
  const std::string message = open_error("fashon-mnist");
  EXPECT_NE(message.find("did you mean \"fashion-mnist\"?"), std::string::npos) << message;
  EXPECT_NE(message.find("cifar10:DIR"), std::string::npos) << message;
  EXPECT_NE(open_error("cifar:/a/b").find("did you mean \"cifar10:/a/b\"?"), std::string::npos);
  EXPECT_NE(open_error("stl-10:/a").find("did you mean \"stl10:/a\"?"), std::string::npos);
  EXPECT_EQ(open_error("/no/such/place").find("did you mean"), std::string::npos);
}

TEST(Dataset, SaysWhatIsThereWhenNothingRecognisesIt) {
  const TemporaryFolder folder;
  testing::write_text(folder / "movie.mp4", "12345");
  const std::string message = open_error(folder / "movie.mp4");
  EXPECT_NE(message.find("movie.mp4\": is a file of 5 bytes in no known format"), std::string::npos)
      << message;
  EXPECT_NE(open_error("").find("is empty"), std::string::npos);
  EXPECT_NE(open_error("/dev/null").find("is not a regular file"), std::string::npos);
  EXPECT_THROW((void)dataset_splits("/no/such/place"), DataError);
}

TEST(Dataset, RefusesIndicesOutOfRange) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "images/a.png", encode_png(testing::sample(1)));
  testing::write_bytes(folder / "images.tar",
                       testing::make_tar({{"a.png", encode_png(testing::sample(1))}}));
  testing::write_cifar10(folder / "cifar");
  for (const char* const name : {"images", "images.tar", "cifar"}) {
    const auto dataset = testing::open_at(folder / name);
    EXPECT_THROW((void)dataset->image(dataset->size()), ContractViolation);
    EXPECT_THROW((void)dataset->name(dataset->size()), ContractViolation);
    EXPECT_THROW((void)dataset->label(dataset->size()), ContractViolation);
  }
}

TEST(AbsoluteSpec, MakesPathsAbsoluteAndLeavesNamesAlone) {
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(absolute_spec("pictures"), here + "/pictures");
  EXPECT_EQ(absolute_spec("./a/../pictures/"), here + "/pictures/");
  EXPECT_EQ(absolute_spec("/data/pictures"), "/data/pictures");
  EXPECT_EQ(absolute_spec("shards:1"), here + "/shards:1");
  EXPECT_EQ(absolute_spec("fashion-mnist"), "fashion-mnist");
  EXPECT_EQ(absolute_spec("fashion-mnist:sets"), "fashion-mnist:" + here + "/sets");
  EXPECT_EQ(absolute_spec("cifar10:/data/c"), "cifar10:/data/c");
  EXPECT_EQ(absolute_spec("cifar10:"), "cifar10:");
  EXPECT_EQ(absolute_spec("solids:64"), "solids:64");
  EXPECT_EQ(absolute_spec("./solids"), here + "/solids");
  EXPECT_EQ(absolute_spec(""), "");
}

}  // namespace
}  // namespace viewfold
