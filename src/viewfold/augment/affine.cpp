// Turns, shifts, stretches and shears the image at random; what comes in from outside is black.
#include <cmath>

#include "viewfold/augment/detail/affine_move.hpp"
#include "viewfold/augment/detail/operation.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "affine";

// torchvision's RandomAffine; it has no defaults but "nothing" for shift, scale and shear. Those
// here are ours: mild.
struct AffineConfig final : Config {
  double probability = 1.0;
  double degrees = 15.0;
  double translate_x = 0.1;
  double translate_y = 0.1;
  double scale_min = 0.9;
  double scale_max = 1.1;
  double shear_x = 0.0;
  double shear_y = 0.0;
  std::string interpolation = "bilinear";

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are moved", .min = 0.0, .max = 1.0});
    v.field("degrees", degrees,
            {.doc = "the angle is drawn from -this .. this, clockwise", .min = 0.0, .max = 180.0});
    v.field("translate_x", translate_x,
            {.doc = "largest shift to the left or right, as a share of the width",
             .min = 0.0,
             .max = 1.0});
    v.field("translate_y", translate_y,
            {.doc = "largest shift up or down, as a share of the height", .min = 0.0, .max = 1.0});
    v.field("scale_min", scale_min, {.doc = "smallest factor of sizes", .min = 0.01, .max = 100.0});
    v.field("scale_max", scale_max, {.doc = "largest factor of sizes", .min = 0.01, .max = 100.0});
    v.field("shear_x", shear_x,
            {.doc = "largest shear along the width, in degrees", .min = 0.0, .max = 80.0});
    v.field("shear_y", shear_y,
            {.doc = "largest shear along the height, in degrees", .min = 0.0, .max = 80.0});
    v.field("interpolation", interpolation,
            {.doc = "how pixels are taken", .choices = {"bilinear", "nearest"}});
  }
};

AffineMotion motion_of(const OpRecord& record) {
  const auto value = [&](std::size_t i) { return static_cast<double>(record.values[i]); };
  return {.degrees = value(1),
          .translate_x = value(2),
          .translate_y = value(3),
          .scale = value(4),
          .shear_x = value(5),
          .shear_y = value(6)};
}

class Affine final : public Augmentation {
 public:
  explicit Affine(const AffineConfig& config)
      : config_(config),
        nearest_(config.interpolation == "nearest") {
    check_range(kName, "scale_min", config.scale_min, "scale_max", config.scale_max);
  }

  // The procedure of torchvision's RandomAffine.get_params: shifts are whole pixels.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize size) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 0.0F, 0.0F, 0.0F, 1.0F, 0.0F, 0.0F});
    }
    const auto within = [&rng](double most) { return rng.uniform(-most, most); };
    const double degrees = within(config_.degrees);
    const double shift_x = std::nearbyint(within(config_.translate_x * size.width));
    const double shift_y = std::nearbyint(within(config_.translate_y * size.height));
    const double scale = rng.uniform(config_.scale_min, config_.scale_max);
    const double shear_x = within(config_.shear_x);
    const double shear_y = within(config_.shear_y);
    return make_record(kName, {1.0F, static_cast<float>(degrees), static_cast<float>(shift_x),
                               static_cast<float>(shift_y), static_cast<float>(scale),
                               static_cast<float>(shear_x), static_cast<float>(shear_y)});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (!happened(record)) {
      return;
    }
    if (nearest_) {
      move_classes(canvas, motion_of(record));
    } else {
      move_pixels(canvas, motion_of(record));
    }
  }

  void apply_to_mask(const OpRecord& record, Canvas& mask) const override {
    if (happened(record)) {
      move_classes(mask, motion_of(record));
    }
  }

  [[nodiscard]] Point move(const OpRecord& record, Point point, ImageSize before) const override {
    return happened(record) ? moved(point, motion_of(record), before) : point;
  }
  using Augmentation::move;

 private:
  AffineConfig config_;
  bool nearest_;
};

}  // namespace

AugmentationEntry affine_entry() {
  return augmentation_entry<Affine, AffineConfig>(
      kName, "Turns, shifts, stretches and shears the image around its centre.",
      {{"applied", ValueKind::kFlag},
       {"degrees"},
       {"translate_x", ValueKind::kInteger},
       {"translate_y", ValueKind::kInteger},
       {"scale"},
       {"shear_x"},
       {"shear_y"}});
}

}  // namespace viewfold::augment
