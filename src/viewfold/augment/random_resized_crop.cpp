// Cuts a box of random area and shape (Inception crop) and resizes it to the size of the view.
#include <algorithm>
#include <cmath>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "random_resized_crop";

struct RandomResizedCropConfig final : Config {
  double scale_min = 0.08;  // torchvision's and SimCLR's default
  double scale_max = 1.0;
  double ratio_min = 3.0 / 4.0;
  double ratio_max = 4.0 / 3.0;
  std::int64_t size = 224;
  std::string interpolation = "bilinear";
  bool antialias = true;

  void visit(FieldVisitor& v) override {
    v.field("scale_min", scale_min,
            {.doc = "smallest area of the box, as a share of the image", .min = 1e-6, .max = 1.0});
    v.field("scale_max", scale_max,
            {.doc = "largest area of the box, as a share of the image", .min = 1e-6, .max = 1.0});
    v.field("ratio_min", ratio_min,
            {.doc = "smallest width / height of the box", .min = 0.01, .max = 100.0});
    v.field("ratio_max", ratio_max,
            {.doc = "largest width / height of the box", .min = 0.01, .max = 100.0});
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

Box box_of(const OpRecord& record) {
  const auto value = [&](std::size_t i) { return static_cast<int>(record.values[i]); };
  return {value(0), value(1), value(2), value(3)};
}

OpRecord record_of(const Box& box, ImageSize size) {
  return make_record(kName, {static_cast<float>(box.x), static_cast<float>(box.y),
                             static_cast<float>(box.width), static_cast<float>(box.height),
                             static_cast<float>(size.height), static_cast<float>(size.width)});
}

// How many times smaller the image is than the one that the record was drawn for.
int reduction_of(const OpRecord& record, const Image& image) {
  const auto side = [&](std::size_t i, int smaller) {
    return (static_cast<int>(record.values[i]) + smaller - 1) / smaller;
  };
  for (const int smaller : {1, 2, 4, 8}) {
    if (side(4, smaller) == image.height() && side(5, smaller) == image.width()) {
      return smaller;
    }
  }
  return 1;
}

class RandomResizedCrop final : public Augmentation {
 public:
  explicit RandomResizedCrop(const RandomResizedCropConfig& config)
      : config_(config),
        size_(static_cast<int>(config.size)),
        log_ratio_min_(std::log(config.ratio_min)),
        log_ratio_max_(std::log(config.ratio_max)),
        interpolation_(config.interpolation == "bicubic" ? Interpolation::kBicubic
                                                         : Interpolation::kBilinear) {
    check_range(kName, "scale_min", config.scale_min, "scale_max", config.scale_max);
    check_range(kName, "ratio_min", config.ratio_min, "ratio_max", config.ratio_max);
  }

  // The procedure of torchvision's RandomResizedCrop.get_params.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize size) const override {
    constexpr int kTries = 10;
    const double area = static_cast<double>(size.height) * size.width;
    for (int i = 0; i < kTries; ++i) {
      const double target = area * rng.uniform(config_.scale_min, config_.scale_max);
      const double ratio = std::exp(rng.uniform(log_ratio_min_, log_ratio_max_));
      const double width = std::round(std::sqrt(target * ratio));
      const double height = std::round(std::sqrt(target / ratio));
      if (width < 1.0 || height < 1.0 || width > size.width || height > size.height) {
        continue;
      }
      const Box box{.width = static_cast<int>(width), .height = static_cast<int>(height)};
      return record_of(place(rng, box, size), size);
    }
    return record_of(central_box(size), size);
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    const Image& image = canvas.image();
    Image& out = canvas.prepare(size_, size_, image.bands(), image.type());
    // Nothing outside the box leaks in at its rim: all published recipes cut first.
    resize_crop(image, box_of(record),
                {.interpolation = interpolation_,
                 .antialias = config_.antialias,
                 .isolated = true,
                 .reduced = reduction_of(record, image)},
                canvas.scratch(), out);
    canvas.advance();
  }

  [[nodiscard]] int reduction(const OpRecord& record, ImageSize /*size*/) const override {
    const Box box = box_of(record);
    return config_.antialias ? reduction_for(box.height, box.width, size_) : 1;
  }

  void apply_to_mask(const OpRecord& record, Canvas& mask) const override {
    const Image& image = mask.image();
    Image& out = mask.prepare(size_, size_, image.bands(), image.type());
    resize_crop_nearest(image, box_of(record), out);
    mask.advance();
  }

  [[nodiscard]] Point move(const OpRecord& record,
                           Point point,
                           ImageSize /*before*/) const override {
    const Box box = box_of(record);
    return {(point.x - box.x) * size_ / box.width, (point.y - box.y) * size_ / box.height};
  }
  using Augmentation::move;

  [[nodiscard]] ImageSize size_after(ImageSize /*size*/) const override { return {size_, size_}; }

 private:
  static Box place(Rng& rng, Box box, ImageSize size) {
    box.y = static_cast<int>(rng.below(static_cast<std::uint32_t>(size.height - box.height + 1)));
    box.x = static_cast<int>(rng.below(static_cast<std::uint32_t>(size.width - box.width + 1)));
    return box;
  }

  // The largest central box with an allowed ratio.
  [[nodiscard]] Box central_box(ImageSize size) const {
    const double ratio = static_cast<double>(size.width) / size.height;
    Box box{.width = size.width, .height = size.height};
    if (ratio < config_.ratio_min) {
      box.height = std::max(1, static_cast<int>(std::round(size.width / config_.ratio_min)));
    } else if (ratio > config_.ratio_max) {
      box.width = std::max(1, static_cast<int>(std::round(size.height * config_.ratio_max)));
    }
    box.x = (size.width - box.width) / 2;
    box.y = (size.height - box.height) / 2;
    return box;
  }

  RandomResizedCropConfig config_;
  int size_;
  double log_ratio_min_;
  double log_ratio_max_;
  Interpolation interpolation_;
};

}  // namespace

AugmentationEntry random_resized_crop_entry() {
  return augmentation_entry<RandomResizedCrop, RandomResizedCropConfig>(
      kName, "Cuts a box of random area and shape and resizes it to the view.",
      {{"x", ValueKind::kInteger},
       {"y", ValueKind::kInteger},
       {"width", ValueKind::kInteger},
       {"height", ValueKind::kInteger},
       {"source_height", ValueKind::kInteger},
       {"source_width", ValueKind::kInteger}});
}

}  // namespace viewfold::augment
