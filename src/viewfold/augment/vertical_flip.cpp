// Mirrors top and bottom.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/flip.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "vertical_flip";

struct VerticalFlipConfig final : Config {
  double probability = 0.5;  // torchvision's default

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are turned upside down", .min = 0.0, .max = 1.0});
  }
};

class VerticalFlip final : public Augmentation {
 public:
  explicit VerticalFlip(const VerticalFlipConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    return make_record(kName, {rng.bernoulli(config_.probability) ? 1.0F : 0.0F});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      mirror_columns(canvas.image(), prepare_like(canvas));
      canvas.advance();
    }
  }

  void apply_to_mask(const OpRecord& record, Canvas& mask) const override { apply(record, mask); }

  [[nodiscard]] Point move(const OpRecord& record, Point point, ImageSize before) const override {
    return happened(record) ? Point{point.x, before.height - point.y} : point;
  }
  using Augmentation::move;

 private:
  VerticalFlipConfig config_;
};

}  // namespace

AugmentationEntry vertical_flip_entry() {
  return augmentation_entry<VerticalFlip, VerticalFlipConfig>(kName, "Mirrors top and bottom.",
                                                              {{"applied", ValueKind::kFlag}});
}

}  // namespace viewfold::augment
