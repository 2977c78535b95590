// Adds Gaussian noise, independent for each value. torchvision 0.14 has no such operation.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/noise.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "additive_noise";

struct AdditiveNoiseConfig final : Config {
  double probability = 0.5;  // with the range: ours, up to the noise of a poor camera
  double sigma_min = 0.0;
  double sigma_max = 0.05;

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that become noisy", .min = 0.0, .max = 1.0});
    v.field(
        "sigma_min", sigma_min,
        {.doc = "smallest standard deviation, as a share of full range", .min = 0.0, .max = 1.0});
    v.field(
        "sigma_max", sigma_max,
        {.doc = "largest standard deviation, as a share of full range", .min = 0.0, .max = 1.0});
  }
};

class AdditiveNoise final : public Augmentation {
 public:
  explicit AdditiveNoise(const AdditiveNoiseConfig& config) : config_(config) {
    check_range(kName, "sigma_min", config.sigma_min, "sigma_max", config.sigma_max);
  }

  // The noise is a function of the seed. Both are recorded as 0 when nothing happens.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 0.0F, 0.0F});
    }
    const auto sigma = static_cast<float>(rng.uniform(config_.sigma_min, config_.sigma_max));
    return make_record(kName, {1.0F, sigma, draw_seed(rng)});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      add_noise(canvas.image(), record.values[1], static_cast<std::uint32_t>(record.values[2]),
                prepare_like(canvas));
      canvas.advance();
    }
  }

 private:
  AdditiveNoiseConfig config_;
};

}  // namespace

AugmentationEntry additive_noise_entry() {
  return augmentation_entry<AdditiveNoise, AdditiveNoiseConfig>(
      kName, "Adds Gaussian noise, independent for each value.",
      {{"applied", ValueKind::kFlag}, {"sigma"}, {"seed", ValueKind::kInteger}});
}

}  // namespace viewfold::augment
