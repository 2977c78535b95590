// The encoder: images to features. What everything else trains, measures and exports.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <torch/nn/module.h>

#include "viewfold/core/config.hpp"

namespace viewfold {

/// Maps images to features.
class Encoder : public torch::nn::Module {
 public:
  /// x        [N, C, H, W] float32, normalised
  /// returns  [N, D], D = feature_dim()
  virtual at::Tensor forward(const at::Tensor& x) = 0;

  /// Features of a batch whose `parts` equal parts are batches of their own for batch norm: in
  /// training, each is normalised by its own statistics. Throws ContractViolation when N is no
  /// multiple of `parts`.
  virtual at::Tensor forward_parts(const at::Tensor& x, std::int64_t parts);
  [[nodiscard]] virtual std::int64_t feature_dim() const = 0;

  /// The maps at the end of each stage, [N, C_l, H_l, W_l], from fine to coarse; what is made of
  /// them has gradients down to x. Throws UsageError unless has_stages().
  virtual std::vector<at::Tensor> stages(const at::Tensor& x);
  [[nodiscard]] virtual bool has_stages() const { return false; }
};

/// The settings of an encoder that are the user's to choose.
struct EncoderConfig : Config {
  std::int64_t width = 64;  // standard ResNets: He et al., arXiv:1512.03385, Table 1
  std::string stem = "auto";
  bool zero_init_residual = false;

  void visit(FieldVisitor& v) override;
};

/// An encoder as it is to be made: the user's settings and what the data says.
struct EncoderSpec {
  std::string name;  // of a row of encoder_table(); kConcatenation where it has parts
  std::int64_t width = 64;
  std::string stem = "auto";  // auto, cifar, half or imagenet
  std::int64_t in_channels = 3;
  std::int64_t input_size = 32;  // side of the views in pixels
  bool zero_init_residual = false;
  // Encoders whose features stand side by side (nn/concatenated_encoder.hpp): then width, stem and
  // zero_init_residual say nothing.
  std::vector<EncoderSpec> parts = {};
};

/// What an encoder of several is called.
inline constexpr std::string_view kConcatenation = "concatenation";

/// One row of the table of encoders. `src/viewfold/nn/encoders/<stem>.cpp` defines
/// `<stem>_entry()`.
struct EncoderEntry {
  std::string_view name;     // the file stem
  std::string_view summary;  // one line for `viewfold list encoders`
  std::shared_ptr<Encoder> (*make)(const EncoderSpec& spec);  // spec.stem is not auto
};

/// All encoders, by name. Generated from the file names in `src/viewfold/nn/encoders/`.
[[nodiscard]] std::span<const EncoderEntry> encoder_table();

/// The row called `name`. Throws UsageError with the nearest known name.
[[nodiscard]] const EncoderEntry& find_encoder(std::string_view name);

/// `stem`, or, when it is auto, the stem that suits images of `input_size` pixels: cifar up to 64,
/// where the stride of 4 of the imagenet stem would leave too little of the image. Throws
/// UsageError on another word.
[[nodiscard]] std::string resolve_stem(const std::string& stem, std::int64_t input_size);

/// A new encoder, initialised from the default generator of LibTorch. Throws UsageError on unknown
/// names, ContractViolation on sizes below 1.
[[nodiscard]] std::shared_ptr<Encoder> make_encoder(const EncoderSpec& spec);

}  // namespace viewfold
