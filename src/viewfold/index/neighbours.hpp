// Exact nearest neighbours among feature vectors.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// The k nearest rows of a bank for each of Q queries, nearest first.
struct Neighbours {
  at::Tensor index;       // [Q, k] int64, rows of the bank
  at::Tensor similarity;  // [Q, k] float32, cosine, descending along a row
};

/// Finds the k rows of `bank` with the largest cosine to each query, by comparing with all of them
/// (faiss). Rows need not be unit: copies are normalised; a row of zeros has cosine 0 to
/// everything. Equal cosines come in the order of their index. Which of several equal ones take the
/// last places is arbitrary but always the same. Uses at::get_num_threads() threads; beyond a
/// normalised copy of the bank and the result, extra memory stays below 256 MB whatever Q is, for D
/// <= 16384. bank     [M, D] float32, finite queries  [Q, D] float32, finite; Q may be 0 k in [1,
/// M] Throws ContractViolation when shapes, types or k do not fit, or a value is not finite.
[[nodiscard]] Neighbours nearest_by_cosine(const at::Tensor& bank,
                                           const at::Tensor& queries,
                                           std::int64_t k);

}  // namespace viewfold
