// The encoder as it leaves viewfold: encoder.safetensors, the card beside it, and TorchScript.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "viewfold/eval/features.hpp"
#include "viewfold/nn/encoder.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {

/// What card.json says of an encoder.
struct EncoderCard {
  EncoderSpec encoder;  // architecture, bands and input size; the stem is resolved
  Normalization normalization;
  std::string method;
  std::string data_fingerprint;
  std::uint64_t seed = 0;
  std::int64_t feature_dim = 0;
  std::int64_t epochs = 0;
  std::string version;  // of the viewfold that wrote it
};

/// Writes the weights under torchvision's names to `weights`, and the card, with the SHA-256 of
/// that file, to `card`. Each file is replaced whole, the weights first.
void write_encoder(const Encoder& encoder,
                   const EncoderCard& info,
                   const std::filesystem::path& weights,
                   const std::filesystem::path& card);

/// An encoder with everything needed to use it.
struct LoadedEncoder {
  std::shared_ptr<Encoder> encoder;  // in evaluation mode
  EncoderCard card;
  [[nodiscard]] Preprocess preprocess() const;
};

/// Reads a card and the weights it describes. Throws DataError naming the file and the key when
/// one is missing or not what it should be, and when the weights are not those of the card (hash).
[[nodiscard]] LoadedEncoder read_encoder(const std::filesystem::path& weights,
                                         const std::filesystem::path& card);

/// Adds numbers of an evaluation to the card under "results"/<name>, replacing earlier ones.
void add_result_to_card(const std::filesystem::path& card,
                        const std::string& name,
                        const EvaluationResult& result);

/// Writes the encoder as TorchScript: forward(x [N, C, H, W] float32, normalised) -> [N, D], any N,
/// in evaluation mode; loads with torch.jit.load() and has torchvision's parameter names.
void write_torchscript(Encoder& encoder,
                       const EncoderCard& info,
                       const std::filesystem::path& path);

}  // namespace viewfold
