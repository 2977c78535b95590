// Tests of corrupted data sets: what changes, what stays, and what is refused.
#include "viewfold/augment/corrupted_images.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "viewfold/augment/corruption.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/data/subset.hpp"

namespace viewfold {
namespace {

constexpr int kSide = 8;

Image numbered_image(int first) {
  Image image(kSide, kSide, 1, PixelType::kUint8);
  auto values = image.values<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::uint8_t>(static_cast<std::size_t>(first) + i);
  }
  return image;
}

std::shared_ptr<const Dataset> two_images() {
  return make_image_list({numbered_image(0), numbered_image(0)});
}

std::vector<std::uint8_t> pixels(const Image& image) {
  const auto values = image.values<std::uint8_t>();
  return {values.begin(), values.end()};
}

std::shared_ptr<const Dataset> corrupted(std::string_view text, bool fixed = false) {
  auto corruption = parse_image_corruption(text, "data.corruption");
  corruption.fixed = fixed;
  return corrupt_images(two_images(), corruption, 1);
}

TEST(CorruptedImages, GammaOfOneAndAGridOfOneChangeNothing) {
  for (const auto* text : {"gamma:1", "global_shuffle:1"}) {
    EXPECT_EQ(pixels(corrupted(text)->image(0)), pixels(two_images()->image(0))) << text;
  }
}

TEST(CorruptedImages, GammaRaisesValuesToThePower) {
  const auto changed = pixels(corrupted("gamma:0.5")->image(0));
  EXPECT_EQ(changed[0], 0);
  EXPECT_EQ(changed[63], 127);  // 255 * sqrt(63 / 255) = 126.7
}

TEST(CorruptedImages, AGlobalShuffleKeepsTheInsideOfEveryTile) {
  const auto changed = pixels(corrupted("global_shuffle:4")->image(0));
  auto sorted = changed;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, pixels(two_images()->image(0)));
  EXPECT_NE(changed, sorted);
  for (std::size_t y = 0; y < kSide; y += 2) {
    for (std::size_t x = 0; x < kSide; x += 2) {
      const std::size_t corner = y * kSide + x;
      EXPECT_EQ(changed[corner + 1], changed[corner] + 1);
      EXPECT_EQ(changed[corner + kSide], changed[corner] + kSide);
    }
  }
}

TEST(CorruptedImages, ALocalShuffleKeepsTheMembersOfEveryTile) {
  const auto before = pixels(two_images()->image(0));
  const auto changed = pixels(corrupted("local_shuffle:2")->image(0));
  EXPECT_NE(changed, before);
  for (std::size_t tile = 0; tile < 4; ++tile) {
    std::vector<std::uint8_t> was;
    std::vector<std::uint8_t> is;
    for (std::size_t i = 0; i < 16; ++i) {
      const std::size_t at = (tile / 2 * 4 + i / 4) * kSide + tile % 2 * 4 + i % 4;
      was.push_back(before[at]);
      is.push_back(changed[at]);
    }
    std::sort(is.begin(), is.end());
    EXPECT_EQ(is, was);
  }
}

TEST(CorruptedImages, EachIsShuffledInItsOwnWayUnlessThatIsFixed) {
  const auto own = corrupted("global_shuffle:8");
  EXPECT_NE(pixels(own->image(0)), pixels(own->image(1)));
  EXPECT_EQ(pixels(own->image(1)), pixels(own->image(1)));
  const auto fixed = corrupted("global_shuffle:8", true);
  EXPECT_EQ(pixels(fixed->image(0)), pixels(fixed->image(1)));
}

TEST(CorruptedImages, CommonCorruptionsAreThoseOfAudits) {
  const auto changed = corrupted("contrast:5")->image(0);
  const auto expected = corrupt(numbered_image(0), "contrast", 5, {});  // draws nothing
  EXPECT_EQ(pixels(changed), pixels(expected));
}

TEST(CorruptedImages, AGridThatDoesNotDivideTheImageIsRefusedByName) {
  const auto images = corrupted("global_shuffle:3");
  try {
    (void)images->image(1);
    FAIL() << "8 pixels are no multiple of 3";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("image#1"), std::string::npos) << error.what();
  }
}

TEST(CorruptedImages, OtherWordsAndStrengthsAreRefused) {
  for (const auto* text : {"", "gamma", "gamma:", "gamma:0", "gamma:2x", "gamma:nan", "fog:0",
                           "fog:6", "fog:1.5", "global_shuffle:17", "local_shuffle:0", "fogg:1"}) {
    EXPECT_THROW((void)parse_image_corruption(text, "data.corruption"), UsageError) << text;
  }
}

}  // namespace
}  // namespace viewfold
