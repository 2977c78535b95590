// Blurs with a Gaussian of random width.
#include <algorithm>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/blur.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "gaussian_blur";

struct GaussianBlurConfig final : Config {
  double probability = 0.5;  // with the range of sigma: SimCLR (arXiv:2002.05709) app. A
  double sigma_min = 0.1;
  double sigma_max = 2.0;

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are blurred", .min = 0.0, .max = 1.0});
    v.field("sigma_min", sigma_min,
            {.doc = "smallest standard deviation in pixels", .min = 1e-3, .max = 1000.0});
    v.field("sigma_max", sigma_max,
            {.doc = "largest standard deviation in pixels", .min = 1e-3, .max = 1000.0});
  }
};

// The kernel is 10 % of the side, made odd, at least 3 (SimCLR app. A and its data_util.py).
int radius_of(const Image& image) {
  return std::max(1, std::min(image.height(), image.width()) / 20);
}

class GaussianBlur final : public Augmentation {
 public:
  explicit GaussianBlur(const GaussianBlurConfig& config) : config_(config) {
    check_range(kName, "sigma_min", config.sigma_min, "sigma_max", config.sigma_max);
  }

  // sigma is recorded as 0 when nothing happens.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 0.0F});
    }
    const double sigma = rng.uniform(config_.sigma_min, config_.sigma_max);
    return make_record(kName, {1.0F, static_cast<float>(sigma)});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      viewfold::gaussian_blur(canvas.edit(), canvas.scratch(), radius_of(canvas.image()),
                              static_cast<double>(record.values[1]));
    }
  }

 private:
  GaussianBlurConfig config_;
};

}  // namespace

AugmentationEntry gaussian_blur_entry() {
  return augmentation_entry<GaussianBlur, GaussianBlurConfig>(
      kName, "Blurs with a Gaussian of random width.", {{"applied", ValueKind::kFlag}, {"sigma"}});
}

}  // namespace viewfold::augment
