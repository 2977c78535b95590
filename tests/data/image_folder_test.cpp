// Tests of folders of image files.
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "data/sample_sets.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::open_at;
using testing::open_error;
using testing::TemporaryFolder;
using Names = std::vector<std::string>;
using Labels = std::vector<int>;

void write_png(const fs::path& path, std::uint32_t number = 0) {
  testing::write_bytes(path, encode_png(testing::sample(number)));
}

TEST(ImageFolder, ReadsAllFormatsPixelByPixelInByteOrderOfTheirPaths) {
  const TemporaryFolder folder;
  const Image image = testing::sample(3);
  testing::write_bytes(folder / "b.PNG", encode_png(image));
  testing::write_bytes(folder / "a.webp", testing::encode_webp(image));
  testing::write_bytes(folder / "c/d/e.bmp", testing::encode_bmp(image));
  testing::write_bytes(folder / "c/x.tiff", testing::encode_tiff(image));
  testing::write_bytes(folder / "Z.ppm", testing::encode_pnm(image));
  testing::write_bytes(folder / "z.jpeg", encode_jpeg(image, 90));
  testing::write_text(folder / "notes.md", "no image");
  testing::write_text(folder / ".hidden.png", "no image");
  const auto dataset = open_at(folder.path());
  EXPECT_EQ(testing::names_below(*dataset, folder.path()),
            (Names{"Z.ppm", "a.webp", "b.PNG", "c/d/e.bmp", "c/x.tiff", "z.jpeg"}));
  for (std::size_t i = 0; i + 1 < dataset->size(); ++i) {
    EXPECT_EQ(dataset->image(i), image) << dataset->name(i);
  }
  EXPECT_EQ(dataset->image(5), decode_image(encode_jpeg(image, 90)));
  EXPECT_EQ(testing::labels_of(*dataset), Labels(6, -1));
  EXPECT_TRUE(dataset->class_names().empty());
}

TEST(ImageFolder, TakesClassesFromFoldersAtOneDepth) {
  const TemporaryFolder folder;
  for (const char* const name : {"dog/1/x.png", "cat/2/y.png", "dog/1/a.png"}) {
    write_png(folder / name);
  }
  const auto dataset = open_at(folder.path());
  EXPECT_EQ(dataset->class_names(), (Names{"cat", "dog"}));
  EXPECT_EQ(testing::labels_of(*dataset), (Labels{0, 1, 1}));
}

TEST(ImageFolder, HasNoLabelsWhereFoldersDifferInDepthOrThereIsOne) {
  for (const Names& names :
       {Names{"a.png", "cat/b.png"}, Names{"cat/a.png", "dog/1/b.png"}, Names{"cat/a.png"}}) {
    const TemporaryFolder folder;
    for (const std::string& name : names) {
      write_png(folder / name);
    }
    const auto dataset = open_at(folder.path());
    EXPECT_EQ(dataset->size(), names.size());
    EXPECT_TRUE(dataset->class_names().empty()) << names.front();
    EXPECT_FALSE(dataset->label(0).has_value());
  }
}

TEST(ImageFolder, TakesTrainAndTestFoldersAsSplitsWithTheSameClassNumbers) {
  const TemporaryFolder folder;
  for (const char* const name : {"train/ant/1.png", "train/cat/2.png", "test/bee/3.png",
                                 "test/cat/4.png", "unlabeled/5.png", "cover.png"}) {
    write_png(folder / name);
  }
  EXPECT_EQ(dataset_splits(folder.path()), (Names{"train", "test", "unlabeled"}));
  const auto train = open_at(folder.path());
  const auto test = open_at(folder.path(), "test");
  EXPECT_EQ(train->class_names(), (Names{"ant", "bee", "cat"}));
  EXPECT_EQ(test->class_names(), train->class_names());
  EXPECT_EQ(testing::labels_of(*train), (Labels{0, 2}));
  EXPECT_EQ(testing::labels_of(*test), (Labels{1, 2}));
  const auto unlabeled = open_at(folder.path(), "unlabeled");
  EXPECT_EQ(testing::names_below(*unlabeled, folder.path()), Names{"unlabeled/5.png"});
  EXPECT_TRUE(unlabeled->class_names().empty());
}

TEST(ImageFolder, TakesValAsTestWhereThereIsNoTest) {
  const TemporaryFolder folder;
  write_png(folder / "train/a.png");
  write_png(folder / "val/b.png");
  EXPECT_EQ(testing::names_below(*open_at(folder.path(), "test"), folder.path()),
            Names{"val/b.png"});
  write_png(folder / "test/c.png");
  EXPECT_EQ(testing::names_below(*open_at(folder.path(), "test"), folder.path()),
            Names{"test/c.png"});
}

TEST(ImageFolder, NamesTheSplitsItHasWhenAskedForAnother) {
  const TemporaryFolder folder;
  write_png(folder / "a.png");
  EXPECT_EQ(open_error(folder.path(), "test"),
            folder.path().string() + ": has no split \"test\" (it has train)");
}

TEST(ImageFolder, SaysWhatItLookedForWhenThereIsNoImage) {
  const TemporaryFolder folder;
  EXPECT_NE(open_error(folder.path()).find(".jpg"), std::string::npos);
  testing::write_text(folder / "deep/movie.mp4", "x");
  const std::string message = open_error(folder.path());
  EXPECT_TRUE(message.starts_with(folder.path().string())) << message;
  EXPECT_NE(message.find("found deep/movie.mp4"), std::string::npos) << message;
}

TEST(ImageFolder, FollowsLinksButNeverInCircles) {
  const TemporaryFolder folder;
  const TemporaryFolder elsewhere;
  write_png(elsewhere / "far.png");
  write_png(folder / "a/near.png");
  fs::create_directory_symlink(folder.path(), folder / "a/loop");
  fs::create_directory_symlink(folder / "b", folder / "a/to_b");
  write_png(folder / "b/other.png");
  fs::create_directory_symlink(folder / "a", folder / "b/to_a");
  fs::create_directory_symlink(elsewhere.path(), folder / "linked");
  fs::create_symlink("self", folder / "self");
  const auto dataset = open_at(folder.path());
  EXPECT_EQ(testing::names_below(*dataset, folder.path()),
            (Names{"a/near.png", "a/to_b/other.png", "b/other.png", "b/to_a/near.png",
                   "linked/far.png"}));
}

TEST(ImageFolder, KeepsBrokenLinksAndDamagedFilesAsImagesThatCannotBeRead) {
  const TemporaryFolder folder;
  fs::create_symlink("nowhere.png", folder / "a.png");
  testing::write_text(folder / "b.png", "");
  testing::write_text(folder / "c.jpg", "GIF89a");
  ASSERT_EQ(::mkfifo((folder / "pipe.png").c_str(), 0600), 0);
  const auto dataset = open_at(folder.path());
  ASSERT_EQ(dataset->size(), 3U);
  for (std::size_t i = 0; i < dataset->size(); ++i) {
    const std::string message = testing::data_error_of([&] { (void)dataset->image(i); });
    EXPECT_TRUE(message.starts_with(dataset->name(i))) << message;
  }
}

TEST(ImageFolder, ShowsNamesThatAreNoTextWithEscapes) {
  const TemporaryFolder folder;
  write_png(folder.path() / "caf\xE9\x1B.png", 4);
  write_png(folder.path() / "caf\xC3\xA9.png", 5);
  testing::write_text(folder.path() / "\xFF.png", "");
  const auto dataset = open_at(folder.path());
  EXPECT_EQ(testing::names_below(*dataset, folder.path()),
            (Names{"caf\xC3\xA9.png", "caf\\xE9\\x1B.png", "\\xFF.png"}));
  EXPECT_EQ(dataset->image(1), testing::sample(4));
  const std::string message = testing::data_error_of([&] { (void)dataset->image(2); });
  EXPECT_NE(message.find("/\\xFF.png: "), std::string::npos) << message;
}

// A user that may not look everywhere, until the end of a test.
class Unprivileged {
 public:
  Unprivileged() : user_(::geteuid()) {
    if (user_ == 0) {
      constexpr uid_t kNobody = 65534;
      EXPECT_EQ(::seteuid(kNobody), 0);
    }
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;
  ~Unprivileged() { EXPECT_EQ(::seteuid(user_), 0); }

 private:
  uid_t user_;
};

TEST(ImageFolder, NamesTheSubFolderThatMayNotBeListed) {
  const TemporaryFolder folder;
  write_png(folder / "open/a.png");
  write_png(folder / "closed/b.png");
  fs::permissions(folder.path(), fs::perms(0755));
  fs::permissions(folder / "closed", fs::perms::none);
  std::string message;
  {
    const Unprivileged nobody;
    message = open_error(folder.path());
  }
  fs::permissions(folder / "closed", fs::perms(0755));
  EXPECT_TRUE(message.starts_with((folder / "closed").string())) << message;
}

}  // namespace
}  // namespace viewfold
