// Encoders that other programs trained: a ResNet is found in a checkpoint and made viewfold's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "viewfold/nn/encoder.hpp"

namespace viewfold {

/// What a checkpoint leaves open. It holds weights and names, no strides and no preprocessing.
struct ImportOptions {
  /// The part of the names before "conv1.weight" ("module.encoder_q."), or its end; "": found.
  std::string prefix = {};
  /// auto (7x7: imagenet, 3x3: cifar), or cifar, half, imagenet.
  std::string stem = "auto";
  /// Side of the images in pixels. 0: 224 with the 7x7 stem and 32 with the 3x3 one, the sizes of
  /// ImageNet and CIFAR training.
  std::int64_t input_size = 0;
};

/// An encoder, and how it was found.
struct ImportedEncoder {
  std::shared_ptr<Encoder> encoder;       // in evaluation mode
  EncoderSpec spec;                       // with the stem resolved
  std::string prefix;                     // "state_dict.module.encoder_q."
  std::string described_as;               // "query encoder of MoCo"
  std::vector<std::string> matched = {};  // names in the file, in the order of the encoder's
  std::vector<std::string> missing =
      {};                                // the encoder's own: counters of batches, which are 0 then
  std::vector<std::string> unused = {};  // names in the file: heads, momentum copies, optimiser
  std::vector<std::string> notes = {};   // sentences for the user: choices made, what is assumed
};

/// Reads a ResNet-10, 18, 34 or 50 of any width up to 1024 from a checkpoint of PyTorch
/// (pytorch_archive.hpp; nothing in it is run) or, where the name ends in .safetensors, from that.
///
/// Names are torchvision's behind any prefix, "shortcut" in the place of "downsample", or the
/// numbers of an nn.Sequential of torchvision's layers (lightly: "backbone.0.weight"). Where
/// several networks are there, the trained one is taken before its running mean (encoder_q before
/// encoder_k, online before target), but of DINO the teacher, which its authors evaluate
/// (arXiv:2104.14294, Sec. 3.1). The weights may be of any floating type and become float32.
///
/// Throws UsageError when the options contradict the file, and DataError naming the file, up to ten
/// keys, the prefixes that were tried and some keys that are there, unless every parameter and
/// buffer is found with its shape and finite values (only num_batches_tracked may be missing), and
/// when the network is no such ResNet: other blocks, widths inside of blocks (Wide ResNet), groups
/// (ResNeXt), stems of several layers, further layers in blocks (squeeze and excitation), or a
/// Sequential that leaves out the rectification behind the first layer.
[[nodiscard]] ImportedEncoder import_encoder(const std::filesystem::path& path,
                                             const ImportOptions& options = {});

}  // namespace viewfold
