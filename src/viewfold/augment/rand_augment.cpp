// RandAugment (Cubuk et al., arXiv:1909.13719): a few operations chosen at random, all of one
// strength.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/augment/detail/policy.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "rand_augment";
constexpr std::int64_t kMostOps = 6;
constexpr std::int64_t kBins = 31;  // of magnitudes: torchvision's default

// torchvision's RandAugment._augmentation_space.
constexpr PolicySpace kSpace{.shear = 0.3,
                             .translate_share = 150.0 / 331.0,
                             .translate_pixels = 0.0,
                             .degrees = 30.0,
                             .factor = 0.9,
                             .posterize_bits = 4};

struct RandAugmentConfig final : Config {
  std::int64_t ops = 2;        // torchvision's default, N of the paper
  std::int64_t magnitude = 9;  // ibid., M of the paper
  std::string interpolation = "nearest";

  void visit(FieldVisitor& v) override {
    v.field("ops", ops, {.doc = "operations for each view", .min = 1, .max = kMostOps});
    v.field("magnitude", magnitude,
            {.doc = "strength of all of them, in steps of a thirtieth of their range",
             .min = 0,
             .max = kBins - 1});
    v.field("interpolation", interpolation,
            {.doc = "how pixels that move are taken", .choices = {"nearest", "bilinear"}});
  }
};

class RandAugment final : public Augmentation {
 public:
  explicit RandAugment(const RandAugmentConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize size) const override {
    OpRecord record = make_record(kName, {});
    record.count = 2 * kMostOps;  // those beyond config_.ops do nothing
    const double strength = static_cast<double>(config_.magnitude) / static_cast<double>(kBins - 1);
    for (std::size_t i = 0; i < 2 * static_cast<std::size_t>(config_.ops); i += 2) {
      const std::uint32_t op = rng.below(kPolicyOps);
      double magnitude = policy_magnitude(op, strength, kSpace, size);
      if (policy_signed(op) && rng.bernoulli(0.5)) {
        magnitude = -magnitude;
      }
      record.values[i] = static_cast<float>(op);
      record.values[i + 1] = static_cast<float>(magnitude);
    }
    return record;
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    for (std::size_t i = 0; i < record.count; i += 2) {
      apply_policy(static_cast<std::uint32_t>(record.values[i]),
                   static_cast<double>(record.values[i + 1]), config_.interpolation == "nearest",
                   canvas);
    }
  }

  void apply_to_mask(const OpRecord& record, Canvas& mask) const override {
    for (std::size_t i = 0; i < record.count; i += 2) {
      apply_policy_to_mask(static_cast<std::uint32_t>(record.values[i]),
                           static_cast<double>(record.values[i + 1]), mask);
    }
  }

  [[nodiscard]] Point move(const OpRecord& record, Point point, ImageSize before) const override {
    for (std::size_t i = 0; i < record.count; i += 2) {
      point = policy_move(static_cast<std::uint32_t>(record.values[i]),
                          static_cast<double>(record.values[i + 1]), point, before);
    }
    return point;
  }
  using Augmentation::move;

 private:
  RandAugmentConfig config_;
};

}  // namespace

AugmentationEntry rand_augment_entry() {
  return augmentation_entry<RandAugment, RandAugmentConfig>(
      kName, "A few operations chosen at random, all of one strength (RandAugment).",
      {{"operation_1", ValueKind::kInteger},
       {"magnitude_1"},
       {"operation_2", ValueKind::kInteger},
       {"magnitude_2"},
       {"operation_3", ValueKind::kInteger},
       {"magnitude_3"},
       {"operation_4", ValueKind::kInteger},
       {"magnitude_4"},
       {"operation_5", ValueKind::kInteger},
       {"magnitude_5"},
       {"operation_6", ValueKind::kInteger},
       {"magnitude_6"}});
}

}  // namespace viewfold::augment
