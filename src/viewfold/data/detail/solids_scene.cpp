// Implements the drawing of scenes with solids.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "viewfold/core/error.hpp"
#include "viewfold/data/solids.hpp"

namespace viewfold {
namespace {

double draw(Rng& rng, const SolidRange& range) {
  return rng.uniform(range.low, range.high);
}

// From hue in 0 .. 6 (sixths of the circle), saturation and value in 0 .. 1.
SolidColour colour_of(double hue, double saturation, double value) {
  SolidColour colour{};
  for (std::size_t band = 0; band < colour.size(); ++band) {
    const double turned = std::fmod(hue + 5.0 - 2.0 * static_cast<double>(band), 6.0);
    const double lacking = std::clamp(std::min(turned, 4.0 - turned), 0.0, 1.0);
    colour[band] = value * (1.0 - saturation * lacking);
  }
  return colour;
}

SolidColour draw_colour(Rng& rng, const SolidRange& saturation, const SolidRange& value) {
  const double hue = rng.uniform(0.0, 6.0);
  const double drawn_saturation = draw(rng, saturation);
  return colour_of(hue, drawn_saturation, draw(rng, value));
}

SolidPose draw_pose(Rng& rng) {
  return {.azimuth = draw(rng, SolidPose::kAzimuth),
          .elevation = draw(rng, SolidPose::kElevation),
          .roll = draw(rng, SolidPose::kRoll)};
}

SolidLight draw_light(Rng& rng) {
  return {.azimuth = draw(rng, SolidLight::kAzimuth),
          .elevation = draw(rng, SolidLight::kElevation),
          .intensity = draw(rng, SolidLight::kIntensity)};
}

SolidBackground draw_background(Rng& rng) {
  constexpr SolidRange kSaturation{0.0, 0.6};
  return {.texture = static_cast<SolidTexture>(rng.below(kSolidTextures)),
          .dark = draw_colour(rng, kSaturation, {0.1, 0.35}),
          .bright = draw_colour(rng, kSaturation, {0.4, 0.75}),
          .period = draw(rng, SolidBackground::kPeriod),
          .angle = draw(rng, SolidBackground::kAngle),
          .phase = draw(rng, SolidBackground::kPhase)};
}

SolidPosition draw_position(Rng& rng) {
  return {.x = draw(rng, SolidPosition::kOffset),
          .y = draw(rng, SolidPosition::kOffset),
          .scale = draw(rng, SolidPosition::kScale)};
}

}  // namespace

std::size_t solid_scene_count(std::string_view split) {
  check(split == "train" || split == "test", "solids have the splits train and test");
  return split == "train" ? 10'000 : 2'000;
}

SolidScene draw_scene(std::string_view split, std::size_t index) {
  check(index < solid_scene_count(split), "index of a scene is out of range");
  constexpr std::uint64_t kSeed = 1;  // the data set is the same for every seed of a run
  Rng rng({.seed = kSeed,
           .stream = "solids",
           .sample = static_cast<std::uint32_t>(index),
           .op = static_cast<std::uint16_t>(name_hash(split) & 0xFFFFU)});
  return {.solid = static_cast<int>(rng.below(kSolidNames.size())),
          .pose = draw_pose(rng),
          .light = draw_light(rng),
          .background = draw_background(rng),
          .position = draw_position(rng),
          .colour = draw_colour(rng, {0.35, 0.9}, {0.7, 1.0})};
}

SolidScene before_plain_wall(SolidScene scene) {
  scene.background.dark = scene.background.bright;
  return scene;
}

SolidScene with_other_pose(SolidScene scene, Rng& rng) {
  scene.pose = draw_pose(rng);
  return scene;
}

SolidScene with_other_light(SolidScene scene, Rng& rng) {
  scene.light = draw_light(rng);
  return scene;
}

SolidScene with_other_background(SolidScene scene, Rng& rng) {
  scene.background = draw_background(rng);
  return scene;
}

SolidScene with_other_position(SolidScene scene, Rng& rng) {
  scene.position = draw_position(rng);
  return scene;
}

}  // namespace viewfold
