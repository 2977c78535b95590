// Stretches every band to the full range, as torchvision's tensor back end does; rounds to nearest
// where that cuts fractions off.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/histogram.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "autocontrast";

struct AutocontrastConfig final : Config {
  double probability = 0.5;  // torchvision's default

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are stretched to the full range", .min = 0.0, .max = 1.0});
  }
};

class Autocontrast final : public Augmentation {
 public:
  explicit Autocontrast(const AutocontrastConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    return make_record(kName, {rng.bernoulli(config_.probability) ? 1.0F : 0.0F});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      viewfold::autocontrast(canvas.image(), canvas.scratch(), prepare_like(canvas));
      canvas.advance();
    }
  }

 private:
  AutocontrastConfig config_;
};

}  // namespace

AugmentationEntry autocontrast_entry() {
  return augmentation_entry<Autocontrast, AutocontrastConfig>(
      kName, "Stretches every band to the full range.", {{"applied", ValueKind::kFlag}});
}

}  // namespace viewfold::augment
