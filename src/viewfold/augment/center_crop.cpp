// Resizes the shorter side to the size of the view and cuts the central square.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/kernels/warp.hpp"
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

  void apply(const OpRecord& /*record*/, Canvas& canvas) const override {
    const Image& image = canvas.image();
    if (image.height() == size_ && image.width() == size_) {
      return;
    }
    Image& out = canvas.prepare(size_, size_, image.bands(), image.type());
    resize_center_crop(image, size_, canvas.scratch(), out);
    canvas.advance();
  }

  [[nodiscard]] int reduction(const OpRecord& /*record*/, ImageSize size) const override {
    return reduction_for_whole(size, size_);
  }

  void apply_to_mask(const OpRecord& /*record*/, Canvas& mask) const override {
    const Image& image = mask.image();
    const auto [x, y] = central_square(image.height(), image.width(), size_);
    Image& out = mask.prepare(size_, size_, image.bands(), image.type());
    warp_nearest(image, {.xx = x.scale, .x0 = x.begin, .yy = y.scale, .y0 = y.begin},
                 mask.scratch(), out);
    mask.advance();
  }

  [[nodiscard]] Point move(const OpRecord& /*record*/,
                           Point point,
                           ImageSize before) const override {
    const auto [x, y] = central_square(before.height, before.width, size_);
    return {(point.x - x.begin) / x.scale, (point.y - y.begin) / y.scale};
  }
  using Augmentation::move;

  [[nodiscard]] ImageSize size_after(ImageSize /*size*/) const override { return {size_, size_}; }

 private:
  int size_;
};

}  // namespace

AugmentationEntry center_crop_entry() {
  return augmentation_entry<CenterCrop, CenterCropConfig>(
      kName, "Resizes the shorter side to the view and cuts the central square; draws nothing.",
      {{"source_height", ValueKind::kInteger}, {"source_width", ValueKind::kInteger}});
}

}  // namespace viewfold::augment
