// What the tests of view operations share: operations with settings, pictures, and their
// differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "viewfold/augment/augmentation.hpp"
#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/image/pixel.hpp"

namespace viewfold::testing {

/// Operation `name` with these settings, as the command line would set them.
inline std::unique_ptr<Augmentation> make_operation(
    std::string_view name,
    std::initializer_list<std::pair<std::string, std::string>> settings = {}) {
  const auto& entry = find_augmentation(name);
  const auto config = entry.config();
  ConfigSource source;
  for (const auto& [key, text] : settings) {
    source.set(key, text, "--" + key);
  }
  read_config(*config, source);
  return entry.make(*config);
}

/// The operation at its defaults, but so that it always happens and makes small images.
inline std::unique_ptr<Augmentation> certain(const AugmentationEntry& entry) {
  const auto config = entry.config();
  ConfigSource source;
  for (const auto& field : describe_config(*config)) {
    if (field.key == "probability") {
      source.set(field.key, "1", "test");
    } else if (field.key == "size") {
      source.set(field.key, "20", "test");
    }
  }
  read_config(*config, source);
  return entry.make(*config);
}

/// The image that `op` makes of `image` with this record.
inline Image applied(const Augmentation& op, const OpRecord& record, const Image& image) {
  Canvas canvas;
  canvas.start(image);
  op.apply(record, canvas);
  return canvas.image();
}

/// The image that `op` makes of `image` when it has drawn `values`.
inline Image applied(const Augmentation& op,
                     std::string_view name,
                     std::initializer_list<float> values,
                     const Image& image) {
  return applied(op, make_record(OperationId(operation_id(name)), values), image);
}

/// Keyed noise over the full range of the pixel type.
inline Image noise(ImageSize size, int bands, PixelType type, std::uint32_t sample = 0) {
  Image image(size.height, size.width, bands, type);
  Rng rng({.seed = 5, .stream = "noise", .sample = sample});
  with_pixel_type(type, [&]<class T>() {
    for (T& value : image.values<T>()) {
      value = to_pixel<T>(static_cast<float>(rng.uniform()) * full_scale<T>());
    }
  });
  return image;
}

/// How two uint8 images differ, in grey levels.
struct Difference {
  int largest = 0;
  double share = 0.0;  // of the values that differ at all
};

inline Difference difference(const Image& a, const Image& b) {
  const auto x = a.values<std::uint8_t>();
  const auto y = b.values<std::uint8_t>();
  Difference found;
  for (std::size_t i = 0; i < x.size(); ++i) {
    found.largest = std::max(found.largest, std::abs(int{x[i]} - int{y[i]}));
    found.share += x[i] != y[i] ? 1.0 / static_cast<double>(x.size()) : 0.0;
  }
  return found;
}

}  // namespace viewfold::testing
