// Reads and writes safetensors, the file format in which encoders leave viewfold.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// A tensor under the name by which its module knows it ("layer1.0.conv1.weight").
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// What a safetensors file holds.
struct SafetensorsFile {
  std::vector<NamedTensor> tensors;             // in the order of their data
  std::map<std::string, std::string> metadata;  // "" where the file has none
  std::string origin;                           // for errors: the path

  /// The tensor called `name`. Throws DataError when there is none.
  [[nodiscard]] const at::Tensor& at(std::string_view name) const;
};

/// The bytes of a safetensors file: 8-byte little-endian header length, JSON header padded with
/// spaces to a multiple of 8, data. Tensors of wider element types come first, which aligns each
/// one; otherwise the order is kept.
/// tensors  any shape (0-dim too), any device, float64 / 32 / 16, bfloat16, int64 / 32 / 16 / 8,
///          uint8 or bool. Throws ContractViolation on another type, a repeated name, or the
///          reserved name "__metadata__".
[[nodiscard]] std::vector<std::byte> write_safetensors(
    const std::vector<NamedTensor>& tensors, const std::map<std::string, std::string>& metadata);

/// The tensors in `bytes`, copied, on the CPU. `origin` stands for the file in errors.
/// Throws DataError naming `origin` and the tensor when anything but a well-formed file is found:
/// lengths and offsets that lie, overlap or leave gaps, sizes that contradict shapes, repeated
/// names, unknown types. No length is believed before it is checked against `bytes.size()`.
[[nodiscard]] SafetensorsFile parse_safetensors(std::span<const std::byte> bytes,
                                                const std::string& origin);

/// parse_safetensors() of a file. Throws DataError also when it cannot be read.
[[nodiscard]] SafetensorsFile read_safetensors(const std::filesystem::path& path);

}  // namespace viewfold
