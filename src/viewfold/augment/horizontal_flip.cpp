// Mirrors left and right.
#include <algorithm>
#include <cstddef>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/pixel.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "horizontal_flip";

struct HorizontalFlipConfig final : Config {
  double probability = 0.5;  // every recipe here

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are mirrored", .min = 0.0, .max = 1.0});
  }
};

template <class T>
void flip_row(std::span<T> row, std::size_t bands) {
  T* left = row.data();
  T* right = row.data() + row.size() - bands;
  for (; left < right; left += bands, right -= bands) {
    std::swap_ranges(left, left + bands, right);
  }
}

class HorizontalFlip final : public Augmentation {
 public:
  explicit HorizontalFlip(const HorizontalFlipConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    return make_record(kName, {rng.bernoulli(config_.probability) ? 1.0F : 0.0F});
  }

  void apply(const OpRecord& record, Image& image) const override {
    if (!happened(record)) {
      return;
    }
    const auto bands = static_cast<std::size_t>(image.bands());
    const std::size_t stride = static_cast<std::size_t>(image.width()) * bands;
    with_pixel_type(image.type(), [&]<class T>() {
      const auto values = image.values<T>();
      for (std::size_t start = 0; start < values.size(); start += stride) {
        flip_row(values.subspan(start, stride), bands);
      }
    });
  }

 private:
  HorizontalFlipConfig config_;
};

}  // namespace

AugmentationEntry horizontal_flip_entry() {
  return augmentation_entry<HorizontalFlip, HorizontalFlipConfig>(kName, "Mirrors left and right.",
                                                                  {"applied"});
}

}  // namespace viewfold::augment
