// Equalises the histogram of every band, as torchvision's tensor back end does: in uint8 with the
// same tables. torchvision knows no other types; uint16 is counted in 65536 bins here, float
// rounded to as many levels.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/histogram.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "equalize";

struct EqualizeConfig final : Config {
  double probability = 0.5;  // torchvision's default

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views whose histograms are made flat", .min = 0.0, .max = 1.0});
  }
};

class Equalize final : public Augmentation {
 public:
  explicit Equalize(const EqualizeConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    return make_record(kName, {rng.bernoulli(config_.probability) ? 1.0F : 0.0F});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      viewfold::equalize(canvas.image(), canvas.scratch(), prepare_like(canvas));
      canvas.advance();
    }
  }

 private:
  EqualizeConfig config_;
};

}  // namespace

AugmentationEntry equalize_entry() {
  return augmentation_entry<Equalize, EqualizeConfig>(
      kName, "Makes the histogram of every band as flat as possible.",
      {{"applied", ValueKind::kFlag}});
}

}  // namespace viewfold::augment
