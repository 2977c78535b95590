// Changes brightness, contrast, saturation and hue by random amounts in random order.
#include <algorithm>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/color.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "color_jitter";

struct ColorJitterConfig final : Config {
  double probability = 0.8;  // with the strengths below: MoCo v2 (arXiv:2003.04297)
  double brightness = 0.4;
  double contrast = 0.4;
  double saturation = 0.4;
  double hue = 0.1;

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views whose colours change", .min = 0.0, .max = 1.0});
    v.field(
        "brightness", brightness,
        {.doc = "factor is drawn from 1 - this .. 1 + this, at least 0", .min = 0.0, .max = 100.0});
    v.field(
        "contrast", contrast,
        {.doc = "factor is drawn from 1 - this .. 1 + this, at least 0", .min = 0.0, .max = 100.0});
    v.field("saturation", saturation,
            {.doc = "factor is drawn from 1 - this .. 1 + this, at least 0; 3 bands only",
             .min = 0.0,
             .max = 100.0});
    v.field("hue", hue,
            {.doc = "turns of the colour wheel are drawn from -this .. this; 3 bands only",
             .min = 0.0,
             .max = 0.5});
  }
};

float factor(Rng& rng, double strength) {
  return static_cast<float>(rng.uniform(std::max(0.0, 1.0 - strength), 1.0 + strength));
}

// The order of the four steps as the digits of a number: 1234 is brightness, contrast, saturation,
// hue.
int draw_order(Rng& rng) {
  int order = 0;
  std::array<std::uint32_t, 4> steps{};
  rng.permute(steps);
  for (const auto step : steps) {
    order = 10 * order + static_cast<int>(step) + 1;
  }
  return order;
}

std::array<ColorStep, 4> decode_order(int order) {
  std::array<ColorStep, 4> steps{};
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    *step = static_cast<ColorStep>(order % 10);
    order /= 10;
  }
  return steps;
}

class ColorJitter final : public Augmentation {
 public:
  explicit ColorJitter(const ColorJitterConfig& config) : config_(config) {}

  // When nothing happens the record says so in every value: factors 1, hue 0.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 1234.0F, 1.0F, 1.0F, 1.0F, 0.0F});
    }
    const auto order = static_cast<float>(draw_order(rng));
    const float brightness = factor(rng, config_.brightness);
    const float contrast = factor(rng, config_.contrast);
    const float saturation = factor(rng, config_.saturation);
    const auto hue = static_cast<float>(rng.uniform(-config_.hue, config_.hue));
    return make_record(kName, {1.0F, order, brightness, contrast, saturation, hue});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (!happened(record)) {
      return;
    }
    const auto& values = record.values;
    const Image& image = canvas.image();
    change_colors(image, canvas.scratch(),
                  {.order = decode_order(static_cast<int>(values[1])),
                   .brightness = values[2],
                   .contrast = values[3],
                   .saturation = values[4],
                   .hue = values[5]},
                  canvas.rewrite());
  }

 private:
  ColorJitterConfig config_;
};

}  // namespace

AugmentationEntry color_jitter_entry() {
  return augmentation_entry<ColorJitter, ColorJitterConfig>(
      kName, "Changes brightness, contrast, saturation and hue in random order.",
      {{"applied", ValueKind::kFlag},
       {"order", ValueKind::kInteger},
       {"brightness"},
       {"contrast"},
       {"saturation"},
       {"hue"}});
}

}  // namespace viewfold::augment
