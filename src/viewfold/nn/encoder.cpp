// Implements the choice of an encoder.
#include "viewfold/nn/encoder.hpp"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/named_table.hpp"
#include "viewfold/nn/concatenated_encoder.hpp"

namespace viewfold {

at::Tensor Encoder::forward_parts(const at::Tensor& x, std::int64_t parts) {
  check(parts >= 1 && x.size(0) % parts == 0,
        fmt::format("a batch of {} has no {} equal parts", x.size(0), parts));
  std::vector<at::Tensor> features;
  for (const auto& part : x.chunk(parts)) {
    features.push_back(forward(part.contiguous(at::MemoryFormat::ChannelsLast)));
  }
  return at::cat(features);
}

std::vector<at::Tensor> Encoder::stages(const at::Tensor& /*x*/) {
  throw UsageError("this encoder has no stages to look at (a ResNet has)");
}

void EncoderConfig::visit(FieldVisitor& v) {
  v.field("width", width,
          {.doc = "channels of the first stage; 64 is the standard", .min = 1, .max = 1024});
  v.field(
      "stem", stem,
      {.doc = "first layer: cifar (3x3, full size), half (3x3, half the size), imagenet (7x7, a "
              "quarter) or by image size",
       .choices = {"auto", "cifar", "half", "imagenet"}});
  v.field("zero_init_residual", zero_init_residual,
          {.doc = "start every residual block as the identity"});
}

const EncoderEntry& find_encoder(std::string_view name) {
  return find_row(encoder_table(), name, "encoder");
}

std::string resolve_stem(const std::string& stem, std::int64_t input_size) {
  constexpr std::int64_t kLargestSmallImage = 64;  // ours: STL-10 recipes at 64 pixels do both
  if (stem == "auto") {
    return input_size <= kLargestSmallImage ? "cifar" : "imagenet";
  }
  if (stem != "cifar" && stem != "half" && stem != "imagenet") {
    throw UsageError(fmt::format("unknown stem '{}' (known: auto, cifar, half, imagenet)", stem));
  }
  return stem;
}

std::shared_ptr<Encoder> make_encoder(const EncoderSpec& spec) {
  check(spec.width >= 1 && spec.in_channels >= 1 && spec.input_size >= 1,
        fmt::format("an encoder of width {} for {} channels of {} pixels cannot be made",
                    spec.width, spec.in_channels, spec.input_size));
  if (!spec.parts.empty()) {
    return std::make_shared<ConcatenatedEncoder>(spec);
  }
  EncoderSpec resolved = spec;
  resolved.stem = resolve_stem(spec.stem, spec.input_size);
  return find_encoder(spec.name).make(resolved);
}

}  // namespace viewfold
