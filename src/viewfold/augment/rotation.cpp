// Turns the image around its centre by a random angle; what comes in at the corners is black.
#include "viewfold/augment/detail/affine_move.hpp"
#include "viewfold/augment/detail/operation.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "rotation";

struct RotationConfig final : Config {
  double probability = 1.0;
  double degrees = 15.0;  // ours: small enough not to turn a 6 into a 9

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are turned", .min = 0.0, .max = 1.0});
    v.field("degrees", degrees,
            {.doc = "the angle is drawn from -this .. this, counter-clockwise",
             .min = 0.0,
             .max = 180.0});
  }
};

bool turned(const OpRecord& record) {
  return happened(record) && record.values[1] != 0.0F;
}

AffineMotion motion_of(const OpRecord& record) {
  return {.degrees = -static_cast<double>(record.values[1])};  // motions are clockwise
}

class Rotation final : public Augmentation {
 public:
  explicit Rotation(const RotationConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 0.0F});
    }
    const double degrees = rng.uniform(-config_.degrees, config_.degrees);
    return make_record(kName, {1.0F, static_cast<float>(degrees)});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (turned(record)) {
      move_pixels(canvas, motion_of(record));
    }
  }

  void apply_to_mask(const OpRecord& record, Canvas& mask) const override {
    if (turned(record)) {
      move_classes(mask, motion_of(record));
    }
  }

  [[nodiscard]] Point move(const OpRecord& record, Point point, ImageSize before) const override {
    return turned(record) ? moved(point, motion_of(record), before) : point;
  }
  using Augmentation::move;

 private:
  RotationConfig config_;
};

}  // namespace

AugmentationEntry rotation_entry() {
  return augmentation_entry<Rotation, RotationConfig>(
      kName, "Turns the image around its centre by a random angle.",
      {{"applied", ValueKind::kFlag}, {"degrees"}});
}

}  // namespace viewfold::augment
