// What is known of the manifold around each image of a data set: conditions and neighbourhoods.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <ATen/core/Tensor.h>

#include "viewfold/index/neighbourhoods.hpp"

namespace viewfold {

/// Conditions and neighbourhoods of the N images that a run learns from.
struct LocalManifold {
  at::Tensor features;  // [N, D] float32, unit rows: the condition h of each image
  at::Tensor flipped;   // [N, D] ditto of its mirror image; undefined where that is not asked for
  Neighbourhoods neighbourhoods;  // by `features`
  at::Tensor confidence;          // [N] float32, manifold_confidence()
  std::string data_fingerprint;   // of the images
  std::string condition;          // what the features are: "pixels", "encoder <SHA-256>", ...

  [[nodiscard]] std::int64_t size() const { return features.size(0); }
};

/// Finds the neighbourhoods of conditions.
/// features, flipped  [N, D] float32, any length; become unit rows. flipped may be undefined.
/// k                  in [1, N - 1]
[[nodiscard]] LocalManifold make_local_manifold(const at::Tensor& features,
                                                const at::Tensor& flipped,
                                                std::int64_t k);

/// Writes it as one safetensors file, whole or not at all.
void write_local_manifold(const LocalManifold& manifold, const std::filesystem::path& path);

/// Reads it. Throws DataError naming the file and the tensor when one is missing, or is of another
/// shape, or an index leaves the images.
[[nodiscard]] LocalManifold read_local_manifold(const std::filesystem::path& path);

}  // namespace viewfold
