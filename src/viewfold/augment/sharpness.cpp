// Sharpens or softens the picture: torchvision's adjust_sharpness. Its tensor back end rounds the
// softened picture to uint8 before it blends, and cuts fractions off; here one rounding comes last.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/stencil.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "sharpness";

struct SharpnessConfig final : Config {
  double probability = 0.5;  // torchvision's default
  double factor_min =
      0.1;  // with factor_max: AutoAugment (arXiv:1805.09501), its list of transformations
  double factor_max = 1.9;

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are sharpened or softened", .min = 0.0, .max = 1.0});
    v.field("factor_min", factor_min,
            {.doc = "smallest factor; 0 is softest, 1 changes nothing", .min = 0.0, .max = 100.0});
    v.field("factor_max", factor_max,
            {.doc = "largest factor; above 1 is sharper", .min = 0.0, .max = 100.0});
  }
};

class Sharpness final : public Augmentation {
 public:
  explicit Sharpness(const SharpnessConfig& config) : config_(config) {
    check_range(kName, "factor_min", config.factor_min, "factor_max", config.factor_max);
  }

  // A factor of 1 is recorded when nothing happens.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 1.0F});
    }
    const double factor = rng.uniform(config_.factor_min, config_.factor_max);
    return make_record(kName, {1.0F, static_cast<float>(factor)});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      sharpen(canvas.image(), record.values[1], canvas.scratch(), prepare_like(canvas));
      canvas.advance();
    }
  }

 private:
  SharpnessConfig config_;
};

}  // namespace

AugmentationEntry sharpness_entry() {
  return augmentation_entry<Sharpness, SharpnessConfig>(
      kName, "Sharpens or softens the picture.", {{"applied", ValueKind::kFlag}, {"factor"}});
}

}  // namespace viewfold::augment
