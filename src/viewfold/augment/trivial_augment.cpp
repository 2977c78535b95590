// TrivialAugment (Mueller and Hutter, arXiv:2103.10158): one operation of one strength, both chosen
// at random.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/augment/detail/policy.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "trivial_augment";
constexpr std::uint32_t kBins = 31;  // of magnitudes: torchvision's default

// The wide space: torchvision's TrivialAugmentWide._augmentation_space.
constexpr PolicySpace kSpace{.shear = 0.99,
                             .translate_share = 0.0,
                             .translate_pixels = 32.0,
                             .degrees = 135.0,
                             .factor = 0.99,
                             .posterize_bits = 6};

struct TrivialAugmentConfig final : Config {
  std::string interpolation = "nearest";

  void visit(FieldVisitor& v) override {
    v.field("interpolation", interpolation,
            {.doc = "how pixels that move are taken", .choices = {"nearest", "bilinear"}});
  }
};

class TrivialAugment final : public Augmentation {
 public:
  explicit TrivialAugment(const TrivialAugmentConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize size) const override {
    const std::uint32_t op = rng.below(kPolicyOps);
    const double strength = static_cast<double>(rng.below(kBins)) / (kBins - 1);
    double magnitude = policy_magnitude(op, strength, kSpace, size);
    if (policy_signed(op) && rng.bernoulli(0.5)) {
      magnitude = -magnitude;
    }
    return make_record(kName, {static_cast<float>(op), static_cast<float>(magnitude)});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    apply_policy(static_cast<std::uint32_t>(record.values[0]),
                 static_cast<double>(record.values[1]), config_.interpolation == "nearest", canvas);
  }

  void apply_to_mask(const OpRecord& record, Canvas& mask) const override {
    apply_policy_to_mask(static_cast<std::uint32_t>(record.values[0]),
                         static_cast<double>(record.values[1]), mask);
  }

  [[nodiscard]] Point move(const OpRecord& record, Point point, ImageSize before) const override {
    return policy_move(static_cast<std::uint32_t>(record.values[0]),
                       static_cast<double>(record.values[1]), point, before);
  }
  using Augmentation::move;

 private:
  TrivialAugmentConfig config_;
};

}  // namespace

AugmentationEntry trivial_augment_entry() {
  return augmentation_entry<TrivialAugment, TrivialAugmentConfig>(
      kName, "One operation of one strength, both chosen at random (TrivialAugment).",
      {{"operation", ValueKind::kInteger}, {"magnitude"}});
}

}  // namespace viewfold::augment
