// Inverts the values above a threshold.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/point.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "solarize";

struct SolarizeConfig final : Config {
  double probability = 0.2;  // with the threshold: BYOL (arXiv:2006.07733) table 6, view 2
  double threshold = 0.5;

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are solarised", .min = 0.0, .max = 1.0});
    v.field("threshold", threshold,
            {.doc = "values from here on are inverted, as a share of full range",
             .min = 0.0,
             .max = 1.0});
  }
};

class Solarize final : public Augmentation {
 public:
  explicit Solarize(const SolarizeConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    return make_record(kName, {rng.bernoulli(config_.probability) ? 1.0F : 0.0F});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      viewfold::solarize(canvas.image(), static_cast<float>(config_.threshold),
                         prepare_like(canvas));
      canvas.advance();
    }
  }

 private:
  SolarizeConfig config_;
};

}  // namespace

AugmentationEntry solarize_entry() {
  return augmentation_entry<Solarize, SolarizeConfig>(
      kName, "Inverts the values above a threshold.", {{"applied", ValueKind::kFlag}});
}

}  // namespace viewfold::augment
