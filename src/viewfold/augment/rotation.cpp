// Turns the image around its centre by a random angle; what comes in at the corners is black.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/pixel.hpp"

namespace viewfold::augment {
namespace {

constexpr std::string_view kName = "rotation";

struct RotationConfig final : Config {
  double probability = 1.0;
  double degrees = 15.0;  // ours: small enough not to turn a 6 into a 9

  void visit(FieldVisitor& v) override {
    v.field("probability", probability,
            {.doc = "share of views that are turned", .min = 0.0, .max = 1.0});
    v.field("degrees", degrees,
            {.doc = "the angle is drawn from -this .. this, counter-clockwise",
             .min = 0.0,
             .max = 180.0});
  }
};

// A source position: indices of the upper left of four neighbours, and how far it is beyond it.
struct Position {
  int y = 0;
  int x = 0;
  float down = 0.0F;
  float right = 0.0F;
};

Position position_of(double y, double x) {
  const double top = std::floor(y);
  const double left = std::floor(x);
  return {static_cast<int>(top), static_cast<int>(left), static_cast<float>(y - top),
          static_cast<float>(x - left)};
}

// Adds `weight` times the pixel to the sums; pixels outside count as black.
template <class T>
void add_pixel(const Image& image, int y, int x, float weight, std::vector<float>& sums) {
  if (y < 0 || x < 0 || y >= image.height() || x >= image.width()) {
    return;
  }
  const std::size_t index = static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width()) +
                            static_cast<std::size_t>(x);
  const T* pixel = &image.values<T>()[index * sums.size()];
  for (std::size_t band = 0; band < sums.size(); ++band) {
    sums[band] += weight * static_cast<float>(pixel[band]);
  }
}

template <class T>
Image rotate(const Image& image, double radians) {
  Image out(image.height(), image.width(), image.bands(), image.type());
  std::vector<float> sums(static_cast<std::size_t>(image.bands()));
  const double cosine = std::cos(radians);
  const double sine = std::sin(radians);
  const double center_y = (image.height() - 1) / 2.0;
  const double center_x = (image.width() - 1) / 2.0;
  T* to = out.values<T>().data();
  for (int y = 0; y < image.height(); ++y) {
    for (int x = 0; x < image.width(); ++x) {
      const double dy = y - center_y;
      const double dx = x - center_x;
      const auto at =
          position_of(center_y + sine * dx + cosine * dy, center_x + cosine * dx - sine * dy);
      std::fill(sums.begin(), sums.end(), 0.0F);
      add_pixel<T>(image, at.y, at.x, (1.0F - at.down) * (1.0F - at.right), sums);
      add_pixel<T>(image, at.y, at.x + 1, (1.0F - at.down) * at.right, sums);
      add_pixel<T>(image, at.y + 1, at.x, at.down * (1.0F - at.right), sums);
      add_pixel<T>(image, at.y + 1, at.x + 1, at.down * at.right, sums);
      to = std::transform(sums.begin(), sums.end(), to, to_pixel<T>);
    }
  }
  return out;
}

class Rotation final : public Augmentation {
 public:
  explicit Rotation(const RotationConfig& config) : config_(config) {}

  [[nodiscard]] OpRecord sample(Rng& rng, ImageSize /*size*/) const override {
    if (!rng.bernoulli(config_.probability)) {
      return make_record(kName, {0.0F, 0.0F});
    }
    const double degrees = rng.uniform(-config_.degrees, config_.degrees);
    return make_record(kName, {1.0F, static_cast<float>(degrees)});
  }

  void apply(const OpRecord& record, Image& image) const override {
    if (!happened(record) || record.values[1] == 0.0F) {
      return;
    }
    const double radians = static_cast<double>(record.values[1]) * std::numbers::pi / 180.0;
    image = with_pixel_type(image.type(), [&]<class T>() { return rotate<T>(image, radians); });
  }

 private:
  RotationConfig config_;
};

}  // namespace

AugmentationEntry rotation_entry() {
  return augmentation_entry<Rotation, RotationConfig>(
      kName, "Turns the image around its centre by a random angle.", {"applied", "degrees"});
}

}  // namespace viewfold::augment
