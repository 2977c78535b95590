// Implements conditions and neighbourhoods as a file.
#include "viewfold/manifold/local_manifold.hpp"

#include <cstdlib>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/nn/safetensors.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

at::Tensor unit_rows(const at::Tensor& rows) {
  const auto norm = at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, true).clamp_min(1e-12);
  return rows.div(norm).contiguous();
}

const at::Tensor& take(const SafetensorsFile& file,
                       const char* name,
                       at::ScalarType type,
                       at::IntArrayRef shape) {
  const auto& tensor = file.at(name);
  if (tensor.scalar_type() != type || tensor.sizes() != shape) {
    throw DataError(fmt::format(
        "{}: the tensor \"{}\" is {}, which does not fit the others (fit the manifold again)",
        file.origin, name, shape_text(tensor)));
  }
  return tensor;
}

std::string text_of(const SafetensorsFile& file, const char* key) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) {
    throw DataError(
        fmt::format("{}: \"{}\" is missing from its metadata (is it the file of a "
                    "fitted manifold?)",
                    file.origin, key));
  }
  return found->second;
}

}  // namespace

LocalManifold make_local_manifold(const at::Tensor& features,
                                  const at::Tensor& flipped,
                                  std::int64_t k) {
  LocalManifold manifold;
  manifold.features = unit_rows(features);
  if (flipped.defined()) {
    check(flipped.sizes() == features.sizes(), "mirror images have as many features");
    manifold.flipped = unit_rows(flipped);
  }
  manifold.neighbourhoods = find_neighbourhoods(manifold.features, k);
  manifold.confidence = manifold_confidence(manifold.neighbourhoods);
  return manifold;
}

void write_local_manifold(const LocalManifold& manifold, const std::filesystem::path& path) {
  std::vector<NamedTensor> tensors{{"features", manifold.features},
                                   {"neighbour_index", manifold.neighbourhoods.index},
                                   {"neighbour_similarity", manifold.neighbourhoods.similarity},
                                   {"confidence", manifold.confidence}};
  if (manifold.flipped.defined()) {
    tensors.push_back({"flipped", manifold.flipped});
  }
  write_file_atomically(
      path,
      write_safetensors(tensors, {{"data_fingerprint", manifold.data_fingerprint},
                                  {"condition", manifold.condition},
                                  {"recall", fmt::format("{}", manifold.neighbourhoods.recall)}}));
}

LocalManifold read_local_manifold(const std::filesystem::path& path) {
  const SafetensorsFile file = read_safetensors(path);
  LocalManifold manifold;
  manifold.data_fingerprint = text_of(file, "data_fingerprint");
  manifold.condition = text_of(file, "condition");
  manifold.neighbourhoods.recall = std::strtod(text_of(file, "recall").c_str(), nullptr);
  const auto& features = file.at("features");
  const auto& index = file.at("neighbour_index");
  if (features.dim() != 2 || index.dim() != 2) {
    throw DataError(fmt::format("{}: features and neighbours must be matrices", file.origin));
  }
  const std::int64_t n = features.size(0);
  const std::int64_t k = index.size(1);
  manifold.features = take(file, "features", at::kFloat, {n, features.size(1)});
  manifold.neighbourhoods.index = take(file, "neighbour_index", at::kLong, {n, k});
  manifold.neighbourhoods.similarity = take(file, "neighbour_similarity", at::kFloat, {n, k});
  manifold.confidence = take(file, "confidence", at::kFloat, {n});
  for (const auto& item : file.tensors) {
    if (item.name == "flipped") {
      manifold.flipped = take(file, "flipped", at::kFloat, {n, features.size(1)});
    }
  }
  if (n < 2 || k < 1 || index.min().item<std::int64_t>() < 0 ||
      index.max().item<std::int64_t>() >= n || !features.isfinite().all().item<bool>()) {
    throw DataError(
        fmt::format("{}: holds neighbours that are no images, or features that are no "
                    "numbers (fit the manifold again)",
                    file.origin));
  }
  return manifold;
}

}  // namespace viewfold
