// Tests of the search for images that are there twice.
#include "viewfold/eval/near_duplicates.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "core/test_folder.hpp"
#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold {
namespace {

using testing::ImageList;

constexpr int kSize = 32;

// Blobs of random colours.
Image picture(std::uint64_t seed) {
  return resize_crop(testing::random_image(5, 5, 3, seed), {0, 0, 5, 5}, kSize, kSize);
}

template <class Change>
Image changed(const Image& image, const Change& change) {
  Image out = image;
  for (auto& value : out.values<std::uint8_t>()) {
    value = static_cast<std::uint8_t>(std::clamp<double>(std::round(change(value)), 0.0, 255.0));
  }
  return out;
}

Image mirrored(const Image& image) {
  return make_mirrored(std::make_shared<ImageList>(std::vector<Image>{image}))->image(0);
}

std::vector<Image> pictures(std::size_t count, std::uint64_t first) {
  std::vector<Image> images;
  for (std::size_t i = 0; i < count; ++i) {
    images.push_back(picture(first + i));
  }
  return images;
}

// As an encoder that sees 6 x 6 pixels, and not which way round: [N, 108], of mean 0.
at::Tensor features_of(const std::vector<Image>& images) {
  std::vector<at::Tensor> rows;
  for (const Image& image : images) {
    const Image small = resize_center_crop(image, 6);
    const auto values = at::empty({6, 6, 3}, at::kFloat);
    std::ranges::copy(small.values<std::uint8_t>(), values.data_ptr<float>());
    rows.push_back((values + values.flip({1}) - 255.0).flatten());
  }
  return rows.empty() ? at::empty({0, 108}, at::kFloat) : at::stack(rows);
}

DescribedImages described(const std::vector<Image>& images, std::vector<std::int64_t> labels = {}) {
  return {.images = std::make_shared<ImageList>(images, std::move(labels)),
          .features = features_of(images)};
}

TEST(NearDuplicates, AreCopiesRecompressedBrightenedAndMirroredOnesAndNoOthers) {
  const auto train = pictures(40, 0);
  auto test = pictures(12, 100);
  test.push_back(train[3]);
  test.push_back(decode_image(encode_jpeg(train[7], 60)));
  test.push_back(changed(train[11], [](double value) { return 1.05 * value; }));
  test.push_back(mirrored(train[15]));
  const auto found = find_near_duplicates(described(train), described(test));
  ASSERT_EQ(found.pairs.size(), 4U);
  std::set<std::pair<std::size_t, std::size_t>> pairs;
  for (const auto& pair : found.pairs) {
    EXPECT_EQ(pair.kind, DuplicateKind::kAcross);
    pairs.emplace(pair.first, pair.second);
    EXPECT_EQ(pair.identical, pair.first == 3);
    EXPECT_EQ(pair.mirrored, pair.first == 15);
    EXPECT_GT(pair.correlation, 0.98);
    EXPECT_LT(pair.usual, 0.8);
    EXPECT_EQ(pair.same_label, std::nullopt);
  }
  EXPECT_EQ(pairs,
            (std::set<std::pair<std::size_t, std::size_t>>{{3, 12}, {7, 13}, {11, 14}, {15, 15}}));
  const auto& numbers = found.result.numbers;
  EXPECT_EQ(numbers.at("pairs_across"), 4.0);
  EXPECT_EQ(numbers.at("pairs_train"), 0.0);
  EXPECT_EQ(numbers.at("pairs_test"), 0.0);
  EXPECT_EQ(numbers.at("identical_pairs"), 1.0);
  EXPECT_EQ(numbers.at("mirrored_pairs"), 1.0);
  EXPECT_EQ(numbers.at("test_images_with_twin"), 4.0);
  EXPECT_DOUBLE_EQ(numbers.at("test_twin_share"), 4.0 / 16.0);
}

TEST(NearDuplicates, AreFoundWithinEachSetOnceWithTheSmallerIndexFirst) {
  auto train = pictures(20, 0);
  train.push_back(train[4]);
  auto test = pictures(20, 100);
  test.insert(test.begin(), test[9]);
  const auto found = find_near_duplicates(described(train), described(test));
  ASSERT_EQ(found.pairs.size(), 2U);
  const bool train_first = found.pairs[0].kind == DuplicateKind::kTrain;
  const auto& in_train = found.pairs[train_first ? 0 : 1];
  const auto& in_test = found.pairs[train_first ? 1 : 0];
  EXPECT_EQ(in_train.first, 4U);
  EXPECT_EQ(in_train.second, 20U);
  EXPECT_EQ(in_test.kind, DuplicateKind::kTest);
  EXPECT_EQ(in_test.first, 0U);
  EXPECT_EQ(in_test.second, 10U);
  EXPECT_EQ(found.result.numbers.at("test_twin_share"), 0.0);
}

TEST(NearDuplicates, SayWhetherTheirLabelsAgree) {
  auto train = pictures(20, 0);
  std::vector<std::int64_t> labels(20, 1);
  train.push_back(train[4]);
  train.push_back(train[5]);
  labels.push_back(1);
  labels.push_back(2);
  const auto found = find_near_duplicates(described(train, labels), described({}));
  ASSERT_EQ(found.pairs.size(), 2U);
  for (const auto& pair : found.pairs) {
    EXPECT_EQ(pair.same_label, std::optional(pair.first == 4));
  }
  EXPECT_EQ(found.result.numbers.at("other_label_pairs"), 1.0);
  EXPECT_FALSE(found.result.numbers.contains("test_twin_share"));
}

TEST(NearDuplicates, AreNotWhatAnEncoderAloneTakesForOne) {
  auto train = described(pictures(30, 0));
  auto test = described(pictures(30, 100));
  train.features = at::ones({30, 4});
  test.features = at::ones({30, 4});
  EXPECT_TRUE(find_near_duplicates(train, test).pairs.empty());
}

TEST(NearDuplicates, StandOutWhereAllImagesAreAlike) {
  const Image common = picture(1000);
  std::vector<Image> train;
  for (std::uint64_t i = 0; i < 30; ++i) {  // one picture, with something of their own
    const Image own = picture(i);
    Image mixed = common;
    const auto values = mixed.values<std::uint8_t>();
    for (std::size_t j = 0; j < values.size(); ++j) {
      values[j] = static_cast<std::uint8_t>((9 * values[j] + own.values<std::uint8_t>()[j]) / 10);
    }
    train.push_back(mixed);
  }
  EXPECT_TRUE(find_near_duplicates(described(train), described({})).pairs.empty());
  NearDuplicateSpec spec;
  spec.most_of_usual = std::numeric_limits<double>::infinity();
  EXPECT_GE(find_near_duplicates(described(train), described({}), spec).pairs.size(), 100U);
  train.push_back(decode_image(encode_jpeg(train[8], 95)));
  const auto found = find_near_duplicates(described(train), described({}));
  ASSERT_EQ(found.pairs.size(), 1U);
  EXPECT_EQ(found.pairs[0].first, 8U);
  EXPECT_EQ(found.pairs[0].second, 30U);
  EXPECT_GT(found.pairs[0].usual, 0.95);
}

TEST(NearDuplicates, FindEveryImageOfAPictureThatIsThereManyTimes) {
  auto train = pictures(30, 0);
  for (int i = 0; i < 20; ++i) {
    train.push_back(train[2]);
  }
  const auto found = find_near_duplicates(described(train), described({}));
  std::set<std::size_t> images;
  for (const auto& pair : found.pairs) {
    images.insert(pair.first);
    images.insert(pair.second);
    EXPECT_TRUE(pair.identical);
  }
  EXPECT_EQ(images.size(), 21U);
  EXPECT_TRUE(images.contains(2));
}

TEST(NearDuplicates, HaveTheCorrelationAndDifferenceOfAKnownChange) {
  auto train = pictures(20, 0);
  train[0] = changed(train[0], [](double value) { return value / 2.0 + 40.0; });
  train.push_back(changed(train[0], [](double value) { return value + 10.0; }));
  const auto found = find_near_duplicates(described(train), described({}));
  ASSERT_EQ(found.pairs.size(), 1U);
  EXPECT_NEAR(found.pairs[0].difference, 10.0 / 255.0, 1e-4);
  EXPECT_NEAR(found.pairs[0].correlation, 1.0, 1e-4);
  const auto rows = features_of({train[0], train[20]}).to(at::kDouble);
  const double cosine = at::cosine_similarity(rows[0], rows[1], 0).item<double>();
  EXPECT_NEAR(found.pairs[0].similarity, cosine, 1e-6);
}

TEST(NearDuplicates, ComeInDescendingSimilarityWhateverTheThreads) {
  auto train = pictures(30, 0);
  for (int i = 0; i < 6; ++i) {
    train.push_back(decode_image(encode_jpeg(train[static_cast<std::size_t>(i)], 30 + 10 * i)));
  }
  const auto one = find_near_duplicates(described(train), described({}));
  const auto four = find_near_duplicates(described(train), described({}), {.threads = 4});
  ASSERT_EQ(one.pairs.size(), 6U);
  ASSERT_EQ(four.pairs.size(), 6U);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(one.pairs[i].second, four.pairs[i].second);
    EXPECT_EQ(one.pairs[i].second, one.pairs[i].first + 30);
    EXPECT_TRUE(i == 0 || one.pairs[i].similarity <= one.pairs[i - 1].similarity);
  }
}

TEST(NearDuplicates, RefuseWhatDoesNotFit) {
  const auto good = described(pictures(6, 0));
  auto short_of_one = good;
  short_of_one.features = good.features.narrow(0, 0, 5);
  EXPECT_THROW((void)find_near_duplicates(short_of_one, good), ContractViolation);
  EXPECT_THROW((void)find_near_duplicates(good, short_of_one), ContractViolation);
  EXPECT_THROW((void)find_near_duplicates({}, good), ContractViolation);
  EXPECT_THROW((void)find_near_duplicates(good, good, {.neighbours = 0}), ContractViolation);
  EXPECT_THROW((void)find_near_duplicates(good, good, {.least_cosine = 1.1}), ContractViolation);
  EXPECT_THROW((void)find_near_duplicates(good, good, {.most_difference = -0.1}),
               ContractViolation);
}

TEST(PairsSheet, ShowsThreePairsARow) {
  const TestFolder folder("pairs_sheet");
  const auto path = folder.path() / "pairs.png";
  const ImageList train(pictures(10, 0));
  const ImageList test(pictures(10, 100));
  std::vector<NearDuplicate> pairs;
  for (std::size_t i = 0; i < 5; ++i) {
    pairs.push_back({.kind = DuplicateKind::kAcross, .first = i, .second = 9 - i});
  }
  EXPECT_EQ(write_pairs_sheet(pairs, train, test, path), 5U);
  const Image sheet = read_image(path);
  EXPECT_EQ(sheet.width(), 4 + 8 * (96 + 4));  // six images, and room between pairs
  EXPECT_EQ(sheet.height(), 4 + 2 * (96 + 4));
  // The second of the first pair: the last test image, three times as large.
  const Image expected = test.image(9);
  const auto at = [](const Image& image, int y, int x) {
    return image.values<std::uint8_t>()[static_cast<std::size_t>((y * image.width() + x) * 3)];
  };
  for (const int place : {0, 13, 31}) {
    EXPECT_EQ(at(sheet, 4 + 3 * place + 1, 104 + 3 * place + 1), at(expected, place, place));
  }
  EXPECT_EQ(write_pairs_sheet(pairs, train, test, path, 2), 2U);
  EXPECT_EQ(read_image(path).height(), 4 + 96 + 4);
}

TEST(PairsSheet, IsNotWrittenWithoutPairs) {
  const TestFolder folder("no_pairs_sheet");
  const ImageList images(pictures(1, 0));
  EXPECT_EQ(write_pairs_sheet({}, images, images, folder.path() / "pairs.png"), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace viewfold
