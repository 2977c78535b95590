// Resizes the whole image to the size of the view, whatever its shape: torchvision's resize to
// size x size. Rounds once at the end; where an antialiased bicubic filter overshoots, values are
// limited between its two passes too, as in Pillow but not in torchvision's tensor back end.
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "resize";

struct ResizeConfig final : Config {
  std::int64_t size = 224;
  std::string interpolation = "bilinear";
  bool antialias = true;

  void visit(FieldVisitor& v) override {
    v.field("size", size,
            {.doc = "height and width of the result in pixels; the view size in a recipe",
             .min = 1,
             .max = 16384});
    v.field("interpolation", interpolation,
            {.doc = "filter of the resize", .choices = {"bilinear", "bicubic"}});
    v.field(
        "antialias", antialias,
        {.doc = "stretch the filter when shrinking, as Pillow does; off as torch's interpolate"});
  }
};

class Resize final : public Augmentation {
 public:
  explicit Resize(const ResizeConfig& config)
      : size_(static_cast<int>(config.size)),
        options_{.interpolation = config.interpolation == "bicubic" ? Interpolation::kBicubic
                                                                    : Interpolation::kBilinear,
                 .antialias = config.antialias} {}

  [[nodiscard]] OpRecord sample(Rng& /*rng*/, ImageSize size) const override {
    return make_record(kName, {static_cast<float>(size.height), static_cast<float>(size.width)});
  }

  void apply(const OpRecord& /*record*/, Canvas& canvas) const override {
    const Image& image = canvas.image();
    if (image.height() == size_ && image.width() == size_) {
      return;
    }
    Image& out = canvas.prepare(size_, size_, image.bands(), image.type());
    resize_crop(image, whole(image), options_, canvas.scratch(), out);
    canvas.advance();
  }

  [[nodiscard]] int reduction(const OpRecord& /*record*/, ImageSize size) const override {
    return options_.antialias ? reduction_for_whole(size, size_) : 1;
  }

  void apply_to_mask(const OpRecord& /*record*/, Canvas& mask) const override {
    const Image& image = mask.image();
    Image& out = mask.prepare(size_, size_, image.bands(), image.type());
    resize_crop_nearest(image, whole(image), out);
    mask.advance();
  }

  [[nodiscard]] Point move(const OpRecord& /*record*/,
                           Point point,
                           ImageSize before) const override {
    return {point.x * size_ / before.width, point.y * size_ / before.height};
  }
  using Augmentation::move;

  [[nodiscard]] ImageSize size_after(ImageSize /*size*/) const override { return {size_, size_}; }

 private:
  static Box whole(const Image& image) {
    return {.width = image.width(), .height = image.height()};
  }

  int size_;
  ResizeOptions options_;
};

}  // namespace

AugmentationEntry resize_entry() {
  return augmentation_entry<Resize, ResizeConfig>(
      kName, "Resizes the whole image to the view, whatever its shape; draws nothing.",
      {{"source_height", ValueKind::kInteger}, {"source_width", ValueKind::kInteger}});
}

}  // namespace viewfold::augment
