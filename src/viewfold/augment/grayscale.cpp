// Takes the colour away: three equal bands.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/color.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "grayscale";

struct GrayscaleConfig final : Config {
  double probability = 0.2;  // every recipe here

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views without colour; nothing happens unless there are 3 bands",
             .min = 0.0,
             .max = 1.0});
  }
};

class Grayscale final : public Augmentation {
 public:
  explicit Grayscale(const GrayscaleConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    return make_record(kName, {rng.bernoulli(config_.probability) ? 1.0F : 0.0F});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record) && canvas.image().bands() == 3) {
      const Image& image = canvas.image();
      remove_color(image, canvas.rewrite());
    }
  }

 private:
  GrayscaleConfig config_;
};

}  // namespace

AugmentationEntry grayscale_entry() {
  return augmentation_entry<Grayscale, GrayscaleConfig>(
      kName, "Replaces red, green and blue by their luma.", {{"applied", ValueKind::kFlag}});
}

}  // namespace viewfold::augment
