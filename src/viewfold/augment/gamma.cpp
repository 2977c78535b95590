// Raises every value to a random power: torchvision's adjust_gamma with a gain of 1, rounded to
// nearest where torchvision maps 256 equal parts of 0 .. 1 to the levels of uint8.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/point.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "gamma";

struct GammaConfig final : Config {
  double probability = 0.5;  // with the range: ours
  double gamma_min = 0.7;
  double gamma_max = 1.5;

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views whose mid-tones move", .min = 0.0, .max = 1.0});
    v.field("gamma_min", gamma_min,
            {.doc = "smallest exponent; below 1 is lighter", .min = 0.01, .max = 100.0});
    v.field("gamma_max", gamma_max,
            {.doc = "largest exponent; above 1 is darker", .min = 0.01, .max = 100.0});
  }
};

class Gamma final : public Augmentation {
 public:
  explicit Gamma(const GammaConfig& config) : config_(config) {
    check_range(kName, "gamma_min", config.gamma_min, "gamma_max", config.gamma_max);
  }

  // An exponent of 1 is recorded when nothing happens.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 1.0F});
    }
    const double gamma = rng.uniform(config_.gamma_min, config_.gamma_max);
    return make_record(kName, {1.0F, static_cast<float>(gamma)});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      correct_gamma(canvas.image(), record.values[1], prepare_like(canvas));
      canvas.advance();
    }
  }

 private:
  GammaConfig config_;
};

}  // namespace

AugmentationEntry gamma_entry() {
  return augmentation_entry<Gamma, GammaConfig>(kName, "Raises every value to a random power.",
                                                {{"applied", ValueKind::kFlag}, {"gamma"}});
}

}  // namespace viewfold::augment
