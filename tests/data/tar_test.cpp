// Tests of tar archives and WebDataset shards.
#include <filesystem>

#include "data/sample_sets.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::ByteVector;
using testing::make_tar;
using testing::open_at;
using testing::open_error;
using testing::TarFile;
using testing::TemporaryFolder;
using Names = std::vector<std::string>;
using Labels = std::vector<int>;

ByteVector png(std::uint32_t number) {
  return encode_png(testing::sample(number));
}

Names names_in(const Dataset& dataset, const fs::path& archive) {
  return testing::names_below(dataset, archive);
}

TEST(Tar, ReadsMembersOfAllHeaderFormatsWhereTheyLie) {
  const std::string long_name = std::string(150, 'd') + "/" + std::string(90, 'f') + ".png";
  for (const char* const format : {"v7", "ustar", "gnu", "pax"}) {
    const bool has_long = format != std::string("v7");
    const TemporaryFolder folder;
    std::vector<TarFile> files{{"./x/", {}},
                               {"./x/b.png", png(1)},
                               {"x/a.png", png(2)},
                               {"x/notes.txt", testing::bytes_of("no image")},
                               {"x/._a.png", testing::bytes_of("of macOS")}};
    if (has_long) {
      files.push_back({long_name, png(3)});
    }
    testing::write_bytes(folder / "images.tar", make_tar(files, format));
    const auto dataset = open_at(folder / "images.tar");
    Names names{"x/a.png", "x/b.png"};
    if (has_long) {
      names.insert(names.begin(), long_name);
      EXPECT_EQ(dataset->image(0), testing::sample(3));
    }
    EXPECT_EQ(names_in(*dataset, folder / "images.tar"), names) << format;
    EXPECT_EQ(dataset->image(dataset->size() - 1), testing::sample(1));
    EXPECT_EQ(dataset->image(dataset->size() - 2), testing::sample(2));
  }
}

TEST(Tar, TakesSplitsAndClassesFromFolders) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "set.tar", make_tar({{"set/train/dog/1.png", png(1)},
                                                     {"set/train/cat/2.png", png(2)},
                                                     {"set/test/dog/3.png", png(3)}}));
  EXPECT_EQ(dataset_splits(folder / "set.tar"), (Names{"train", "test"}));
  const auto test = open_at(folder / "set.tar", "test");
  EXPECT_EQ(test->class_names(), (Names{"cat", "dog"}));
  EXPECT_EQ(testing::labels_of(*test), Labels{1});
  EXPECT_EQ(test->image(0), testing::sample(3));
  EXPECT_EQ(test->name(0), (folder / "set.tar").string() + "!set/test/dog/3.png");
  EXPECT_NE(open_error(folder / "set.tar", "unlabeled").find("has no split"), std::string::npos);
}

TEST(Tar, ResolvesHardLinksAndLetsTheLastMemberOfANameWin) {
  const TemporaryFolder folder;
  testing::write_bytes(
      folder / "images.tar",
      make_tar({{"a.png", png(1)}, {"b.png", {}, "a.png"}, {"c.png", png(2)}, {"c.png", png(3)}}));
  const auto dataset = open_at(folder / "images.tar");
  ASSERT_EQ(dataset->size(), 3U);
  EXPECT_EQ(dataset->image(1), testing::sample(1));
  EXPECT_EQ(dataset->image(2), testing::sample(3));
}

TEST(Tar, ReadsLabelsOfShardsFromClsAndJson) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "s/train-0.tar",
                       make_tar({{"001.jpg", encode_jpeg(testing::sample(1), 90)},
                                 {"001.cls", testing::bytes_of(" 2\n")},
                                 {"002.png", png(2)},
                                 {"002.json", testing::bytes_of("{\"label\": 0, \"w\": [1]}")}}));
  testing::write_bytes(folder / "s/train-1.tar",
                       make_tar({{"003.png", png(3)},
                                 {"004.png", png(4)},
                                 {"004.cls", testing::bytes_of("1")},
                                 {"004.json", testing::bytes_of("{\"label\": 0}")}}));
  const auto dataset = open_at(folder / "s");
  EXPECT_EQ(dataset->class_names(), (Names{"0", "1", "2"}));
  EXPECT_EQ(testing::labels_of(*dataset), (Labels{2, 0, -1, 1}));
  EXPECT_EQ(names_in(*dataset, folder / "s"),
            (Names{"train-0.tar!001.jpg", "train-0.tar!002.png", "train-1.tar!003.png",
                   "train-1.tar!004.png"}));
  EXPECT_EQ(dataset->image(3), testing::sample(4));
  EXPECT_EQ(testing::labels_of(*open_at(folder / "s/train-1.tar")), (Labels{-1, 1}));
}

TEST(Tar, TakesFoldersOfShardsAsSplitsWithTheSameClasses) {
  const TemporaryFolder folder;
  const auto shard = [](std::uint32_t number, const char* label) {
    return make_tar({{"k.png", png(number)}, {"k.cls", testing::bytes_of(label)}});
  };
  testing::write_bytes(folder / "train/0.tar", shard(1, "dog"));
  testing::write_bytes(folder / "val/0.tar", shard(2, "cat"));
  EXPECT_EQ(dataset_splits(folder.path()), (Names{"train", "test"}));
  const auto test = open_at(folder.path(), "test");
  EXPECT_EQ(test->class_names(), (Names{"cat", "dog"}));
  EXPECT_EQ(testing::labels_of(*test), Labels{0});
  EXPECT_EQ(testing::labels_of(*open_at(folder.path())), Labels{1});
}

TEST(Tar, RefusesLabelsThatAreNone) {
  for (const auto& [file, text, problem] :
       {std::tuple{"a.cls", " \n", "holds no label"}, std::tuple{"a.json", "{", "is not JSON"},
        std::tuple{"a.json", "{\"label\": [1]}", "neither a whole number nor a text"}}) {
    const TemporaryFolder folder;
    testing::write_bytes(folder / "s.tar",
                         make_tar({{"a.png", png(1)}, {file, testing::bytes_of(text)}}));
    EXPECT_EQ(open_error(folder / "s.tar").find((folder / "s.tar").string() + "!" + file), 0U);
    EXPECT_NE(open_error(folder / "s.tar").find(problem), std::string::npos);
  }
}

TEST(Tar, NamesTheMemberThatCannotBeDecoded) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "images.tar",
                       make_tar({{"a.png", testing::bytes_of("no")}, {"b.png", {}}}));
  const auto dataset = open_at(folder / "images.tar");
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string message = testing::data_error_of([&] { (void)dataset->image(i); });
    EXPECT_TRUE(message.starts_with(dataset->name(i) + ": ")) << message;
  }
}

TEST(Tar, RefusesTruncatedArchivesWhereverTheyEnd) {
  const TemporaryFolder folder;
  const ByteVector whole = make_tar({{"a.png", png(1)}, {"b.png", png(2)}});
  const fs::path path = folder / "images.tar";
  for (std::size_t size = 0; size < 3 * 512; size += 100) {
    testing::write_bytes(
        path, ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    EXPECT_TRUE(open_error(path).starts_with(path.string() + ": is ")) << size;
  }
}

// `archive` with the size of its first member changed and the checksum made right again.
ByteVector with_size(ByteVector archive, std::string_view size) {
  for (std::size_t i = 0; i < 12; ++i) {
    archive[124 + i] = i < size.size() ? static_cast<std::byte>(size[i]) : std::byte{0};
  }
  unsigned sum = 8 * ' ';
  for (std::size_t i = 0; i < 512; ++i) {
    sum += i >= 148 && i < 156 ? 0U : std::to_integer<unsigned>(archive[i]);
  }
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  for (std::size_t i = 0; i < 8; ++i) {
    archive[148 + i] = i < 7 ? static_cast<std::byte>(text[i]) : std::byte{' '};
  }
  return archive;
}

TEST(Tar, RefusesSizesBeyondTheEnd) {
  const TemporaryFolder folder;
  const ByteVector archive = make_tar({{"a.png", png(1)}});
  for (const std::string_view size :
       {std::string_view("77777777777"),
        std::string_view("\x80\0\0\0\x7F\xFF\xFF\xFF\xFF\xFF\xFF", 11),
        std::string_view("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
        std::string_view("-1"), std::string_view("9")}) {
    testing::write_bytes(folder / "images.tar", with_size(archive, size));
    EXPECT_NE(open_error(folder / "images.tar").find("images.tar: "), std::string::npos) << size;
  }
  testing::write_bytes(folder / "images.tar", with_size(archive, "77777777777"));
  EXPECT_NE(open_error(folder / "images.tar").find("a.png claims 8589934591 bytes"),
            std::string::npos);
}

TEST(Tar, ReadsSizesInBinaryAsGnuWritesThem) {
  const TemporaryFolder folder;
  const ByteVector image = png(1);
  const ByteVector archive = make_tar({{"a.png", image}});
  std::string size(12, '\0');
  size[0] = '\x80';
  size[10] = static_cast<char>(image.size() >> 8U);
  size[11] = static_cast<char>(image.size() & 0xFFU);
  testing::write_bytes(folder / "images.tar", with_size(archive, size));
  EXPECT_EQ(open_at(folder / "images.tar")->image(0), testing::sample(1));
}

TEST(Tar, SaysWhatToDoWithCompressedArchives) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "images.tar.gz", testing::gzip(make_tar({{"a.png", png(1)}})));
  EXPECT_NE(open_error(folder / "images.tar.gz").find("unpack it"), std::string::npos);
  testing::write_bytes(folder / "images.tar", testing::gzip(make_tar({{"a.png", png(1)}})));
  EXPECT_NE(open_error(folder / "images.tar").find("is not a tar archive"), std::string::npos);
}

TEST(Tar, RefusesArchivesWithoutImages) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "a.tar", make_tar({{"a.txt", testing::bytes_of("x")}}));
  EXPECT_NE(open_error(folder / "a.tar").find("holds no images"), std::string::npos);
  testing::write_bytes(folder / "a.tar", ByteVector(10240));
  EXPECT_NE(open_error(folder / "a.tar").find("holds no images"), std::string::npos);
}

TEST(Tar, PrefersTheImagesOfAFolderToAnArchiveBesideThem) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "backup.tar", make_tar({{"a.png", png(1)}}));
  testing::write_bytes(folder / "b.png", png(2));
  EXPECT_EQ(testing::names_below(*open_at(folder.path()), folder.path()), Names{"b.png"});
}

TEST(Tar, OpensSixtyThousandImagesAsTheyAre) {
  const fs::path archive = VIEWFOLD_SOURCE_DIR "/../shared/data/cifar10-jpeg.tar";
  if (!fs::exists(archive)) {
    GTEST_SKIP() << "cifar10-jpeg.tar is not here";
  }
  const auto train = open_at(archive);
  const auto test = open_at(archive, "test");
  EXPECT_EQ(train->size(), 50000U);
  EXPECT_EQ(test->size(), 10000U);
  EXPECT_EQ(train->class_names(), (Names{"airplane", "automobile", "bird", "cat", "deer", "dog",
                                         "frog", "horse", "ship", "truck"}));
  EXPECT_EQ(test->label(9999), 9);
  const Image image = train->image(49999);
  EXPECT_EQ(std::tuple(image.height(), image.width(), image.bands()), std::tuple(32, 32, 3));
}

}  // namespace
}  // namespace viewfold
