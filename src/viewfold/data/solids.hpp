// Pictures of ten solids that are rendered from known numbers: what a representation should keep
// (the solid) and what it may forget (all else) are both known of every image.
//
// A scene is seen without perspective. Its frame is the viewer's: x to the right, y up, z towards
// the viewer; each solid stands upright and fits into a ball, whose diameter is the solid's scale.
// Angles are in degrees, lengths in fractions of the side of the picture, colours in 0 .. 1.
// Factors are drawn independently of each other and of the solid, uniformly in the ranges below.
// Pose does nothing to a sphere, and azimuth nothing to cylinder, cone, torus and capsule.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "viewfold/core/rng.hpp"
#include "viewfold/image/image.hpp"

namespace viewfold {

/// The classes, in the order of their number.
inline constexpr std::array<std::string_view, 10> kSolidNames{
    "sphere",  "cube",  "brick",      "cylinder", "cone",
    "pyramid", "torus", "octahedron", "capsule",  "tetrahedron"};

/// What a factor is drawn from: [low, high).
struct SolidRange {
  double low = 0.0;
  double high = 0.0;
};

/// How the solid is turned: first about its upright axis, then towards the viewer, then in the
/// plane of the picture.
struct SolidPose {
  static constexpr SolidRange kAzimuth{0.0, 360.0};
  static constexpr SolidRange kElevation{20.0, 50.0};  // a torus shows its hole, a cone its tip
  static constexpr SolidRange kRoll{-45.0, 45.0};

  double azimuth = 0.0;    // moves the side that faces the viewer to the right
  double elevation = 0.0;  // of the viewer above the solid's horizon
  double roll = 0.0;       // anticlockwise

  friend bool operator==(const SolidPose&, const SolidPose&) = default;
};

/// Where the light is, seen from the solid; it stays where it is when the solid is turned. A
/// surface has the solid's colour times (kAmbient + intensity * max(0, cosine of its normal and the
/// light)). It throws no shadows and does not change the background.
struct SolidLight {
  static constexpr SolidRange kAzimuth{-80.0, 80.0};
  static constexpr SolidRange kElevation{0.0, 70.0};
  static constexpr SolidRange kIntensity{0.45, 0.75};  // with kAmbient never above 1
  static constexpr double kAmbient = 0.25;

  double azimuth = 0.0;    // 0: behind the viewer; positive: on the right
  double elevation = 0.0;  // positive: above
  double intensity = 0.0;

  friend bool operator==(const SolidLight&, const SolidLight&) = default;
};

/// Red, green, blue.
using SolidColour = std::array<double, 3>;

/// What two colours are laid out as.
enum class SolidTexture { kRamp, kStripes, kChecks, kDots, kWaves };
inline constexpr int kSolidTextures = 5;

struct SolidBackground {
  static constexpr SolidRange kPeriod{0.2, 0.5};  // more than 6 pixels of 32
  static constexpr SolidRange kAngle{0.0, 180.0};
  static constexpr SolidRange kPhase{0.0, 1.0};

  SolidTexture texture = SolidTexture::kRamp;
  SolidColour dark{};    // brightest band in 0.1 .. 0.35
  SolidColour bright{};  // brightest band in 0.4 .. 0.75
  double period = 0.3;
  double angle = 0.0;
  double phase = 0.0;  // in periods

  friend bool operator==(const SolidBackground&, const SolidBackground&) = default;
};

/// Where the solid is: never beyond the edge of the picture.
struct SolidPosition {
  static constexpr SolidRange kOffset{-0.1, 0.1};
  static constexpr SolidRange kScale{0.55, 0.8};

  double x = 0.0;  // of its centre from that of the picture, to the right
  double y = 0.0;  // downwards
  double scale = 0.6;

  friend bool operator==(const SolidPosition&, const SolidPosition&) = default;
};

/// Everything that a picture shows.
struct SolidScene {
  int solid = 0;  // the class: in [0, kSolidNames.size())
  SolidPose pose;
  SolidLight light;
  SolidBackground background;
  SolidPosition position;
  SolidColour colour{};  // of the solid: any hue, brightest band in 0.7 .. 1

  friend bool operator==(const SolidScene&, const SolidScene&) = default;
};

/// How many scenes a split has: 10,000 of "train", 2,000 of "test"; else ContractViolation.
[[nodiscard]] std::size_t solid_scene_count(std::string_view split);

/// The scene behind an image of the data set "solids", whatever its size in pixels. Throws
/// ContractViolation unless index < solid_scene_count(split).
[[nodiscard]] SolidScene draw_scene(std::string_view split, std::size_t index);

/// The same scene before a wall of one colour, the bright one of its background: that of the data
/// set "plain-solids".
[[nodiscard]] SolidScene before_plain_wall(SolidScene scene);

/// The same scene with that one factor drawn anew; position includes scale.
[[nodiscard]] SolidScene with_other_pose(SolidScene scene, Rng& rng);
[[nodiscard]] SolidScene with_other_light(SolidScene scene, Rng& rng);
[[nodiscard]] SolidScene with_other_background(SolidScene scene, Rng& rng);
[[nodiscard]] SolidScene with_other_position(SolidScene scene, Rng& rng);

inline constexpr int kMinSolidSize = 16;
inline constexpr int kMaxSolidSize = 256;

/// The picture of a scene: size x size pixels of red, green, blue, uint8; each is the mean of 2 x 2
/// points. Throws ContractViolation when size is not in kMinSolidSize .. kMaxSolidSize, scene.solid
/// is no class, or a scale or period is not above 0.
[[nodiscard]] Image render_solid(const SolidScene& scene, int size);

/// How much of each pixel of render_solid() the solid covers: one band, 0 .. 255. Throws as that
/// does.
[[nodiscard]] Image solid_silhouette(const SolidScene& scene, int size);

}  // namespace viewfold
