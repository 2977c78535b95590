// Tests of the operations that move pixels, and of how masks, points and rectangles follow them.
#include <numeric>

#include "augment/draws.hpp"
#include "augment/operations.hpp"
#include <gtest/gtest.h>

#include "viewfold/image/resample.hpp"

namespace viewfold {
namespace {

using testing::applied;
using testing::column;
using testing::draw;
using testing::expect_uniform;
using testing::make_operation;
using testing::noise;

constexpr std::array kTypes = {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32};

// Every pixel is another one, so that it can be found again.
Image numbered(ImageSize size) {
  Image image(size.height, size.width, 1, PixelType::kUint16);
  std::iota(image.values<std::uint16_t>().begin(), image.values<std::uint16_t>().end(),
            std::uint16_t{0});
  return image;
}

Image mask_of(const Augmentation& op, const OpRecord& record, const Image& mask) {
  Canvas canvas;
  canvas.start(mask);
  op.apply_to_mask(record, canvas);
  return canvas.image();
}

// The centre of the pixel with this number.
Point center_of(const Image& image, std::uint16_t number) {
  const auto values = image.values<std::uint16_t>();
  const auto i = static_cast<int>(std::ranges::find(values, number) - values.begin());
  return {i % image.width() + 0.5, i / image.width() + 0.5};
}

TEST(HorizontalFlip, EqualsPixelByPixelForEveryWidthAndPixelSize) {
  const auto op = make_operation("horizontal_flip");
  for (const auto type : kTypes) {
    for (const int bands : {1, 2, 3, 4, 5, 17}) {
      for (int width = 1; width < 40; ++width) {
        const Image image = noise({3, width}, bands, type);
        const Image flipped = applied(*op, "horizontal_flip", {1}, image);
        const std::size_t pixel = static_cast<std::size_t>(bands) * bytes_per_value(type);
        for (std::size_t i = 0; i < 3 * static_cast<std::size_t>(width); ++i) {
          const std::size_t x = i % static_cast<std::size_t>(width);
          const std::size_t from = i - x + static_cast<std::size_t>(width) - 1 - x;
          ASSERT_TRUE(std::ranges::equal(flipped.bytes().subspan(i * pixel, pixel),
                                         image.bytes().subspan(from * pixel, pixel)))
              << bands << " bands, width " << width << ", pixel " << i;
        }
      }
    }
  }
}

TEST(VerticalFlip, MovesWholeRows) {
  const Image image = noise({5, 4}, 3, PixelType::kUint8);
  const Image flipped = applied(*make_operation("vertical_flip"), "vertical_flip", {1}, image);
  for (int y = 0; y < 5; ++y) {
    EXPECT_EQ(crop(flipped, {0, y, 4, 1}), crop(image, {0, 4 - y, 4, 1}));
  }
}

TEST(VerticalFlip, TwiceIsTheIdentity) {
  const auto op = make_operation("vertical_flip");
  for (const auto type : kTypes) {
    const Image image = noise({5, 4}, 5, type);
    const Image once = applied(*op, "vertical_flip", {1}, image);
    EXPECT_NE(once, image);
    EXPECT_EQ(applied(*op, "vertical_flip", {1}, once), image);
  }
}

TEST(VerticalFlip, MasksAndPointsFollow) {
  const auto op = make_operation("vertical_flip");
  const auto record = make_record("vertical_flip", {1});
  const Image image = numbered({6, 5});
  EXPECT_EQ(mask_of(*op, record, image), applied(*op, record, image));
  const Point moved = op->move(record, Point{1.25, 0.5}, {6, 5});
  EXPECT_EQ(moved.x, 1.25);
  EXPECT_EQ(moved.y, 5.5);
  const Rect rect = op->move(record, Rect{1, 2, 3, 6}, {6, 5});
  EXPECT_EQ(rect.top, 0.0);
  EXPECT_EQ(rect.bottom, 4.0);
  EXPECT_EQ(op->move(make_record("vertical_flip", {0}), Point{1, 2}, {6, 5}).y, 2.0);
}

TEST(Resize, TakesTheWholeImageWhateverItsShape) {
  const Image image = noise({24, 60}, 3, PixelType::kUint8);
  for (const std::string interpolation : {"bilinear", "bicubic"}) {
    const auto op = make_operation("resize", {{"size", "17"}, {"interpolation", interpolation}});
    const Image expected = resize_crop(
        image, {0, 0, 60, 24}, 17, 17,
        interpolation == "bicubic" ? Interpolation::kBicubic : Interpolation::kBilinear);
    EXPECT_EQ(applied(*op, "resize", {24, 60}, image), expected);
  }
}

TEST(Resize, RecordsTheSourceAndKeepsAnImageOfItsSize) {
  const auto op = make_operation("resize", {{"size", "17"}});
  Rng rng({.seed = 1});
  const auto record = op->sample(rng, {30, 40});
  EXPECT_EQ(record.values[0], 30.0F);
  EXPECT_EQ(record.values[1], 40.0F);
  EXPECT_EQ(op->size_after({30, 40}), (ImageSize{17, 17}));
  const Image image = noise({17, 17}, 3, PixelType::kUint8);
  EXPECT_EQ(applied(*op, "resize", {17, 17}, image), image);
}

TEST(Resize, MasksAndPointsFollow) {
  const auto op = make_operation("resize", {{"size", "20"}});
  const auto record = make_record("resize", {10, 40});
  Image mask(10, 40, 1);
  mask.values<std::uint8_t>()[3 * 40 + 16] = 9;  // becomes half a pixel wide, two high
  const Image moved = mask_of(*op, record, mask);
  EXPECT_EQ(moved.height(), 20);
  EXPECT_EQ(moved.width(), 20);
  for (const std::uint8_t value : moved.values<std::uint8_t>()) {
    EXPECT_TRUE(value == 0 || value == 9);
  }
  const Point point = op->move(record, Point{16.5, 3.5}, {10, 40});
  EXPECT_EQ(point.x, 8.25);
  EXPECT_EQ(point.y, 7.0);
}

std::unique_ptr<Augmentation> shuffle(const std::string& mode, const std::string& grid = "4") {
  return make_operation("tile_shuffle", {{"mode", mode}, {"grid", grid}, {"probability", "1"}});
}

TEST(TileShuffle, DrawsTheSeedUniformly) {
  expect_uniform(column(draw(*shuffle("global")), 1), 0.0, 0x1p24);
}

TEST(TileShuffle, EveryTileIsDrawnEquallyOftenForEveryPlace) {
  const auto op = shuffle("global", "2");
  const Image image = numbered({2, 2});
  std::array<std::array<int, 4>, 4> counts{};
  for (const auto& record : draw(*op, {2, 2})) {
    const Image made = applied(*op, record, image);
    for (std::size_t place = 0; place < 4; ++place) {
      ++counts.at(place).at(made.values<std::uint16_t>()[place]);
    }
  }
  for (const auto& place : counts) {
    for (const int count : place) {
      EXPECT_NEAR(count, testing::kDraws / 4.0, testing::binomial_bound(testing::kDraws, 0.25));
    }
  }
}

TEST(TileShuffle, GlobalMovesWholeTilesAndLeavesTheRest) {
  const auto op = shuffle("global", "3");
  const Image image = numbered({14, 10});  // tiles of 4 x 3; two rows and a column are left over
  const Image made = applied(*op, "tile_shuffle", {1, 77}, image);
  EXPECT_NE(made, image);
  EXPECT_EQ(crop(made, {9, 0, 1, 14}), crop(image, {9, 0, 1, 14}));
  EXPECT_EQ(crop(made, {0, 12, 10, 2}), crop(image, {0, 12, 10, 2}));
  std::array<int, 9> found{};
  for (int place = 0; place < 9; ++place) {
    const Image tile = crop(made, {place % 3 * 3, place / 3 * 4, 3, 4});
    for (int source = 0; source < 9; ++source) {
      found.at(static_cast<std::size_t>(source)) +=
          tile == crop(image, {source % 3 * 3, source / 3 * 4, 3, 4}) ? 1 : 0;
    }
  }
  EXPECT_TRUE(std::ranges::all_of(found, [](int times) { return times == 1; }));
}

TEST(TileShuffle, LocalMovesPixelsInsideEachTileAndLeavesTheRest) {
  const auto op = shuffle("local", "3");
  const Image image = numbered({14, 10});
  const Image made = applied(*op, "tile_shuffle", {1, 77}, image);
  EXPECT_EQ(crop(made, {9, 0, 1, 14}), crop(image, {9, 0, 1, 14}));
  EXPECT_EQ(crop(made, {0, 12, 10, 2}), crop(image, {0, 12, 10, 2}));
  for (int place = 0; place < 9; ++place) {
    const Box box{place % 3 * 3, place / 3 * 4, 3, 4};
    Image before = crop(image, box);
    Image after = crop(made, box);
    EXPECT_NE(before, after) << place;
    std::ranges::sort(after.values<std::uint16_t>());
    EXPECT_EQ(before, after) << place;  // numbers ascend along the rows
  }
}

TEST(TileShuffle, LocalTilesHavePermutationsOfTheirOwn) {
  const Image image = numbered({8, 8});
  const Image made = applied(*shuffle("local", "2"), "tile_shuffle", {1, 5}, image);
  Image second = crop(made, {4, 0, 4, 4});
  for (auto& value : second.values<std::uint16_t>()) {
    value = static_cast<std::uint16_t>(value - 4);
  }
  EXPECT_NE(second, crop(made, {0, 0, 4, 4}));
}

TEST(TileShuffle, PicturesSmallerThanTheGridStay) {
  for (const std::string mode : {"global", "local"}) {
    const Image image = numbered({3, 40});
    EXPECT_EQ(applied(*shuffle(mode), "tile_shuffle", {1, 5}, image), image);
  }
}

TEST(TileShuffle, AllPixelSizesAreMovedAlike) {
  for (const std::string mode : {"global", "local"}) {
    const auto op = shuffle(mode);
    const Image numbers = applied(*op, "tile_shuffle", {1, 5}, numbered({17, 14}));
    for (const auto type : kTypes) {
      for (const int bands : {1, 3, 5}) {
        const Image image = noise({17, 14}, bands, type);
        const Image made = applied(*op, "tile_shuffle", {1, 5}, image);
        const std::size_t pixel = static_cast<std::size_t>(bands) * bytes_per_value(type);
        for (std::size_t i = 0; i < numbers.value_count(); ++i) {
          const std::size_t from = numbers.values<std::uint16_t>()[i];
          ASSERT_TRUE(std::ranges::equal(made.bytes().subspan(i * pixel, pixel),
                                         image.bytes().subspan(from * pixel, pixel)));
        }
      }
    }
  }
}

TEST(TileShuffle, PointsAndMasksGoWhereTheirPixelsGo) {
  constexpr ImageSize kSize{14, 10};
  for (const std::string mode : {"global", "local"}) {
    const auto op = shuffle(mode, "3");
    const auto record = make_record("tile_shuffle", {1, 77});
    const Image image = numbered(kSize);
    const Image made = applied(*op, record, image);
    EXPECT_EQ(mask_of(*op, record, image), made);
    for (std::uint16_t pixel = 0; pixel < 140; ++pixel) {
      const Point from = center_of(image, pixel);
      const Point expected = center_of(made, pixel);
      const Point moved = op->move(record, Point{from.x + 0.25, from.y - 0.5}, kSize);
      EXPECT_EQ(moved.x, expected.x + 0.25) << mode << " " << pixel;
      EXPECT_EQ(moved.y, expected.y - 0.5) << mode << " " << pixel;
    }
    for (const Point outside : {Point{-1.0, 3.0}, Point{3.0, -0.5}, Point{9.5, 3.0},
                                Point{3.0, 13.0}, Point{20.0, 30.0}}) {
      EXPECT_EQ(op->move(record, outside, kSize).x, outside.x);
      EXPECT_EQ(op->move(record, outside, kSize).y, outside.y);
    }
  }
}

// Rectangles of whole pixels: the hull of the places of their pixels.
TEST(TileShuffle, RectanglesBecomeTheHullOfTheirPieces) {
  constexpr ImageSize kSize{14, 10};
  for (const std::string mode : {"global", "local"}) {
    const auto op = shuffle(mode, "3");
    const auto record = make_record("tile_shuffle", {1, 77});
    const Image image = numbered(kSize);
    const Image made = applied(*op, record, image);
    for (const Box box : {Box{0, 0, 10, 14}, Box{1, 1, 1, 1}, Box{2, 3, 3, 2}, Box{8, 11, 2, 3},
                          Box{3, 4, 3, 4}, Box{9, 2, 1, 4}, Box{0, 12, 4, 2}}) {
      Rect hull{100, 100, -100, -100};
      const Image pixels = crop(image, box);
      for (const std::uint16_t pixel : pixels.values<std::uint16_t>()) {
        const Point at = center_of(made, pixel);
        hull = {std::min(hull.left, at.x - 0.5), std::min(hull.top, at.y - 0.5),
                std::max(hull.right, at.x + 0.5), std::max(hull.bottom, at.y + 0.5)};
      }
      const Rect moved = op->move(
          record,
          Rect{static_cast<double>(box.x), static_cast<double>(box.y),
               static_cast<double>(box.x + box.width), static_cast<double>(box.y + box.height)},
          kSize);
      EXPECT_EQ(moved.left, hull.left) << mode << " " << box.x << " " << box.y;
      EXPECT_EQ(moved.top, hull.top) << mode << " " << box.x << " " << box.y;
      EXPECT_EQ(moved.right, hull.right) << mode << " " << box.x << " " << box.y;
      EXPECT_EQ(moved.bottom, hull.bottom) << mode << " " << box.x << " " << box.y;
    }
  }
}

TEST(TileShuffle, PartsOfPixelsAndWhatLiesOutsideStayInTheHull) {
  const auto op = shuffle("global", "1");  // one tile: nothing moves
  const Rect rect{-2.5, 1.25, 11.5, 13.75};
  const Rect moved = op->move(make_record("tile_shuffle", {1, 5}), rect, {14, 10});
  EXPECT_EQ(moved.left, rect.left);
  EXPECT_EQ(moved.top, rect.top);
  EXPECT_EQ(moved.right, rect.right);
  EXPECT_EQ(moved.bottom, rect.bottom);
}

}  // namespace
}  // namespace viewfold
