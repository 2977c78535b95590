// Mirrors left and right.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/flip.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "horizontal_flip";

struct HorizontalFlipConfig final : Config {
  double probability = 0.5;  // every recipe here

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are mirrored", .min = 0.0, .max = 1.0});
  }
};

class HorizontalFlip final : public Augmentation {
 public:
  explicit HorizontalFlip(const HorizontalFlipConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    return make_record(kName, {rng.bernoulli(config_.probability) ? 1.0F : 0.0F});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      mirror_rows(canvas.image(), prepare_like(canvas));
      canvas.advance();
    }
  }

  void apply_to_mask(const OpRecord& record, Canvas& mask) const override { apply(record, mask); }

  [[nodiscard]] Point move(const OpRecord& record, Point point, ImageSize before) const override {
    return happened(record) ? Point{before.width - point.x, point.y} : point;
  }
  using Augmentation::move;

 private:
  HorizontalFlipConfig config_;
};

}  // namespace

AugmentationEntry horizontal_flip_entry() {
  return augmentation_entry<HorizontalFlip, HorizontalFlipConfig>(kName, "Mirrors left and right.",
                                                                  {{"applied", ValueKind::kFlag}});
}

}  // namespace viewfold::augment
