// Keeps only the upper bits of every value. torchvision does so for uint8 alone; values of finer
// types end on the same grey levels here.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/point.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "posterize";

struct PosterizeConfig final : Config {
  double probability = 0.5;  // torchvision's default
  std::int64_t bits_min =
      4;  // with bits_max: AutoAugment (arXiv:1805.09501), its list of transformations
  std::int64_t bits_max = 8;

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that lose bits", .min = 0.0, .max = 1.0});
    v.field("bits_min", bits_min, {.doc = "fewest bits of 8 that are kept", .min = 1, .max = 8});
    v.field("bits_max", bits_max, {.doc = "most bits of 8 that are kept", .min = 1, .max = 8});
  }
};

class Posterize final : public Augmentation {
 public:
  explicit Posterize(const PosterizeConfig& config) : config_(config) {
    check_range(kName, "bits_min", static_cast<double>(config.bits_min), "bits_max",
                static_cast<double>(config.bits_max));
  }

  // 8 bits are recorded when nothing happens.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 8.0F});
    }
    const auto choices = static_cast<std::uint32_t>(config_.bits_max - config_.bits_min + 1);
    const std::int64_t bits = config_.bits_min + rng.below(choices);
    return make_record(kName, {1.0F, static_cast<float>(bits)});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (happened(record)) {
      viewfold::posterize(canvas.image(), static_cast<int>(record.values[1]), prepare_like(canvas));
      canvas.advance();
    }
  }

 private:
  PosterizeConfig config_;
};

}  // namespace

AugmentationEntry posterize_entry() {
  return augmentation_entry<Posterize, PosterizeConfig>(
      kName, "Keeps only the upper bits of every value.",
      {{"applied", ValueKind::kFlag}, {"bits", ValueKind::kInteger}});
}

}  // namespace viewfold::augment
