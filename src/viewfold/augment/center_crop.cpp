// Resizes the shorter side to the size of the view and cuts the central square.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "center_crop";

struct CenterCropConfig final : Config {
  std::int64_t size = 224;

  void visit(FieldVisitor& v) override {
    v.field("size", size,
            {.doc = "height and width of the result in pixels; the view size in a recipe",
             .min = 1,
             .max = 16384});
  }
};

class CenterCrop final : public Augmentation {
 public:
  explicit CenterCrop(const CenterCropConfig& config) : size_(static_cast<int>(config.size)) {}

  [[nodiscard]] OpRecord sample(Rng& /*rng*/, ImageSize size) const override {
    return make_record(kName, {static_cast<float>(size.height), static_cast<float>(size.width)});
  }

  void apply(const OpRecord& /*record*/, Image& image) const override {
    if (image.height() != size_ || image.width() != size_) {
      image = resize_center_crop(image, size_);
    }
  }

  [[nodiscard]] ImageSize size_after(ImageSize /*size*/) const override { return {size_, size_}; }

 private:
  int size_;
};

}  // namespace

AugmentationEntry center_crop_entry() {
  return augmentation_entry<CenterCrop, CenterCropConfig>(
      kName, "Resizes the shorter side to the view and cuts the central square; draws nothing.",
      {"source_height", "source_width"});
}

}  // namespace viewfold::augment
