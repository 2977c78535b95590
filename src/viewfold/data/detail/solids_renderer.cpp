// Implements the rendering of scenes with solids.
//
// For each point only + - * / and square roots are taken, which IEEE 754 rounds alike everywhere;
// angles are turned into vectors before, in double precision. So the images do not depend on the
// version of the mathematical library.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>

#include "viewfold/core/error.hpp"
#include "viewfold/data/solids.hpp"
#include "viewfold/image/pixel.hpp"

namespace viewfold {
namespace {

struct Vec {
  float x = 0.0F;
  float y = 0.0F;
  float z = 0.0F;
};

constexpr Vec operator+(const Vec& a, const Vec& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}

constexpr Vec operator*(const Vec& a, float factor) {
  return {a.x * factor, a.y * factor, a.z * factor};
}

constexpr float dot(const Vec& a, const Vec& b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}

// A function that is negative inside of a solid and at most the distance from it outside: its value
// at a point, and its gradient, of length 1.
struct Field {
  float value = 0.0F;
  Vec gradient;
};

// The solid that both solids have in common.
Field common(const Field& a, const Field& b) {
  return a.value > b.value ? a : b;
}

Field moved_in(Field field, float by) {
  field.value -= by;
  return field;
}

constexpr float sign(float value) {
  return value < 0.0F ? -1.0F : 1.0F;
}

Field from_centre(const Vec& p) {
  const float distance = std::max(std::sqrt(dot(p, p)), 1e-6F);
  return {distance, p * (1.0F / distance)};
}

Field from_axis(const Vec& p) {
  return from_centre({p.x, 0.0F, p.z});
}

Field from_plane_x(const Vec& p) {
  return {std::abs(p.x), {sign(p.x), 0.0F, 0.0F}};
}

Field from_plane_y(const Vec& p) {
  return {std::abs(p.y), {0.0F, sign(p.y), 0.0F}};
}

Field from_plane_z(const Vec& p) {
  return {std::abs(p.z), {0.0F, 0.0F, sign(p.z)}};
}

// Half the sides of a box along x, y, z.
Field box(const Vec& p, const Vec& half) {
  return common(moved_in(from_plane_y(p), half.y),
                common(moved_in(from_plane_x(p), half.x), moved_in(from_plane_z(p), half.z)));
}

// The measures of a solid with a flat base and a tip.
struct Spike {
  float half_width = 0.0F;
  float base = 0.0F;  // its height, and that of the tip
  float tip = 0.0F;
};

// `across` says how far a point is from the axis.
Field spike(const Vec& p, const Field& across, const Spike& measures) {
  const float height = measures.tip - measures.base;
  const float slant = std::sqrt(height * height + measures.half_width * measures.half_width);
  const float outwards = height / slant;
  const float upwards = measures.half_width / slant;
  const Field side{across.value * outwards + (p.y - measures.tip) * upwards,
                   across.gradient * outwards + Vec{0.0F, upwards, 0.0F}};
  return common(side, {measures.base - p.y, {0.0F, -1.0F, 0.0F}});
}

// The solids in a ball of radius 1. All measures are ours: similar areas, unlike outlines.

Field sphere(const Vec& p) {
  return moved_in(from_centre(p), 0.75F);
}

Field cube(const Vec& p) {
  return box(p, {0.57F, 0.57F, 0.57F});
}

Field brick(const Vec& p) {
  return box(p, {0.84F, 0.26F, 0.46F});
}

Field cylinder(const Vec& p) {
  return common(moved_in(from_axis(p), 0.52F), moved_in(from_plane_y(p), 0.8F));
}

Field cone(const Vec& p) {
  return spike(p, from_axis(p), {.half_width = 0.7F, .base = -0.7F, .tip = 1.0F});
}

Field pyramid(const Vec& p) {
  const Field across_x = from_plane_x(p);
  const Field across_z = from_plane_z(p);
  return spike(p, common(across_x, across_z), {.half_width = 0.62F, .base = -0.47F, .tip = 1.0F});
}

Field torus(const Vec& p) {
  constexpr float kRing = 0.74F;
  const Field axis = from_axis(p);
  const Field ring =
      from_centre(axis.gradient * (axis.value - kRing) + Vec{.x = 0.0F, .y = p.y, .z = 0.0F});
  return moved_in(ring, 0.24F);
}

Field octahedron(const Vec& p) {
  constexpr float kSlope = std::numbers::inv_sqrt3_v<float>;
  return {(std::abs(p.x) + std::abs(p.y) + std::abs(p.z) - 1.0F) * kSlope,
          {sign(p.x) * kSlope, sign(p.y) * kSlope, sign(p.z) * kSlope}};
}

Field capsule(const Vec& p) {
  constexpr float kHalfAxis = 0.62F;
  return moved_in(from_centre({p.x, p.y - std::clamp(p.y, -kHalfAxis, kHalfAxis), p.z}), 0.36F);
}

Field tetrahedron(const Vec& p) {
  // Each face lies opposite to a corner, at a third of its distance from the centre.
  constexpr float kThird = 1.0F / 3.0F;
  constexpr float kBack = std::numbers::sqrt2_v<float> * kThird;
  constexpr float kSide = std::numbers::sqrt2_v<float> * std::numbers::inv_sqrt3_v<float>;
  constexpr std::array<Vec, 4> kNormals{{{0.0F, -1.0F, 0.0F},
                                         {0.0F, kThird, -2.0F * kBack},
                                         {-kSide, kThird, kBack},
                                         {kSide, kThird, kBack}}};
  Field field{dot(p, kNormals[0]) - kThird, kNormals[0]};
  for (std::size_t i = 1; i < kNormals.size(); ++i) {
    field = common(field, {dot(p, kNormals[i]) - kThird, kNormals[i]});
  }
  return field;
}

enum class Shape { kConvex, kOther };

struct Solid {
  Field (*field)(const Vec&);
  Shape shape = Shape::kConvex;
};

constexpr std::array<Solid, kSolidNames.size()> kSolids{{{sphere},
                                                         {cube},
                                                         {brick},
                                                         {cylinder},
                                                         {cone},
                                                         {pyramid},
                                                         {torus, Shape::kOther},
                                                         {octahedron},
                                                         {capsule},
                                                         {tetrahedron}}};

// The normal where a ray from `origin` first meets the solid, within `length`. `direction` has
// length 1. The field of a convex solid is convex along the ray: Newton's method never oversteps
// the surface, and is through after a face or two. Elsewhere a step is the distance itself.
std::optional<Vec> first_normal(const Solid& solid,
                                const Vec& origin,
                                const Vec& direction,
                                float length) {
  constexpr float kTouch = 1e-4F;
  constexpr int kMaxSteps = 64;
  float way = 0.0F;
  for (int step = 0; step < kMaxSteps && way <= length; ++step) {
    const Field field = solid.field(origin + direction * way);
    if (field.value < kTouch) {
      return field.gradient;
    }
    const float approach = -dot(field.gradient, direction);
    if (solid.shape == Shape::kConvex && approach <= 0.0F) {
      return std::nullopt;
    }
    way += solid.shape == Shape::kConvex ? field.value / approach : field.value;
  }
  return std::nullopt;
}

double radians(double degrees) {
  return degrees * std::numbers::pi / 180.0;
}

Vec vec(double x, double y, double z) {
  return {static_cast<float>(x), static_cast<float>(y), static_cast<float>(z)};
}

Vec vec(const SolidColour& colour) {
  return vec(colour[0], colour[1], colour[2]);
}

// The axes of the viewer in the frame of the solid.
struct Axes {
  Vec right;
  Vec up;
  Vec near;

  explicit Axes(const SolidPose& pose) {
    const double sa = std::sin(radians(pose.azimuth));
    const double ca = std::cos(radians(pose.azimuth));
    const double se = std::sin(radians(pose.elevation));
    const double ce = std::cos(radians(pose.elevation));
    const double sr = std::sin(radians(pose.roll));
    const double cr = std::cos(radians(pose.roll));
    right = vec(cr * ca - sr * se * sa, -sr * ce, cr * sa + sr * se * ca);
    up = vec(sr * ca + cr * se * sa, cr * ce, sr * sa - cr * se * ca);
    near = vec(-ce * sa, se, ce * ca);
  }

  // A vector in the frame of the viewer, in that of the solid.
  [[nodiscard]] Vec turned(const Vec& v) const { return right * v.x + up * v.y + near * v.z; }
};

Vec light_direction(const SolidLight& light) {
  const double azimuth = radians(light.azimuth);
  const double elevation = radians(light.elevation);
  return vec(std::sin(azimuth) * std::cos(elevation), std::sin(elevation),
             std::cos(azimuth) * std::cos(elevation));
}

// 1 at whole numbers, 0 half-way between them, smooth.
float wave(float x) {
  const float ramp = std::abs(2.0F * (x - std::floor(x)) - 1.0F);
  return ramp * ramp * (3.0F - 2.0F * ramp);
}

// The share of the bright colour, at a place in periods.
float texture_value(SolidTexture texture, float u, float v) {
  const float fraction_u = u - std::floor(u);
  const float fraction_v = v - std::floor(v);
  switch (texture) {
    case SolidTexture::kRamp:
      return wave(u * 0.25F);
    case SolidTexture::kStripes:
      return fraction_u < 0.5F ? 1.0F : 0.0F;
    case SolidTexture::kChecks:
      return (fraction_u < 0.5F) == (fraction_v < 0.5F) ? 1.0F : 0.0F;
    case SolidTexture::kDots: {
      const float du = fraction_u - 0.5F;
      const float dv = fraction_v - 0.5F;
      return du * du + dv * dv < 0.09F ? 1.0F : 0.0F;
    }
    case SolidTexture::kWaves:
      // Three directions, no two of them commensurable: no period is seen.
      return (wave(u) + wave(0.62F * v + 0.31F * u) + wave(0.53F * u - 0.71F * v)) / 3.0F;
  }
  throw ContractViolation("unknown texture");
}

// What is seen of a scene at points of its picture: (0, 0) is the upper left corner, (1, 1) the
// lower right one.
class Picture {
 public:
  explicit Picture(const SolidScene& scene)
      : solid_(kSolids[static_cast<std::size_t>(scene.solid)]),
        axes_(scene.pose),
        light_(axes_.turned(light_direction(scene.light)) *
               static_cast<float>(scene.light.intensity)),
        colour_(vec(scene.colour)),
        texture_(scene.background.texture),
        dark_(vec(scene.background.dark)),
        bright_(vec(scene.background.bright)),
        phase_(static_cast<float>(scene.background.phase)),
        centre_x_(static_cast<float>(0.5 + scene.position.x)),
        centre_y_(static_cast<float>(0.5 + scene.position.y)),
        balls_(static_cast<float>(2.0 / scene.position.scale)) {
    const double angle = radians(scene.background.angle);
    cos_ = static_cast<float>(std::cos(angle) / scene.background.period);
    sin_ = static_cast<float>(std::sin(angle) / scene.background.period);
  }

  /// The normal of the solid in its own frame; nothing beside it.
  [[nodiscard]] std::optional<Vec> normal_at(float x, float y) const {
    const float right = (x - centre_x_) * balls_;
    const float up = (centre_y_ - y) * balls_;
    const float outside = right * right + up * up;
    if (outside >= 1.0F) {
      return std::nullopt;
    }
    const float depth = std::sqrt(1.0F - outside);
    return first_normal(solid_, axes_.turned({right, up, depth}), axes_.near * -1.0F, 2.0F * depth);
  }

  [[nodiscard]] Vec colour_at(float x, float y) const {
    if (const auto normal = normal_at(x, y)) {
      constexpr auto kAmbient = static_cast<float>(SolidLight::kAmbient);
      return colour_ * (kAmbient + std::max(0.0F, dot(*normal, light_)));
    }
    const float share =
        texture_value(texture_, x * cos_ + y * sin_ + phase_, y * cos_ - x * sin_ + phase_);
    return bright_ * share + dark_ * (1.0F - share);
  }

 private:
  Solid solid_;
  Axes axes_;
  Vec light_;  // in the frame of the solid, times its intensity
  Vec colour_;
  SolidTexture texture_;
  Vec dark_;
  Vec bright_;
  float cos_ = 0.0F;  // of the angle of the texture, in periods
  float sin_ = 0.0F;
  float phase_;
  float centre_x_;
  float centre_y_;
  float balls_;  // radii of the solid's ball to the side of the picture
};

void check_scene(const SolidScene& scene, int size) {
  check(size >= kMinSolidSize && size <= kMaxSolidSize, "size of a picture is out of range");
  check(scene.solid >= 0 && static_cast<std::size_t>(scene.solid) < kSolidNames.size(),
        "there is no such solid");
  check(scene.position.scale > 0.0 && scene.background.period > 0.0,
        "scale and period must be above 0");
}

// The mean of value(x, y) over 2 x 2 points of a pixel.
template <class Value>
Vec pixel_mean(int column, int row, int size, const Value& value) {
  Vec sum;
  for (const float below : {0.25F, 0.75F}) {
    for (const float beside : {0.25F, 0.75F}) {
      const auto side = static_cast<float>(size);
      sum = sum + value((static_cast<float>(column) + beside) / side,
                        (static_cast<float>(row) + below) / side);
    }
  }
  return sum * 0.25F;
}

}  // namespace

Image render_solid(const SolidScene& scene, int size) {
  check_scene(scene, size);
  const Picture picture(scene);
  Image image(size, size, 3);
  auto out = image.values<std::uint8_t>().begin();
  for (int row = 0; row < size; ++row) {
    for (int column = 0; column < size; ++column) {
      const Vec mean =
          pixel_mean(column, row, size, [&](float x, float y) { return picture.colour_at(x, y); });
      *out++ = to_pixel<std::uint8_t>(mean.x * 255.0F);
      *out++ = to_pixel<std::uint8_t>(mean.y * 255.0F);
      *out++ = to_pixel<std::uint8_t>(mean.z * 255.0F);
    }
  }
  return image;
}

Image solid_silhouette(const SolidScene& scene, int size) {
  check_scene(scene, size);
  const Picture picture(scene);
  Image image(size, size, 1);
  auto out = image.values<std::uint8_t>().begin();
  for (int row = 0; row < size; ++row) {
    for (int column = 0; column < size; ++column) {
      const Vec mean = pixel_mean(column, row, size, [&](float x, float y) {
        return Vec{picture.normal_at(x, y) ? 1.0F : 0.0F, 0.0F, 0.0F};
      });
      *out++ = to_pixel<std::uint8_t>(mean.x * 255.0F);
    }
  }
  return image;
}

}  // namespace viewfold
