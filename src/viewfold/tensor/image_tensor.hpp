// Images to normalised tensors.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/image/image.hpp"

namespace viewfold {

/// Per-band statistics of pixel values in [0, 1]; what a network sees is (value - mean) / std.
struct Normalization {
  std::vector<double> mean;  // one per band
  std::vector<double> std;   // one per band, > 0
};

/// A Normalization made ready for many images.
class Normalizer {
 public:
  /// Throws ContractViolation unless there is one mean and one std per band.
  explicit Normalizer(const Normalization& normalization);

  /// Writes the normalised values of `image` to `out` in HWC order; out has value_count() elements.
  /// Throws ContractViolation when sizes or band counts do not fit.
  void write(const Image& image, std::span<float> out) const;

  /// The same, rounded to the nearest bfloat16 as Tensor::to() does.
  void write(const Image& image, std::span<at::BFloat16> out) const;

 private:
  // Per band and repeated, for values that count to 255, 65535 and 1.
  struct Pattern {
    std::vector<float> scale;
    std::vector<float> shift;
  };
  [[nodiscard]] const Pattern& pattern_for(const Image& image) const;

  std::size_t bands_;
  std::array<Pattern, 3> patterns_;
};

/// Writes the normalised values of `image` to `out` in HWC order; out has value_count() elements.
/// Throws ContractViolation when sizes or band counts do not fit.
void write_normalized(const Image& image, const Normalization& normalization, std::span<float> out);

/// images, all of one size and band count
/// returns [N, C, H, W] float32, channels-last memory, normalised. Throws ContractViolation on an
/// empty list or unequal sizes.
[[nodiscard]] at::Tensor to_tensor(std::span<const Image> images,
                                   const Normalization& normalization);

/// An uninitialised [N, C, H, W] tensor in channels-last memory.
[[nodiscard]] at::Tensor empty_channels_last(std::int64_t n,
                                             std::int64_t c,
                                             std::int64_t h,
                                             std::int64_t w,
                                             at::ScalarType type = at::kFloat);

/// "[256, 128]", for messages.
[[nodiscard]] std::string shape_text(const at::Tensor& tensor);

}  // namespace viewfold
