// Tests of text files that list images.
#include "data/sample_sets.hpp"

namespace viewfold {
namespace {

using testing::open_at;
using testing::open_error;
using testing::TemporaryFolder;
using Names = std::vector<std::string>;
using Labels = std::vector<int>;

TEST(List, ReadsPathsRelativeToItselfInItsOrder) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "z.png", encode_png(testing::sample(1)));
  testing::write_bytes(folder / "sub/a b.png", encode_png(testing::sample(2)));
  testing::write_text(folder / "list.txt",
                      "\xEF\xBB\xBF# two images\r\nz.png\tdog\r\n\r\nsub/a b.png\tcat\nz.png");
  const auto dataset = open_at(folder / "list.txt");
  EXPECT_EQ(testing::names_below(*dataset, folder.path()),
            (Names{"z.png", "sub/a b.png", "z.png"}));
  EXPECT_EQ(dataset->image(1), testing::sample(2));
  EXPECT_EQ(dataset->image(2), testing::sample(1));
  EXPECT_EQ(dataset->class_names(), (Names{"cat", "dog"}));
  EXPECT_EQ(testing::labels_of(*dataset), (Labels{1, 0, -1}));
  EXPECT_EQ(dataset_splits(folder / "list.txt"), Names{"train"});
}

TEST(List, KeepsNumbersAsClassNumbers) {
  const TemporaryFolder folder;
  testing::write_text(folder / "list.txt", "a.png\t3\nb.png\t0\n");
  const auto dataset = open_at(folder / "list.txt");
  EXPECT_EQ(dataset->class_names(), (Names{"0", "1", "2", "3"}));
  EXPECT_EQ(testing::labels_of(*dataset), (Labels{3, 0}));
}

TEST(List, TakesNumbersTooLargeForClassesAsNames) {
  const TemporaryFolder folder;
  testing::write_text(folder / "list.txt", "a.png\t2000000000\nb.png\t-1\n");
  const auto dataset = open_at(folder / "list.txt");
  EXPECT_EQ(dataset->class_names(), (Names{"-1", "2000000000"}));
  EXPECT_EQ(testing::labels_of(*dataset), (Labels{1, 0}));
}

TEST(List, HasNoClassesWithoutLabels) {
  const TemporaryFolder folder;
  testing::write_text(folder / "list.txt", "a.png\n");
  const auto dataset = open_at(folder / "list.txt");
  EXPECT_TRUE(dataset->class_names().empty());
  EXPECT_FALSE(dataset->label(0).has_value());
}

TEST(List, NamesTheLineOfEveryProblem) {
  const TemporaryFolder folder;
  const std::string list = (folder / "list.txt").string();
  for (const char* const line : {"\tdog", "a.png\t", "a.png\tdog\tcat"}) {
    testing::write_text(list, std::string("a.png\n# comment\n") + line + "\n");
    EXPECT_TRUE(open_error(list).starts_with(list + ":3: ")) << open_error(list);
  }
  testing::write_text(list, "\n\nmissing.png\n");
  const auto dataset = open_at(list);
  const std::string message = testing::data_error_of([&] { (void)dataset->image(0); });
  EXPECT_TRUE(message.starts_with(list + ":3: " + (folder / "missing.png").string())) << message;
}

TEST(List, RefusesFilesWithoutLinesOrText) {
  const TemporaryFolder folder;
  const std::string list = (folder / "list.txt").string();
  testing::write_text(list, "# nothing\n\n");
  EXPECT_NE(open_error(list).find("lists no images"), std::string::npos);
  testing::write_text(list, std::string("a\0b", 3));
  EXPECT_EQ(open_error(list), list + ": is not a text file");
  testing::write_text(list, "a.png\n");
  EXPECT_NE(open_error(list, "test").find("has no split"), std::string::npos);
}

}  // namespace
}  // namespace viewfold
