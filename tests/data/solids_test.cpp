// Tests of the rendered solids.
#include "viewfold/data/solids.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numbers>

#include "data/sample_sets.hpp"
#include <fmt/format.h>

#include "viewfold/core/thread_pool.hpp"
#include "viewfold/data/detail/paths.hpp"
#include "viewfold/data/survey.hpp"

namespace viewfold {
namespace {

using testing::open_at;
using testing::open_error;
using Names = std::vector<std::string>;

constexpr double kPi = std::numbers::pi;

int number_of(std::string_view solid) {
  const auto place = std::find(kSolidNames.begin(), kSolidNames.end(), solid);
  EXPECT_NE(place, kSolidNames.end()) << solid;
  return static_cast<int>(place - kSolidNames.begin());
}

// A gray solid in the middle, lit from the viewer.
SolidScene plain(std::string_view solid, const SolidPose& pose = {}) {
  return {.solid = number_of(solid),
          .pose = pose,
          .light = {.azimuth = 0.0, .elevation = 0.0, .intensity = 0.5},
          .background = {},
          .position = {.x = 0.0, .y = 0.0, .scale = 0.75},
          .colour = {0.8, 0.8, 0.8}};
}

// The gray level of the plain solid's surface where the cosine of its normal and the light is this.
int level(double cosine) {
  return static_cast<int>(
      std::lround(255.0 * 0.8 * (SolidLight::kAmbient + 0.5 * std::max(0.0, cosine))));
}

int value(const Image& image, int row, int column, int band = 0) {
  return image.values<std::uint8_t>()[static_cast<std::size_t>(
      (row * image.width() + column) * image.bands() + band)];
}

// Area of the silhouette in a picture of 256 pixels, where the solid's ball has the radius 1.
double seen_area(const SolidScene& scene) {
  const Image silhouette = solid_silhouette(scene, 256);
  double covered = 0.0;
  for (const std::uint8_t share : silhouette.values<std::uint8_t>()) {
    covered += share / 255.0;
  }
  const double radius = 0.5 * scene.position.scale * 256.0;
  return covered / (radius * radius);
}

// Where the solid is and how it is spread, in pixels.
struct Moments {
  double mass = 0.0;
  double x = 0.0;
  double y = 0.0;
  double xx = 0.0;
  double xy = 0.0;
  double yy = 0.0;
};

Moments moments_of(const Image& silhouette) {
  Moments sums;
  for (int row = 0; row < silhouette.height(); ++row) {
    for (int column = 0; column < silhouette.width(); ++column) {
      const double share = value(silhouette, row, column) / 255.0;
      const double x = column + 0.5;
      const double y = row + 0.5;
      sums.mass += share;
      sums.x += share * x;
      sums.y += share * y;
      sums.xx += share * x * x;
      sums.xy += share * x * y;
      sums.yy += share * y * y;
    }
  }
  const double x = sums.x / sums.mass;
  const double y = sums.y / sums.mass;
  return {.mass = sums.mass,
          .x = x,
          .y = y,
          .xx = sums.xx / sums.mass - x * x,
          .xy = sums.xy / sums.mass - x * y,
          .yy = sums.yy / sums.mass - y * y};
}

TEST(Solids, HaveTwoSplitsTenClassesAndTheSizeThatIsAsked) {
  EXPECT_EQ(dataset_splits("solids"), (Names{"train", "test"}));
  const auto train = open_at("solids");
  const auto test = open_at("solids:48", "test");
  EXPECT_EQ(train->size(), 10'000U);
  EXPECT_EQ(test->size(), 2'000U);
  EXPECT_EQ(train->class_names(), Names(kSolidNames.begin(), kSolidNames.end()));
  EXPECT_EQ(train->name(17), "solids:32/train#17");
  EXPECT_EQ(test->name(1999), "solids:48/test#1999");
  const Image image = test->image(3);
  EXPECT_EQ(image, render_solid(draw_scene("test", 3), 48));
  EXPECT_EQ(image.height(), 48);
  EXPECT_EQ(image.width(), 48);
  EXPECT_EQ(image.bands(), 3);
  EXPECT_EQ(open_at("solids:16")->image(0).height(), 16);
  EXPECT_EQ(open_at("solids:256")->image(0).height(), 256);
}

TEST(Solids, RefuseOtherSizesSplitsAndIndices) {
  for (const std::string spec : {"solids:", "solids:15", "solids:257", "solids:-32", "solids:+32",
                                 "solids:32px", "solids: 32", "solids:99999999999", "solids:a\n"}) {
    const std::string message = open_error(spec);
    EXPECT_TRUE(message.starts_with(data::printable(spec) + ": ")) << message;
    EXPECT_NE(message.find("solids:SIZE with a side of 16 to 256 pixels"), std::string::npos)
        << message;
    EXPECT_THROW((void)dataset_splits(spec), DataError);
  }
  EXPECT_EQ(open_error("solids", "unlabeled"),
            "solids: has no split \"unlabeled\" (it has train, test)");
  EXPECT_NE(open_error("solid:64").find("did you mean \"solids:64\"?"), std::string::npos);
  const auto test = open_at("solids", "test");
  EXPECT_THROW((void)test->image(2'000), ContractViolation);
  EXPECT_THROW((void)test->name(2'000), ContractViolation);
  EXPECT_THROW((void)test->label(2'000), ContractViolation);
  EXPECT_THROW((void)draw_scene("val", 0), ContractViolation);
}

TEST(Solids, StandBeforeAWallOfOneColourWhereThatIsAsked) {
  const auto plain = open_dataset({.spec = "plain-solids:48", .split = "test"});
  const auto solids = open_dataset({.spec = "solids:48", .split = "test"});
  ASSERT_EQ(plain->size(), solids->size());
  EXPECT_EQ(plain->name(3), "plain-solids:48/test#3");
  EXPECT_EQ(open_dataset({.spec = "plain-solids", .split = "test"})->image(0).height(), 32);
  for (const std::size_t index : {0, 1, 2, 3}) {
    EXPECT_EQ(plain->label(index), solids->label(index));
    const auto silhouette = solid_silhouette(draw_scene("test", index), 48);
    const auto covered = silhouette.values<std::uint8_t>();
    const Image picture = plain->image(index);
    const Image textured = solids->image(index);
    const auto wall = picture.values<std::uint8_t>();
    const auto texture = textured.values<std::uint8_t>();
    bool differs = false;
    for (std::size_t i = 0; i < covered.size(); ++i) {
      for (std::size_t band = 0; band < 3; ++band) {
        if (covered[i] == 0) {
          EXPECT_EQ(wall[3 * i + band], wall[band]) << index << ", " << i;  // as the corner
          differs = differs || wall[3 * i + band] != texture[3 * i + band];
        } else if (covered[i] == 255) {
          EXPECT_EQ(wall[3 * i + band], texture[3 * i + band]) << index << ", " << i;
        }
      }
    }
    EXPECT_TRUE(differs) << index;
  }
  EXPECT_THROW((void)open_dataset({.spec = "plain-solids:3", .split = "test"}), DataError);
}

TEST(Solids, HaveTheSameBitsAgainAndFromTwoThreads) {
  const auto first = open_at("solids");
  const auto second = open_at("solids");
  std::vector<Image> images(40);
  parallel_for(images.size(), 2, [&](std::size_t i) { images[i] = first->image(i); });
  for (std::size_t i = images.size(); i-- > 0;) {
    EXPECT_EQ(images[i], second->image(i)) << i;
  }
}

TEST(Solids, AreTheSameInEveryVersionAndBuild) {
  // Names and 64 images of each. Results on other solids could not be compared.
  EXPECT_EQ(data_fingerprint(*open_at("solids")),
            "d355f9a7ba9bc0323252aca8f956f98bdf5724c72aa5b780470477dc98c8c423");
  EXPECT_EQ(data_fingerprint(*open_at("solids", "test")),
            "92ad10a9acc037817aaa9e8a7e5bad8b25a40125d21a9e3f2c7491ba696a7b43");
}

TEST(Solids, HaveStampsThatTellSizesApart) {
  EXPECT_EQ(open_at("solids")->stamp(0), open_at("solids:32")->stamp(1));
  EXPECT_NE(open_at("solids")->stamp(0), open_at("solids:33")->stamp(0));
}

TEST(Solids, HaveLabelsThatAreTheSolidAndAboutEquallyManyOfEach) {
  const std::vector<int> labels = testing::labels_of(*open_at("solids"));
  std::map<int, int> counts;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    EXPECT_EQ(labels[i], draw_scene("train", i).solid);
    ++counts[labels[i]];
  }
  ASSERT_EQ(counts.size(), kSolidNames.size());
  for (const auto& [label, count] : counts) {
    EXPECT_NEAR(count, 1'000, 150) << label;  // five standard deviations of 10,000 draws
  }
}

// The numbers of a scene that are drawn from a range, beside it.
std::vector<std::pair<double, SolidRange>> drawn_numbers(const SolidScene& scene) {
  const auto brightest = [](const SolidColour& colour) {
    return *std::max_element(colour.begin(), colour.end());
  };
  return {{scene.pose.azimuth, SolidPose::kAzimuth},
          {scene.pose.elevation, SolidPose::kElevation},
          {scene.pose.roll, SolidPose::kRoll},
          {scene.light.azimuth, SolidLight::kAzimuth},
          {scene.light.elevation, SolidLight::kElevation},
          {scene.light.intensity, SolidLight::kIntensity},
          {static_cast<double>(scene.background.texture), {0.0, kSolidTextures}},
          {scene.background.period, SolidBackground::kPeriod},
          {scene.background.angle, SolidBackground::kAngle},
          {scene.background.phase, SolidBackground::kPhase},
          {brightest(scene.background.dark), {0.1, 0.35}},
          {brightest(scene.background.bright), {0.4, 0.75}},
          {scene.position.x, SolidPosition::kOffset},
          {scene.position.y, SolidPosition::kOffset},
          {scene.position.scale, SolidPosition::kScale},
          {brightest(scene.colour), {0.7, 1.0}}};
}

TEST(DrawScene, DrawsUniformlyInTheWholeRangeOfEveryFactor) {
  constexpr std::size_t kScenes = 4'000;
  std::vector<double> places(drawn_numbers({}).size());
  std::vector<std::array<int, 5>> fifths(places.size());
  for (std::size_t i = 0; i < kScenes; ++i) {
    const auto numbers = drawn_numbers(draw_scene("train", i));
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      const auto& [number, range] = numbers[k];
      ASSERT_GE(number, range.low) << k;
      ASSERT_LT(number, range.high) << k;
      ++fifths[k][static_cast<std::size_t>(5.0 * (number - range.low) / (range.high - range.low))];
    }
  }
  for (std::size_t k = 0; k < fifths.size(); ++k) {
    for (const int count : fifths[k]) {
      EXPECT_NEAR(count, 800, 127) << k;  // five standard deviations
    }
  }
}

TEST(DrawScene, DrawsNeitherAnotherFactorNorTheSolidFromTheSameNumbers) {
  constexpr std::size_t kScenes = 4'000;
  std::vector<std::vector<double>> columns;
  for (std::size_t i = 0; i < kScenes; ++i) {
    const SolidScene scene = draw_scene("train", i);
    auto numbers = drawn_numbers(scene);
    numbers.emplace_back(scene.solid, SolidRange{0.0, 10.0});
    columns.resize(numbers.size());
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      const auto& [number, range] = numbers[k];
      columns[k].push_back((number - range.low) / (range.high - range.low) - 0.5);
    }
  }
  for (std::size_t a = 0; a < columns.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      double product = 0.0;
      for (std::size_t i = 0; i < kScenes; ++i) {
        product += columns[a][i] * columns[b][i];
      }
      // Independent numbers have a correlation of 0 with a deviation of 1 / sqrt(4000) = 0.016.
      EXPECT_NEAR(12.0 * product / kScenes, 0.0, 0.08) << a << " " << b;
    }
  }
}

TEST(DrawScene, GivesTrainAndTestOtherScenes) {
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_NE(draw_scene("train", i).pose, draw_scene("test", i).pose);
    EXPECT_NE(draw_scene("train", i).pose, draw_scene("train", i + 1).pose);
  }
}

TEST(WithOther, ChangesOneFactorAlone) {
  const SolidScene scene = draw_scene("train", 5);
  Rng rng({.seed = 3, .stream = "test"});
  SolidScene posed = with_other_pose(scene, rng);
  SolidScene lit = with_other_light(scene, rng);
  SolidScene placed = with_other_background(scene, rng);
  SolidScene moved = with_other_position(scene, rng);
  EXPECT_NE(posed.pose, scene.pose);
  EXPECT_NE(lit.light, scene.light);
  EXPECT_NE(placed.background, scene.background);
  EXPECT_NE(moved.position, scene.position);
  posed.pose = scene.pose;
  lit.light = scene.light;
  placed.background = scene.background;
  moved.position = scene.position;
  EXPECT_EQ(posed, scene);
  EXPECT_EQ(lit, scene);
  EXPECT_EQ(placed, scene);
  EXPECT_EQ(moved, scene);
}

// Pixels that differ, among those the solid covers by exactly this share (0 .. 255).
int different_pixels(const SolidScene& a, const SolidScene& b, int share) {
  const Image silhouette = solid_silhouette(a, 32);
  const Image first = render_solid(a, 32);
  const Image second = render_solid(b, 32);
  int count = 0;
  for (int row = 0; row < 32; ++row) {
    for (int column = 0; column < 32; ++column) {
      const bool differs = value(first, row, column, 0) != value(second, row, column, 0) ||
                           value(first, row, column, 1) != value(second, row, column, 1) ||
                           value(first, row, column, 2) != value(second, row, column, 2);
      count += value(silhouette, row, column) == share && differs ? 1 : 0;
    }
  }
  return count;
}

TEST(WithOther, LightLeavesSilhouetteAndBackground) {
  Rng rng({.seed = 4, .stream = "test"});
  for (std::size_t i = 0; i < 30; ++i) {
    const SolidScene scene = draw_scene("test", i);
    const SolidScene other = with_other_light(scene, rng);
    EXPECT_EQ(solid_silhouette(scene, 32), solid_silhouette(other, 32));
    EXPECT_EQ(different_pixels(scene, other, 0), 0) << i;
    EXPECT_GT(different_pixels(scene, other, 255), 10) << i;
  }
}

TEST(WithOther, BackgroundLeavesSilhouetteAndSolid) {
  Rng rng({.seed = 5, .stream = "test"});
  for (std::size_t i = 0; i < 30; ++i) {
    const SolidScene scene = draw_scene("test", i);
    const SolidScene other = with_other_background(scene, rng);
    EXPECT_EQ(solid_silhouette(scene, 32), solid_silhouette(other, 32));
    EXPECT_EQ(different_pixels(scene, other, 255), 0) << i;
    EXPECT_GT(different_pixels(scene, other, 0), 300) << i;
  }
}

TEST(WithOther, PoseLeavesThePictureOfASphereAndOfNothingElse) {
  Rng rng({.seed = 6, .stream = "test"});
  for (int solid = 0; solid < static_cast<int>(kSolidNames.size()); ++solid) {
    SolidScene scene = draw_scene("test", 0);
    scene.solid = solid;
    const SolidScene other = with_other_pose(scene, rng);
    const Image first = solid_silhouette(scene, 64);
    const Image second = solid_silhouette(other, 64);
    int differing = 0;
    for (std::size_t i = 0; i < first.bytes().size(); ++i) {
      differing += first.bytes()[i] != second.bytes()[i] ? 1 : 0;
    }
    if (kSolidNames[static_cast<std::size_t>(solid)] == "sphere") {
      EXPECT_LE(differing, 2);  // points on the very edge may be rounded to either side
    } else {
      EXPECT_GT(differing, 60) << kSolidNames[static_cast<std::size_t>(solid)];
    }
  }
}

TEST(SolidSilhouette, HasTheAreaOfGeometry) {
  constexpr double kTilt = 35.0;
  const double se = std::sin(kTilt * kPi / 180.0);
  const double ce = std::cos(kTilt * kPi / 180.0);
  const SolidPose front{};
  const SolidPose above{.elevation = 90.0};
  const SolidPose tilted{.azimuth = 45.0, .elevation = kTilt, .roll = 10.0};
  const double half = std::numbers::sqrt2 / 2.0;
  struct Case {
    std::string_view solid;
    SolidPose pose;
    double area;
  };
  // A convex solid covers the sum of its faces, each times the cosine with which it is seen.
  for (const Case& c : std::vector<Case>{
           {"sphere", tilted, kPi * 0.75 * 0.75},
           {"cube", front, 1.14 * 1.14},
           {"cube", tilted, 1.14 * 1.14 * (2.0 * ce * half + se)},
           {"brick", front, 1.68 * 0.52},
           {"brick", tilted, ce * half * (1.68 * 0.52 + 0.92 * 0.52) + se * 1.68 * 0.92},
           {"cylinder", tilted, ce * 1.04 * 1.6 + se * kPi * 0.52 * 0.52},
           {"cone", front, 0.7 * 1.7},
           {"cone", above, kPi * 0.7 * 0.7},
           {"pyramid", front, 0.62 * 1.47},
           {"pyramid", {.azimuth = 45.0}, 0.62 * 1.47 * std::numbers::sqrt2},
           {"pyramid", above, 1.24 * 1.24},
           {"torus", above, kPi * (0.98 * 0.98 - 0.5 * 0.5)},
           {"torus", front, 4.0 * 0.74 * 0.24 + kPi * 0.24 * 0.24},
           // Between two curves at the distance 0.24 from an ellipse: twice that times its length.
           {"torus", tilted, 2.0 * 0.24 * 4.0 * 0.74 * std::comp_ellint_2(ce)},
           {"octahedron", front, 2.0},
           {"octahedron", above, 2.0},
           {"octahedron", {.azimuth = 45.0}, std::numbers::sqrt2},
           {"capsule", tilted, ce * 1.24 * 0.72 + kPi * 0.36 * 0.36},
           {"tetrahedron", above, 2.0 / std::numbers::sqrt3}}) {
    // Half a point at the edge, of about 6 radii: 6 x 96 x 2 points of 4 x 96 x 96 to the unit.
    EXPECT_NEAR(seen_area(plain(c.solid, c.pose)), c.area, 0.016) << c.solid << " " << c.area;
  }
}

TEST(SolidSilhouette, StaysAwayFromTheEdgeOfThePicture) {
  for (std::size_t i = 0; i < 60; ++i) {
    SolidScene scene = draw_scene("test", i);
    scene.position = {.x = SolidPosition::kOffset.low,
                      .y = SolidPosition::kOffset.high,
                      .scale = SolidPosition::kScale.high};
    const Moments held = moments_of(solid_silhouette(scene, 32));
    scene.position.x = 0.0;
    scene.position.y = 0.0;
    const Moments whole = moments_of(solid_silhouette(scene, 32));
    EXPECT_NEAR(held.mass, whole.mass, 0.05 * whole.mass) << i;  // else something is cut off
    EXPECT_NEAR(held.x, whole.x - 3.2, 0.2) << i;
    EXPECT_NEAR(held.y, whole.y + 3.2, 0.2) << i;
  }
}

TEST(SolidSilhouette, IsToldFromOthersByAFewMoments) {
  // Mass, both principal spreads and the share covered at the centre, free of position and scale.
  const auto features = [](const SolidScene& scene) {
    const Image silhouette = solid_silhouette(scene, 32);
    const Moments m = moments_of(silhouette);
    const double radius = 16.0 * scene.position.scale;
    const double mean = (m.xx + m.yy) / 2.0;
    const double half_gap = std::hypot((m.xx - m.yy) / 2.0, m.xy);
    return std::array<double, 4>{
        m.mass / (radius * radius), std::sqrt(mean + half_gap) / radius * 2.0,
        std::sqrt(mean - half_gap) / radius * 2.0,
        value(silhouette, static_cast<int>(m.y), static_cast<int>(m.x)) / 255.0};
  };
  std::vector<std::pair<std::array<double, 4>, int>> known;
  for (std::size_t i = 0; i < 600; ++i) {
    const SolidScene scene = draw_scene("train", i);
    known.emplace_back(features(scene), scene.solid);
  }
  std::map<int, std::pair<int, int>> right;  // and all, by solid
  for (std::size_t i = 0; i < 300; ++i) {
    const SolidScene scene = draw_scene("test", i);
    const auto own = features(scene);
    const auto distance = [&](const auto& other) {
      double sum = 0.0;
      for (std::size_t k = 0; k < own.size(); ++k) {
        sum += (own[k] - other.first[k]) * (own[k] - other.first[k]);
      }
      return sum;
    };
    const auto nearest =
        std::min_element(known.begin(), known.end(),
                         [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
    right[scene.solid].first += nearest->second == scene.solid ? 1 : 0;
    ++right[scene.solid].second;
  }
  ASSERT_EQ(right.size(), kSolidNames.size());
  for (const auto& [solid, counts] : right) {
    EXPECT_GE(counts.first, 0.8 * counts.second) << solid;  // by chance: 0.1
  }
}

TEST(RenderSolid, ShadesByTheCosineOfNormalAndLight) {
  SolidScene scene = plain("cube");
  EXPECT_EQ(value(render_solid(scene, 32), 16, 16), level(1.0));
  scene.light.azimuth = 60.0;
  EXPECT_EQ(value(render_solid(scene, 32), 16, 16), level(0.5));
  scene.light.elevation = 60.0;
  EXPECT_EQ(value(render_solid(scene, 32), 16, 16), level(0.25));
  scene.light.azimuth = 120.0;
  EXPECT_EQ(value(render_solid(scene, 32), 16, 16), level(0.0));
}

TEST(RenderSolid, HasLightFromTheRightAndFromAbove) {
  // Two sides of a cube that are seen alike: the light of 80 degrees meets one of them.
  SolidScene scene = plain("cube", {.azimuth = 45.0});
  scene.light.azimuth = 80.0;
  const Image from_right = render_solid(scene, 32);
  EXPECT_EQ(value(from_right, 16, 20), level(std::cos(35.0 * kPi / 180.0)));
  EXPECT_EQ(value(from_right, 16, 11), level(0.0));
  scene = plain("cube", {.elevation = 45.0});
  scene.light.elevation = 60.0;
  const Image from_above = render_solid(scene, 32);
  EXPECT_EQ(value(from_above, 11, 16), level(std::cos(15.0 * kPi / 180.0)));
  EXPECT_EQ(value(from_above, 20, 16), level(std::cos(105.0 * kPi / 180.0)));
}

TEST(RenderSolid, HasTheViewerAboveAtPositiveElevations) {
  // From above the slanted side of a cone is seen, from below its flat base.
  const double slanted = 0.7 / std::hypot(0.7, 1.7);
  EXPECT_EQ(value(render_solid(plain("cone", {.elevation = 90.0}), 64), 32, 40), level(slanted));
  EXPECT_EQ(value(render_solid(plain("cone", {.elevation = -90.0}), 64), 32, 40), level(1.0));
}

TEST(RenderSolid, TurnsTheFrontToTheRightAndRollsAnticlockwise) {
  // Lit from the right, the front of a cube gains light when it is turned to the right.
  SolidScene scene = plain("cube", {.azimuth = 20.0});
  scene.light.azimuth = 50.0;
  EXPECT_EQ(value(render_solid(scene, 32), 16, 16), level(std::cos(30.0 * kPi / 180.0)));
  // A cone on its side: more of it is where its base is.
  const Moments rolled = moments_of(solid_silhouette(plain("cone", {.roll = 90.0}), 64));
  const Moments upright = moments_of(solid_silhouette(plain("cone"), 64));
  EXPECT_NEAR(rolled.x - 32.0, upright.y - 32.0, 0.1);
  EXPECT_GT(rolled.x, 34.0);
  EXPECT_NEAR(rolled.y, 32.0, 0.1);
}

TEST(RenderSolid, HasEveryTextureInItsTwoColours) {
  for (int texture = 0; texture < kSolidTextures; ++texture) {
    SolidScene scene = plain("sphere");
    scene.background = {.texture = static_cast<SolidTexture>(texture),
                        .dark = {0.2, 0.1, 0.0},
                        .bright = {0.4, 0.6, 0.8},
                        .period = 0.4,
                        .angle = 30.0,
                        .phase = 0.2};
    scene.position.scale = 0.1;
    const Image image = render_solid(scene, 64);
    int darkest = 255;
    int brightest = 0;
    for (int row = 0; row < 16; ++row) {  // above the sphere
      for (int column = 0; column < 64; ++column) {
        const int blue = value(image, row, column, 2);
        darkest = std::min(darkest, blue);
        brightest = std::max(brightest, blue);
        // Between the colours, red and green follow from blue.
        EXPECT_NEAR(value(image, row, column, 0), 51.0 + 0.25 * blue, 1.0) << texture;
        EXPECT_NEAR(value(image, row, column, 1), 25.5 + 0.625 * blue, 1.0) << texture;
      }
    }
    EXPECT_LT(darkest, 75) << texture;
    EXPECT_GT(brightest, 130) << texture;
  }
}

TEST(RenderSolid, RefusesWhatCannotBeRendered) {
  const SolidScene scene = plain("cube");
  EXPECT_THROW((void)render_solid(scene, kMinSolidSize - 1), ContractViolation);
  EXPECT_THROW((void)solid_silhouette(scene, kMaxSolidSize + 1), ContractViolation);
  SolidScene wrong = scene;
  wrong.solid = 10;
  EXPECT_THROW((void)render_solid(wrong, 32), ContractViolation);
  wrong.solid = -1;
  EXPECT_THROW((void)render_solid(wrong, 32), ContractViolation);
  wrong = scene;
  wrong.position.scale = 0.0;
  EXPECT_THROW((void)render_solid(wrong, 32), ContractViolation);
  wrong = scene;
  wrong.background.period = 0.0;
  EXPECT_THROW((void)solid_silhouette(wrong, 32), ContractViolation);
}

}  // namespace
}  // namespace viewfold
