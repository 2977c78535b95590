// Erases a random rectangle: torchvision's RandomErasing, on pixels instead of normalised tensors.
// Where that writes standard normal numbers, noise here is uniform over the full range; "mean" is
// the mean of each band of the picture, which torchvision does not know.
#include <algorithm>
#include <cmath>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/pixel.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "random_erasing";

struct RandomErasingConfig final : Config {
  double probability = 0.5;  // all of these: torchvision's defaults
  double scale_min = 0.02;
  double scale_max = 0.33;
  double ratio_min = 0.3;
  double ratio_max = 3.3;
  std::string value = "zero";

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that lose a rectangle", .min = 0.0, .max = 1.0});
    v.field(
        "scale_min", scale_min,
        {.doc = "smallest area of the rectangle, as a share of the image", .min = 0.0, .max = 1.0});
    v.field(
        "scale_max", scale_max,
        {.doc = "largest area of the rectangle, as a share of the image", .min = 0.0, .max = 1.0});
    v.field("ratio_min", ratio_min,
            {.doc = "smallest height / width of the rectangle", .min = 0.01, .max = 100.0});
    v.field("ratio_max", ratio_max,
            {.doc = "largest height / width of the rectangle", .min = 0.01, .max = 100.0});
    v.field("value", value,
            {.doc = "what is written into it: black, the mean of each band, or uniform noise",
             .choices = {"zero", "mean", "noise"}});
  }
};

// Calls visit(row) with the values of each row of the rectangle.
template <class T, class Visit>
void for_rows(Image& image, const Box& box, const Visit& visit) {
  const auto bands = static_cast<std::size_t>(image.bands());
  const auto values = image.values<T>();
  for (int y = box.y; y < box.y + box.height; ++y) {
    const auto first = static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width()) +
                       static_cast<std::size_t>(box.x);
    visit(values.subspan(first * bands, static_cast<std::size_t>(box.width) * bands));
  }
}

void erase_to_black(Image& image, const Box& box) {
  with_pixel_type(image.type(), [&]<class T>() {
    for_rows<T>(image, box, [](std::span<T> row) { std::fill(row.begin(), row.end(), T{0}); });
  });
}

// The sum of every band. Adds up runs of values at the same places, which the compiler turns into
// vectors, and the bands at the end.
template <class T>
void sum_bands(std::span<const T> values, std::span<double> sums, Scratch& scratch) {
  using Sum = std::conditional_t<std::is_integral_v<T>, std::uint64_t, double>;
  constexpr std::size_t kRepeats = 16;
  const auto partial = scratch.get<Sum>(1, kRepeats * sums.size());
  std::fill(partial.begin(), partial.end(), Sum{0});
  std::size_t i = 0;
  for (; i + partial.size() <= values.size(); i += partial.size()) {
    for (std::size_t k = 0; k < partial.size(); ++k) {
      partial[k] += static_cast<Sum>(values[i + k]);
    }
  }
  for (std::size_t k = 0; i + k < values.size(); ++k) {
    partial[k] += static_cast<Sum>(values[i + k]);
  }
  std::fill(sums.begin(), sums.end(), 0.0);
  for (std::size_t k = 0; k < partial.size(); ++k) {
    sums[k % sums.size()] += static_cast<double>(partial[k]);
  }
}

void erase_to_mean(Image& image, const Box& box, Scratch& scratch) {
  const auto bands = static_cast<std::size_t>(image.bands());
  const auto sums = scratch.get<double>(0, bands);
  with_pixel_type(image.type(), [&]<class T>() {
    sum_bands<T>(image.values<T>(), sums, scratch);
    const double pixels = static_cast<double>(image.height()) * image.width();
    const auto filled = scratch.get<T>(1, static_cast<std::size_t>(box.width) * bands);
    for (std::size_t i = 0; i < filled.size(); ++i) {
      filled[i] = i < bands ? to_pixel<T>(static_cast<float>(sums[i] / pixels)) : filled[i - bands];
    }
    for_rows<T>(image, box, [&](std::span<T> row) { std::ranges::copy(filled, row.begin()); });
  });
}

void erase_to_noise(Image& image, const Box& box, std::uint32_t seed) {
  Rng rng({.seed = seed, .stream = kName});
  with_pixel_type(image.type(), [&]<class T>() {
    for_rows<T>(image, box, [&](std::span<T> row) {
      for (T& value : row) {
        value = to_pixel<T>(static_cast<float>(rng.uniform()) * full_scale<T>());
      }
    });
  });
}

class RandomErasing final : public Augmentation {
 public:
  explicit RandomErasing(const RandomErasingConfig& config) : config_(config) {
    check_range(kName, "scale_min", config.scale_min, "scale_max", config.scale_max);
    check_range(kName, "ratio_min", config.ratio_min, "ratio_max", config.ratio_max);
  }

  // The procedure of torchvision's RandomErasing.get_params. When no rectangle fits, or the one
  // that does has no pixels, nothing happens and all values are recorded as 0.
  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize size) const override {
    constexpr int kTries = 10;
    const double area = static_cast<double>(size.height) * size.width;
    const bool wanted = rng.bernoulli(config_.probability);
    for (int i = 0; wanted && i < kTries; ++i) {
      const double target = area * rng.uniform(config_.scale_min, config_.scale_max);
      const double ratio =
          std::exp(rng.uniform(std::log(config_.ratio_min), std::log(config_.ratio_max)));
      const double height = std::nearbyint(std::sqrt(target * ratio));
      const double width = std::nearbyint(std::sqrt(target / ratio));
      if (height >= size.height || width >= size.width) {
        continue;
      }
      if (height < 1.0 || width < 1.0) {
        break;
      }
      const std::uint32_t y = rng.below(static_cast<std::uint32_t>(size.height - height + 1.0));
      const std::uint32_t x = rng.below(static_cast<std::uint32_t>(size.width - width + 1.0));
      return make_record(
          kName, {1.0F, static_cast<float>(x), static_cast<float>(y), static_cast<float>(width),
                  static_cast<float>(height), draw_seed(rng)});
    }
    return make_record(kName, {0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F});
  }

  void apply(const OpRecord& record, Canvas& canvas) const override {
    if (!happened(record)) {
      return;
    }
    const Box box = box_of(record);
    if (config_.value == "mean") {
      erase_to_mean(canvas.edit(), box, canvas.scratch());
    } else if (config_.value == "noise") {
      erase_to_noise(canvas.edit(), box, static_cast<std::uint32_t>(record.values[5]));
    } else {
      erase_to_black(canvas.edit(), box);
    }
  }

  /// What is erased belongs to no class: 0.
  void apply_to_mask(const OpRecord& record, Canvas& mask) const override {
    if (happened(record)) {
      erase_to_black(mask.edit(), box_of(record));
    }
  }

 private:
  static Box box_of(const OpRecord& record) {
    const auto value = [&](std::size_t i) { return static_cast<int>(record.values[i]); };
    return {value(1), value(2), value(3), value(4)};
  }

  RandomErasingConfig config_;
};

}  // namespace

AugmentationEntry random_erasing_entry() {
  return augmentation_entry<RandomErasing, RandomErasingConfig>(kName, "Erases a random rectangle.",
                                                                {{"applied", ValueKind::kFlag},
                                                                 {"x", ValueKind::kInteger},
                                                                 {"y", ValueKind::kInteger},
                                                                 {"width", ValueKind::kInteger},
                                                                 {"height", ValueKind::kInteger},
                                                                 {"seed", ValueKind::kInteger}});
}

}  // namespace viewfold::augment
