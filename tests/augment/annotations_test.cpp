// Masks, boxes and keypoints must be where the pixels are that they belong to: over every operation
// in the table, over random pipelines, and in closed form.
#include "viewfold/augment/annotations.hpp"

#include <array>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "augment/operations.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

constexpr ImageSize kSource{96, 120};
constexpr int kClass = 7;

PipelineStep make_step(const std::string& op, const Settings& settings) {
  PipelineStep step{.op = op, .config = find_augmentation(op).config()};
  ConfigSource source;
  std::set<std::string> given;
  for (const auto& [key, text] : settings) {
    source.set(key, text, "test");
    given.insert(key);
  }
  // Whatever is not set: it happens always, and views are about as large as the parts of the source
  // that they show.
  for (const auto& field : describe_config(*step.config)) {
    if (field.key == "probability" && !given.contains(field.key)) {
      source.set(field.key, "1", "test");
    } else if (field.key == "size" && !given.contains(field.key)) {
      source.set(field.key, "64", "test");
    }
  }
  read_config(*step.config, source);
  return step;
}

struct Variant {
  std::string op;
  Settings settings;
};

// Every operation in the table, and what some can do beside their defaults.
std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const auto& entry : augmentation_table()) {
    all.push_back({std::string(entry.name), {}});
  }
  all.push_back({"affine", {{"degrees", "180"}, {"scale_min", "0.6"}, {"scale_max", "1.6"}}});
  all.push_back({"affine",
                 {{"shear_x", "30"},
                  {"shear_y", "20"},
                  {"scale_min", "2"},  // no pixel is passed over, not even a single dot
                  {"scale_max", "2.5"},
                  {"interpolation", "nearest"}}});
  all.push_back({"rotation", {{"degrees", "180"}}});
  all.push_back({"center_crop", {{"size", "33"}}});
  all.push_back({"resize", {{"antialias", "false"}}});
  all.push_back({"random_resized_crop", {{"scale_min", "0.3"}, {"interpolation", "bicubic"}}});
  all.push_back({"tile_shuffle", {{"mode", "local"}, {"grid", "5"}}});
  return all;
}

// A picture of a size with each pixel set by value(y, x) in all bands.
template <class Value>
Image painted(ImageSize size, int bands, const Value& value) {
  Image image(size.height, size.width, bands);
  auto to = image.values<std::uint8_t>().begin();
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      to = std::fill_n(to, bands, static_cast<std::uint8_t>(value(y, x)));
    }
  }
  return image;
}

int at(const Image& image, int y, int x) {
  const auto i = static_cast<std::size_t>((y * image.width() + x) * image.bands());
  return image.values<std::uint8_t>()[i];
}

ImageSize size_of(const Image& image) {
  return {image.height(), image.width()};
}

// A white ellipse on black, its mask and the box around it.
struct Scene {
  Image image;
  Annotations known;
};

Scene random_scene(Rng& rng) {
  const double a = rng.uniform(12.0, 30.0);
  const double b = rng.uniform(12.0, 30.0);
  const double x0 = rng.uniform(a, kSource.width - a);
  const double y0 = rng.uniform(b, kSource.height - b);
  const auto inside = [=](int y, int x) {
    const double dx = (x + 0.5 - x0) / a;
    const double dy = (y + 0.5 - y0) / b;
    return dx * dx + dy * dy < 1.0;
  };
  Scene scene{.image = painted(kSource, 3, [&](int y, int x) { return inside(y, x) ? 255 : 0; }),
              .known = {}};
  scene.known.mask = painted(kSource, 1, [&](int y, int x) { return inside(y, x) ? kClass : 0; });
  scene.known.boxes = {{x0 - a, y0 - b, x0 + a, y0 + b}};
  return scene;
}

Image is_class(const Image& mask) {
  return painted(size_of(mask), 1, [&](int y, int x) { return at(mask, y, x) == kClass; });
}

Image is_white(const Image& view) {
  return painted(size_of(view), 1, [&](int y, int x) { return at(view, y, x) >= 128; });
}

// Counts the set pixels in squares, from sums over all rectangles at the upper left corner.
class Squares {
 public:
  explicit Squares(const Image& set)
      : height_(set.height()),
        width_(set.width()),
        sums_(static_cast<std::size_t>((height_ + 1) * (width_ + 1))) {
    const auto values = set.values<std::uint8_t>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const int y = static_cast<int>(i) / width_;
      const int x = static_cast<int>(i) % width_;
      sum(y + 1, x + 1) = values[i] + sum(y, x + 1) + sum(y + 1, x) - sum(y, x);
    }
  }

  // Those up to `rim` pixels around one; outside of the picture none is set.
  int around(int y, int x, int rim) {
    const int top = std::max(0, y - rim);
    const int left = std::max(0, x - rim);
    const int bottom = std::min(height_, y + rim + 1);
    const int right = std::min(width_, x + rim + 1);
    return sum(bottom, right) - sum(top, right) - sum(bottom, left) + sum(top, left);
  }

 private:
  int& sum(int y, int x) { return sums_[static_cast<std::size_t>(y * (width_ + 1) + x)]; }

  int height_;
  int width_;
  std::vector<int> sums_;
};

// The pixels that belong to a set square of 2 * rim + 1: without slivers along a border, which a
// mask may show or not.
Image without_slivers(const Image& set, int rim) {
  const int all = (2 * rim + 1) * (2 * rim + 1);
  Squares squares(set);
  Squares whole(
      painted(size_of(set), 1, [&](int y, int x) { return squares.around(y, x, rim) == all; }));
  return painted(size_of(set), 1, [&](int y, int x) { return whole.around(y, x, rim) > 0; });
}

int count(const Image& set) {
  int sum = 0;
  for (const auto value : set.values<std::uint8_t>()) {
    sum += value;
  }
  return sum;
}

// Pixels of one set that have no pixel of the other within a rim.
int count_astray(const Image& set, const Image& other, int rim) {
  const Image thick = without_slivers(set, rim);
  Squares near(other);
  return count(painted(size_of(set), 1, [&](int y, int x) {
    return at(thick, y, x) != 0 && near.around(y, x, rim) == 0;
  }));
}

// The largest factor by which an operation stretches distances at the middle of a picture.
double enlargement(const Augmentation& op, const OpRecord& record, ImageSize before) {
  constexpr double kStep = 0.25;  // stays on one pixel: pixels may be shuffled
  const Point middle{before.width / 2 + 0.5, before.height / 2 + 0.5};
  const auto from = op.move(record, middle, before);
  const auto right = op.move(record, Point{middle.x + kStep, middle.y}, before);
  const auto below = op.move(record, Point{middle.x, middle.y + kStep}, before);
  const double a = (right.x - from.x) / kStep;
  const double b = (below.x - from.x) / kStep;
  const double c = (right.y - from.y) / kStep;
  const double d = (below.y - from.y) / kStep;
  const double sum = a * a + b * b + c * c + d * d;
  const double determinant = a * d - b * c;
  return std::sqrt((sum + std::sqrt(sum * sum - 4.0 * determinant * determinant + 1e-9)) / 2.0);
}

// By how many pixels of the view a mask may be off. At every step it takes whole pixels, half a
// pixel off at most, and later steps may enlarge what has been lost before: one pixel after one or
// two steps.
int rim_of(const Pipeline& pipeline, std::span<const OpRecord> records, ImageSize size) {
  double off = 0.0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto& op = *pipeline.ops()[i];
    off = off * enlargement(op, records[i], size) + 0.5;
    size = op.size_after(size);
  }
  return std::max(1, static_cast<int>(std::ceil(off - 1e-3)));
}

struct Made {
  std::vector<OpRecord> records;
  Image view;
  MovedAnnotations moved;
};

Image view_of(const Pipeline& pipeline, std::span<const OpRecord> records, const Image& image) {
  Canvas canvas;
  canvas.start(image);
  pipeline.apply(records, canvas);
  return canvas.image();
}

double share(const Image& image, int low, int high) {
  return count(painted(
             size_of(image), 1,
             [&](int y, int x) { return at(image, y, x) >= low && at(image, y, x) <= high; })) /
         (static_cast<double>(image.height()) * image.width());
}

// Judged without looking at places: what is black must stay so, what is white must not get lost,
// and there must be little gray in the view of a picture of both halves.
bool keeps_colors(const Pipeline& pipeline, std::span<const OpRecord> records, ImageSize size) {
  const auto view = [&](int left, int right) {
    return view_of(pipeline, records,
                   painted(size, 3, [&](int, int x) { return x < size.width / 2 ? left : right; }));
  };
  return share(view(0, 0), 0, 0) == 1.0 && share(view(255, 255), 240, 255) > 0.0 &&
         share(view(255, 0), 16, 239) < 0.2;
}

Made make(const Pipeline& pipeline,
          std::uint32_t sample,
          const Image& image,
          const Annotations& known) {
  const auto size = size_of(image);
  const auto records = pipeline.sample({.seed = 11, .stream = "view", .sample = sample}, size);
  return {records, view_of(pipeline, records, image),
          move_annotations(pipeline, records, known, size)};
}

Pipeline pipeline_of(const std::vector<Variant>& chosen) {
  std::vector<PipelineStep> steps;
  for (const auto& each : chosen) {
    steps.push_back(make_step(each.op, each.settings));
  }
  return Pipeline(steps);
}

std::string text_of(const std::vector<Variant>& chosen) {
  std::string text;
  for (const auto& each : chosen) {
    text += each.op + " ";
    for (const auto& [key, value] : each.settings) {
      text += key + "=" + value + " ";
    }
  }
  return text;
}

// Whether the operation changes a mask of classes in some of its views.
bool moves_pixels(const Variant& variant) {
  const Image mask = testing::noise(kSource, 1, PixelType::kUint8);
  Annotations known;
  known.mask = mask;
  const auto pipeline = pipeline_of({variant});
  for (std::uint32_t sample = 0; sample < 4; ++sample) {
    if (make(pipeline, sample, mask, known).moved.mask != mask) {
      return true;
    }
  }
  return false;
}

std::vector<Variant> moving_variants() {
  std::vector<Variant> moving;
  for (const auto& variant : variants()) {
    // The policies change colours as well: policy_test.cpp.
    if (moves_pixels(variant) && !variant.op.ends_with("_augment")) {
      moving.push_back(variant);
    }
  }
  return moving;
}

// The mask must be where the picture is white, and the box around the mask. Returns how many pixels
// of the mask were compared.
int expect_aligned(const Pipeline& pipeline, std::uint32_t sample) {
  Rng rng({.seed = 12, .stream = "scene", .sample = sample});
  const auto scene = random_scene(rng);
  const auto made = make(pipeline, sample, scene.image, scene.known);
  if (!keeps_colors(pipeline, made.records, kSource)) {
    return 0;
  }
  const int rim = rim_of(pipeline, made.records, kSource);
  const Image mask = is_class(*made.moved.mask);
  const Image white = is_white(made.view);
  EXPECT_EQ(size_of(mask), size_of(white));
  EXPECT_EQ(count_astray(mask, white, rim), 0);
  EXPECT_EQ(count_astray(white, mask, rim), 0);
  const auto& [box, kept] = made.moved.boxes.at(0);
  const Image thick = without_slivers(mask, rim);
  const Image astray = painted(size_of(mask), 1, [&](int y, int x) {
    const bool inside = x + 0.5 >= box.left - rim && x + 0.5 <= box.right + rim &&
                        y + 0.5 >= box.top - rim && y + 0.5 <= box.bottom + rim;
    return at(thick, y, x) != 0 && (kept == 0.0 || !inside);
  });
  EXPECT_EQ(count(astray), 0) << "outside of the box";
  return count(thick);
}

TEST(Annotations, MasksAndBoxesFollowEveryOperationThatMovesPixels) {
  std::set<std::string> seen;
  for (const auto& variant : moving_variants()) {
    seen.insert(variant.op);
    const auto pipeline = pipeline_of({variant});
    int compared = 0;
    for (std::uint32_t sample = 0; sample < 30 && !HasFailure(); ++sample) {
      SCOPED_TRACE(fmt::format("{}sample {}", text_of({variant}), sample));
      compared += expect_aligned(pipeline, sample);
    }
    EXPECT_GT(compared, 1000) << variant.op;
  }
  for (const std::string name :
       {"affine", "center_crop", "horizontal_flip", "random_resized_crop", "rotation"}) {
    EXPECT_TRUE(seen.contains(name)) << name;
  }
}

TEST(Annotations, MasksAndBoxesFollowRandomPipelines) {
  auto moving = moving_variants();
  // Where a later step mixes shuffled pixels they are neither white nor black.
  std::erase_if(moving, [](const Variant& each) {
    return text_of({each}).find("local") != std::string::npos;
  });
  int compared = 0;
  for (std::uint32_t sample = 0; sample < 150 && !HasFailure(); ++sample) {
    Rng rng({.seed = 13, .stream = "pipelines", .sample = sample});
    std::vector<Variant> chosen;
    const auto order = rng.permutation(static_cast<std::uint32_t>(moving.size()));
    for (std::size_t i = 0; i < 2 + rng.below(3); ++i) {
      chosen.push_back(moving[order[i]]);
    }
    SCOPED_TRACE(fmt::format("{}sample {}", text_of(chosen), sample));
    compared += expect_aligned(pipeline_of(chosen), sample);
  }
  EXPECT_GT(compared, 50000);
}

TEST(Annotations, MasksFollowExactlyWherePixelsAreNotMixed) {
  for (const auto& variant : moving_variants()) {
    const std::set<std::string> exact = {"horizontal_flip", "vertical_flip", "tile_shuffle"};
    const bool nearest = text_of({variant}).find("nearest") != std::string::npos;
    if (!nearest && !exact.contains(variant.op)) {
      continue;
    }
    const auto pipeline = pipeline_of({variant});
    const Image classes = testing::noise(kSource, 1, PixelType::kUint8);
    Annotations known;
    known.mask = classes;
    for (std::uint32_t sample = 0; sample < 20; ++sample) {
      const auto made = make(pipeline, sample, classes, known);
      ASSERT_EQ(*made.moved.mask, made.view) << text_of({variant});
    }
  }
}

TEST(Annotations, NoOperationInventsAClass) {
  const auto classes = [](int y, int x) { return std::array{0, 3, 200}.at((y / 7 + x / 5) % 3U); };
  Annotations known;
  known.mask = painted(kSource, 1, classes);
  for (const auto& variant : variants()) {
    const auto pipeline = pipeline_of({variant});
    for (std::uint32_t sample = 0; sample < 10; ++sample) {
      const auto made = make(pipeline, sample, painted(kSource, 3, classes), known);
      EXPECT_EQ(size_of(*made.moved.mask), size_of(made.view));
      for (const auto value : made.moved.mask->values<std::uint8_t>()) {
        ASSERT_TRUE(value == 0 || value == 3 || value == 200) << text_of({variant});
      }
    }
  }
}

TEST(Annotations, WideMasksFollowAsNarrowOnes) {
  for (const auto& variant : moving_variants()) {
    const auto pipeline = pipeline_of({variant});
    Annotations narrow;
    narrow.mask = testing::noise(kSource, 1, PixelType::kUint8);
    Annotations wide;
    wide.mask = convert_type(*narrow.mask, PixelType::kUint16);
    const auto a = make(pipeline, 1, *narrow.mask, narrow);
    const auto b = make(pipeline, 1, *narrow.mask, wide);
    EXPECT_EQ(convert_type(*a.moved.mask, PixelType::kUint16), *b.moved.mask) << variant.op;
  }
}

// The value that most pixels have.
int background_of(const Image& image) {
  std::array<int, 256> counts{};
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      ++counts.at(static_cast<std::size_t>(at(image, y, x)));
    }
  }
  return static_cast<int>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

// The middle of the pixels that differ most from the background, and how many these are.
struct Dot {
  Point middle;
  int pixels = 0;
};

Dot most_different(const Image& image) {
  const int background = background_of(image);
  Point sum;
  int pixels = 1;
  int most = 0;
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      const int difference = std::abs(at(image, y, x) - background);
      if (difference > most) {
        most = difference;
        sum = {};
        pixels = 0;
      }
      if (difference == most) {
        sum = {sum.x + x + 0.5, sum.y + y + 0.5};
        ++pixels;
      }
    }
  }
  return {{sum.x / pixels, sum.y / pixels}, pixels};
}

// Whether what is seen at a point comes from the source: not so where an operation has covered it.
bool uncovered(const Image& moved_ones, const Point& point) {
  return at(moved_ones, static_cast<int>(point.y), static_cast<int>(point.x)) == 1;
}

bool well_inside(const Point& point, ImageSize size) {
  return point.x >= 1.0 && point.y >= 1.0 && point.x <= size.width - 1.0 &&
         point.y <= size.height - 1.0;
}

// Also of the operations that move nothing: the dot must stay where it is.
TEST(Annotations, KeypointsLandOnTheMovedDotOfEveryOperation) {
  for (const auto& variant : variants()) {
    const auto pipeline = pipeline_of({variant});
    int compared = 0;
    for (std::uint32_t sample = 0; sample < 60; ++sample) {
      Rng rng({.seed = 14, .stream = "scene", .sample = sample});
      const int dot_y = static_cast<int>(rng.below(kSource.height));
      const int dot_x = static_cast<int>(rng.below(kSource.width));
      const Image image =
          painted(kSource, 3, [&](int y, int x) { return y == dot_y && x == dot_x ? 255 : 32; });
      Annotations known;
      known.mask = painted(kSource, 1, [](int, int) { return 1; });
      known.keypoints = {{dot_x + 0.5, dot_y + 0.5}};
      const auto made = make(pipeline, sample, image, known);
      const auto& [point, visible] = made.moved.keypoints.at(0);
      if (!well_inside(point, size_of(made.view)) || !uncovered(*made.moved.mask, point)) {
        continue;
      }
      EXPECT_TRUE(visible);
      const auto [dot, pixels] = most_different(made.view);
      if (pixels > 40) {  // some change of colours has made the dot as all the others
        continue;
      }
      ++compared;
      EXPECT_LE(std::abs(dot.x - point.x), 1.0) << text_of({variant}) << sample;
      EXPECT_LE(std::abs(dot.y - point.y), 1.0) << text_of({variant}) << sample;
    }
    EXPECT_GT(compared, 10) << text_of({variant});
  }
}

// One operation that has drawn these values.
MovedAnnotations moved_by(const Variant& variant,
                          std::initializer_list<float> values,
                          const Annotations& known,
                          ImageSize size) {
  return move_annotations(pipeline_of({variant}),
                          std::array{make_record(OperationId(operation_id(variant.op)), values)},
                          known, size);
}

void expect_box(const MovedBox& moved, const Rect& box, double kept) {
  EXPECT_NEAR(moved.box.left, box.left, 1e-9);
  EXPECT_NEAR(moved.box.top, box.top, 1e-9);
  EXPECT_NEAR(moved.box.right, box.right, 1e-9);
  EXPECT_NEAR(moved.box.bottom, box.bottom, 1e-9);
  EXPECT_NEAR(moved.kept, kept, 1e-9);
}

void expect_point(const MovedKeypoint& moved, const Point& point, bool visible) {
  EXPECT_NEAR(moved.point.x, point.x, 1e-9);
  EXPECT_NEAR(moved.point.y, point.y, 1e-9);
  EXPECT_EQ(moved.visible, visible);
}

TEST(Annotations, AFlipMirrorsThem) {
  Annotations known;
  known.mask = testing::noise({4, 10}, 1, PixelType::kUint8);
  known.boxes = {{1, 0, 3, 4}};
  known.keypoints = {{2.5, 1.5}};
  const auto moved = moved_by({"horizontal_flip", {}}, {1}, known, {4, 10});
  expect_box(moved.boxes[0], {7, 0, 9, 4}, 1.0);
  expect_point(moved.keypoints[0], {7.5, 1.5}, true);
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 10; ++x) {
      EXPECT_EQ(at(*moved.mask, y, x), at(*known.mask, y, 9 - x));
    }
  }
}

TEST(Annotations, AnOperationThatDoesNotHappenLeavesThem) {
  Annotations known;
  known.mask = testing::noise({4, 10}, 1, PixelType::kUint8);
  known.boxes = {{1, 0, 3, 4}};
  known.keypoints = {{2.5, 1.5}};
  for (const std::string op : {"horizontal_flip", "rotation", "affine"}) {
    const auto moved = moved_by({op, {}}, {0, 30, 0, 0, 1, 0, 0}, known, {4, 10});
    EXPECT_EQ(*moved.mask, *known.mask);
    expect_box(moved.boxes[0], {1, 0, 3, 4}, 1.0);
    expect_point(moved.keypoints[0], {2.5, 1.5}, true);
  }
}

TEST(Annotations, AQuarterTurnIsExact) {
  Annotations known;
  known.mask = testing::noise({9, 9}, 1, PixelType::kUint8);
  known.boxes = {{1, 2, 4, 8}};
  known.keypoints = {{8.5, 0.5}};
  const auto moved = moved_by({"rotation", {}}, {1, 90}, known, {9, 9});
  expect_box(moved.boxes[0], {2, 5, 8, 8}, 1.0);  // counter-clockwise: right becomes up
  expect_point(moved.keypoints[0], {0.5, 0.5}, true);
  for (int y = 0; y < 9; ++y) {
    for (int x = 0; x < 9; ++x) {
      EXPECT_EQ(at(*moved.mask, y, x), at(*known.mask, x, 8 - y));
    }
  }
}

TEST(Annotations, ATurnByAnEighthMakesABoxGrowAndTheRimCutsIt) {
  Annotations known;
  known.boxes = {{40, 40, 60, 60}, {0, 0, 100, 100}};
  const auto moved = moved_by({"rotation", {}}, {1, 45}, known, {100, 100});
  const double half = 10.0 * std::sqrt(2.0);
  expect_box(moved.boxes[0], {50 - half, 50 - half, 50 + half, 50 + half}, 1.0);
  expect_box(moved.boxes[1], {0, 0, 100, 100}, 0.5);  // the hull has twice the area
}

TEST(Annotations, ACropScalesThemAndReportsWhatItCutsAway) {
  Annotations known;
  known.mask = painted({60, 80}, 1, [](int y, int x) { return 100 * (y >= 30) + (x >= 30); });
  known.boxes = {{20, 30, 40, 50}, {0, 25, 20, 35}, {0, 0, 9, 60}, {0, 0, 80, 60}};
  known.keypoints = {{10, 20}, {30, 40}, {50, 60}, {9, 40}};
  // The box x 10, y 20, width 40, height 40 becomes 20 x 20.
  const auto moved = moved_by({"random_resized_crop", {{"size", "20"}}}, {10, 20, 40, 40, 60, 80},
                              known, {60, 80});
  expect_box(moved.boxes[0], {5, 5, 15, 15}, 1.0);
  expect_box(moved.boxes[1], {0, 2.5, 5, 7.5}, 0.5);
  expect_box(moved.boxes[2], {}, 0.0);
  expect_box(moved.boxes[3], {0, 0, 20, 20}, 1600.0 / 4800.0);
  expect_point(moved.keypoints[0], {0, 0}, true);
  expect_point(moved.keypoints[1], {10, 10}, true);
  expect_point(moved.keypoints[2], {20, 20}, false);  // the first pixel beyond the corner
  expect_point(moved.keypoints[3], {-0.5, 10}, false);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 20; ++x) {
      EXPECT_EQ(at(*moved.mask, y, x), 100 * (y >= 5) + (x >= 10));
    }
  }
}

TEST(Annotations, ACentralSquareScalesThem) {
  Annotations known;
  known.mask = painted({40, 60}, 1, [](int y, int x) { return 100 * (y >= 20) + (x >= 24); });
  known.boxes = {{0, 0, 20, 40}};
  known.keypoints = {{30, 20}, {9, 20}};
  const auto moved = moved_by({"center_crop", {{"size", "20"}}}, {40, 60}, known, {40, 60});
  expect_box(moved.boxes[0], {0, 0, 5, 20}, 0.5);
  expect_point(moved.keypoints[0], {10, 10}, true);
  expect_point(moved.keypoints[1], {-0.5, 10}, false);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 20; ++x) {
      EXPECT_EQ(at(*moved.mask, y, x), 100 * (y >= 10) + (x >= 7));
    }
  }
}

TEST(Annotations, WhatHasLeftDoesNotComeBack) {
  Annotations known;
  known.mask = painted({10, 10}, 1, [](int, int x) { return x >= 5; });
  known.boxes = {{6, 0, 10, 10}, {0, 0, 10, 10}};
  known.keypoints = {{7.5, 5.0}, {2.5, 5.0}};
  const Pipeline there_and_back = pipeline_of({{"affine", {}}, {"affine", {}}});
  const std::array records = {make_record("affine", {1, 0, 5, 0, 1, 0, 0}),
                              make_record("affine", {1, 0, -5, 0, 1, 0, 0})};
  const auto moved = move_annotations(there_and_back, records, known, {10, 10});
  expect_box(moved.boxes[0], {}, 0.0);
  expect_box(moved.boxes[1], {0, 0, 5, 10}, 0.5);
  expect_point(moved.keypoints[0], {7.5, 5.0}, false);
  expect_point(moved.keypoints[1], {2.5, 5.0}, true);
  EXPECT_EQ(*moved.mask, Image(10, 10, 1));
}

TEST(Annotations, WhatLiesOutsideFromTheBeginningIsCut) {
  Annotations known;
  known.boxes = {{-5, 2, 5, 4}};
  known.keypoints = {{10.0, 3.0}};
  const auto moved = move_annotations(pipeline_of({}), {}, known, {10, 10});
  expect_box(moved.boxes[0], {0, 2, 5, 4}, 0.5);
  expect_point(moved.keypoints[0], {10.0, 3.0}, false);
  EXPECT_FALSE(moved.mask.has_value());
}

TEST(Annotations, RefusesWhatDoesNotFit) {
  const Pipeline pipeline = pipeline_of({{"rotation", {}}});
  const std::array records = {make_record("rotation", {1, 30})};
  const auto refuses = [&](const Annotations& known) {
    EXPECT_THROW((void)move_annotations(pipeline, records, known, {8, 9}), ContractViolation);
  };
  refuses({.mask = Image(9, 8, 1), .boxes = {}, .keypoints = {}});
  refuses({.mask = Image(8, 9, 3), .boxes = {}, .keypoints = {}});
  refuses({.mask = Image(8, 9, 1, PixelType::kFloat32), .boxes = {}, .keypoints = {}});
  refuses({.mask = {}, .boxes = {{4, 1, 4, 2}}, .keypoints = {}});
  refuses({.mask = {}, .boxes = {{1, 5, 2, 3}}, .keypoints = {}});
  EXPECT_THROW((void)move_annotations(pipeline, {}, {}, {8, 9}), ContractViolation);
}

}  // namespace
}  // namespace viewfold
