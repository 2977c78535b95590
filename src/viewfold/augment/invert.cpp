// Turns the picture into its negative.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/point.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "invert";

struct InvertConfig final : Config {
  double probability = 0.5;  // torchvision's default

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that become negatives", .min = 0.0, .max = 1.0});
  }
};

class Invert final : public Augmentation {
 public:
  explicit Invert(const InvertConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    return make_record(kName, {rng.bernoulli(config_.probability) ? 1.0F : 0.0F});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      viewfold::invert(canvas.image(), prepare_like(canvas));
      canvas.advance();
    }
  }

 private:
  InvertConfig config_;
};

}  // namespace

AugmentationEntry invert_entry() {
  return augmentation_entry<Invert, InvertConfig>(kName, "Turns the picture into its negative.",
                                                  {{"applied", ValueKind::kFlag}});
}

}  // namespace viewfold::augment
