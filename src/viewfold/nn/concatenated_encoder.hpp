// Several encoders of one image, their features side by side.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/nn/encoder.hpp"

namespace viewfold {

/// Fuses encoders that keep different things by the concatenation of their features, in the order
/// of the parts and as they are (Ericsson et al., arXiv:2111.11398, "cat" in
/// model_utils.py of linusericsson/ssl-invariances). Images enter once, normalised for the whole;
/// each part sees them as scale * x + shift, so that it gets what it was trained on.
class ConcatenatedEncoder final : public Encoder {
 public:
  /// Parts with initial weights, made of spec.parts, scale 1 and shift 0. Throws ContractViolation
  /// unless there are parts, all with the bands and the input size of the whole.
  explicit ConcatenatedEncoder(const EncoderSpec& spec);

  at::Tensor forward(const at::Tensor& x) override;
  [[nodiscard]] std::int64_t feature_dim() const override;

  /// Gives part `index` the state of `trained`, which was made of the same spec.
  /// scale, shift  [C] float32
  /// Throws ContractViolation on other shapes or names, or where there is no such part.
  void set_part(std::size_t index,
                const Encoder& trained,
                const at::Tensor& scale,
                const at::Tensor& shift);

 private:
  struct Part {
    std::shared_ptr<Encoder> encoder;
    at::Tensor scale;  // [1, C, 1, 1]
    at::Tensor shift;  // [1, C, 1, 1]
  };
  std::vector<Part> parts_;
};

}  // namespace viewfold
