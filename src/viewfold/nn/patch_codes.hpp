// Which elements of a dictionary the patches of an image resemble, and sums over those elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// For each of L patches, the dictionary elements that it resembles, in ascending order: those of
/// patch l are elements[begin[l]] ... elements[begin[l + 1] - 1].
struct PatchCodes {
  std::vector<std::int32_t> begin;  // L + 1
  std::vector<std::int32_t> elements;

  [[nodiscard]] std::size_t patches() const { return begin.size() - 1; }
  [[nodiscard]] std::span<const std::int32_t> of(std::size_t patch) const;
};

/// A dictionary of unit vectors, laid out to be compared with many patches.
class PatchDictionary {
 public:
  /// elements  [D, d] float32, rows of length 1
  /// type      at::kFloat or at::kBFloat16: of the factors of the products, which are float32
  PatchDictionary(const at::Tensor& elements, at::ScalarType type);

  /// patches  [L, d] contiguous, of the type of the dictionary, rows of length 1
  /// returns  the elements whose product with the patch is above `threshold`
  /// Runs in the calling thread; several threads may call it at once.
  [[nodiscard]] PatchCodes codes(const at::Tensor& patches, float threshold) const;

 private:
  // [d, elements of a block] each; what is missing to the last is zeros, which resemble nothing.
  std::vector<at::Tensor> blocks_;
};

/// sum[k] = sum over `elements` of embedding[element][k], float32 rows of `sum.size()` values.
void sum_embeddings(std::span<const std::int32_t> elements,
                    const float* embedding,
                    std::span<float> sum);

}  // namespace viewfold
