// Tests of statistics, fingerprints, hold-outs and surveys.
#include "viewfold/data/survey.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/sample_sets.hpp"
#include <fmt/format.h>

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::open_at;
using testing::TemporaryFolder;
using Names = std::vector<std::string>;

// A gray image of one value.
testing::ByteVector flat(std::uint8_t value, int side = 4) {
  Image image(side, side, 1);
  std::fill(image.bytes().begin(), image.bytes().end(), std::byte{value});
  return encode_png(image);
}

TEST(BandStatistics, EqualsTheMeanAndDeviationOfAllPixels) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "a.png", flat(0, 2));    // 4 pixels
  testing::write_bytes(folder / "b.png", flat(255, 4));  // 16 pixels
  const auto dataset = open_at(folder.path());
  const BandStatistics statistics = band_statistics(*dataset, 3, 100, 1, 2);
  ASSERT_EQ(statistics.mean.size(), 3U);
  for (std::size_t band = 0; band < 3; ++band) {
    EXPECT_NEAR(statistics.mean[band], 0.8, 1e-12);
    EXPECT_NEAR(statistics.std[band], 0.4, 1e-12);  // sqrt(0.8 * 0.2)
  }
}

TEST(BandStatistics, IsTheSameForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  for (std::uint32_t i = 0; i < 20; ++i) {
    testing::write_bytes(folder / fmt::format("i{}.png", i), encode_png(testing::sample(i)));
  }
  const auto dataset = open_at(folder.path());
  const BandStatistics one = band_statistics(*dataset, 3, 10, 5, 1);
  const BandStatistics four = band_statistics(*dataset, 3, 10, 5, 4);
  EXPECT_EQ(one.mean, four.mean);
  EXPECT_EQ(one.std, four.std);
  EXPECT_NE(one.mean, band_statistics(*dataset, 3, 10, 6, 1).mean);  // other images are chosen
}

TEST(BandStatistics, HasADeviationAboveZeroForFlatImages) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "a.png", flat(77));
  EXPECT_DOUBLE_EQ(band_statistics(*open_at(folder.path()), 1, 10, 1, 1).std[0], 1e-6);
}

TEST(BandStatistics, PassesOverUnreadableImagesUnlessAllAre) {
  const TemporaryFolder folder;
  testing::write_text(folder / "a.png", "broken");
  EXPECT_THROW((void)band_statistics(*open_at(folder.path()), 1, 10, 1, 1), DataError);
  testing::write_bytes(folder / "b.png", flat(255));
  EXPECT_NEAR(band_statistics(*open_at(folder.path()), 1, 10, 1, 1).mean[0], 1.0, 1e-12);
}

TEST(Fingerprint, FollowsNamesAndPixelsButNotThePlace) {
  const TemporaryFolder folder;
  const auto fill = [&](const std::string& name) {
    testing::write_bytes(folder / (name + "/x/1.png"), flat(1));
    testing::write_bytes(folder / (name + "/y/2.png"), flat(2));
    return data_fingerprint(*open_at(folder / name));
  };
  const std::string first = fill("a");
  EXPECT_EQ(first.size(), 64U);
  EXPECT_EQ(first.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(fill("a longer name"), first);
  testing::write_bytes(folder / "a/y/2.png", flat(3));
  EXPECT_NE(data_fingerprint(*open_at(folder / "a")), first);  // other pixels
  (void)fill("a");
  fs::rename(folder / "a/y/2.png", folder / "a/y/3.png");
  EXPECT_NE(data_fingerprint(*open_at(folder / "a")), first);  // other name
  (void)fill("a");
  EXPECT_NE(data_fingerprint(*open_at(folder / "a")), first);  // one more image
}

TEST(Fingerprint, IsTheSameInMemoryAndForTheOrderedSubsetOnly) {
  const TemporaryFolder folder;
  for (std::uint32_t i = 0; i < 5; ++i) {
    testing::write_bytes(folder / (std::to_string(i) + ".png"), encode_png(testing::sample(i)));
  }
  const std::shared_ptr<const Dataset> dataset = open_at(folder.path());
  const std::string whole = data_fingerprint(*dataset);
  EXPECT_EQ(data_fingerprint(*preload(dataset, 0, 1'000'000, 0.0, 1).dataset), whole);
  EXPECT_EQ(data_fingerprint(*make_subset(dataset, {0, 1, 2, 3, 4})), whole);
  EXPECT_NE(data_fingerprint(*make_subset(dataset, {1, 0, 2, 3, 4})), whole);
  EXPECT_NE(data_fingerprint(*make_subset(dataset, {0, 1, 2, 3})), whole);
}

TEST(HoldOut, SplitsAllIndicesBySeedAlone) {
  const Split split = hold_out(105, 0.1, 7);
  EXPECT_EQ(split.held_out.size(), 11U);  // round(10.5)
  std::vector<std::uint32_t> all = split.kept;
  all.insert(all.end(), split.held_out.begin(), split.held_out.end());
  std::sort(all.begin(), all.end());
  for (std::uint32_t i = 0; i < 105; ++i) {
    EXPECT_EQ(all.at(i), i);
  }
  EXPECT_TRUE(std::is_sorted(split.kept.begin(), split.kept.end()));
  EXPECT_TRUE(std::is_sorted(split.held_out.begin(), split.held_out.end()));
  EXPECT_EQ(hold_out(105, 0.1, 7).held_out, split.held_out);
  EXPECT_NE(hold_out(105, 0.1, 8).held_out, split.held_out);
  EXPECT_TRUE(hold_out(105, 0.0, 7).held_out.empty());
  EXPECT_TRUE(hold_out(105, 1.0, 7).kept.empty());
  EXPECT_THROW((void)hold_out(105, 1.5, 7), ContractViolation);
}

TEST(Survey, CountsSizesKindsClassesBadAndIdenticalImages) {
  const TemporaryFolder folder;
  testing::write_bytes(folder / "cat/1.png", encode_png(testing::noise(8, 6, 3)));
  testing::write_bytes(folder / "cat/2.bmp", testing::encode_bmp(testing::noise(8, 6, 3)));
  testing::write_bytes(folder / "cat/3.png", encode_png(testing::noise(10, 20, 3)));
  testing::write_bytes(folder / "dog/4.png", flat(9, 30));
  testing::write_text(folder / "dog/5.png", "broken");
  testing::write_bytes(folder / "dog/6.png",
                       encode_png(testing::noise(9, 9, 3, PixelType::kUint16)));
  const DataSurvey found = survey(*open_at(folder.path()), 2);
  EXPECT_EQ(found.count, 6U);
  EXPECT_EQ(found.height.min, 8);
  EXPECT_EQ(found.height.max, 30);
  EXPECT_EQ(found.height.median, 9);
  EXPECT_EQ(found.width.min, 6);
  EXPECT_EQ(found.width.max, 30);
  EXPECT_EQ(found.kinds, (std::map<PixelKind, std::size_t>{
                             {{1, "uint8"}, 1}, {{3, "uint8"}, 3}, {{3, "uint16"}, 1}}));
  EXPECT_EQ(found.statistics.mean.size(), 3U);
  EXPECT_EQ(found.class_counts,
            (std::vector<std::pair<std::string, std::size_t>>{{"cat", 3}, {"dog", 3}}));
  ASSERT_EQ(found.unreadable.size(), 1U);
  EXPECT_EQ(found.unreadable[0].index, 4U);
  EXPECT_TRUE(found.unreadable[0].reason.starts_with((folder / "dog/5.png").string()));
  EXPECT_EQ(
      found.duplicates,
      (std::vector<Names>{{(folder / "cat/1.png").string(), (folder / "cat/2.bmp").string()}}));
}

TEST(Survey, ReportsADataSetWithoutAReadableImage) {
  const TemporaryFolder folder;
  testing::write_text(folder / "a.png", "broken");
  const DataSurvey found = survey(*open_at(folder.path()), 2);
  EXPECT_EQ(found.count, 1U);
  EXPECT_EQ(found.unreadable.size(), 1U);
  EXPECT_EQ(found.height.max, 0);
  EXPECT_TRUE(found.statistics.mean.empty());
}

}  // namespace
}  // namespace viewfold
