// Who is near whom in a data set: the local manifold around each image.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace viewfold {

/// The k nearest of each row among the others, nearest first.
struct Neighbourhoods {
  at::Tensor index;       // [N, k] int64, never the row itself, no index twice in a row
  at::Tensor similarity;  // [N, k] float32, cosine, descending along a row
  double recall = 1.0;    // of the search: share of the true neighbours that it finds, estimated
};

/// How neighbourhoods are searched.
struct NeighbourSearch {
  /// Beyond this many rows a graph is searched (HNSW, Malkov and Yashunin, arXiv:1603.09320)
  /// instead of all of them, and its recall is measured on 1000 rows.
  std::int64_t exact_up_to = 200'000;
};

/// Neighbourhoods of all rows. A row is left out of its own by its index, so that of two equal rows
/// each is the other's nearest. The graph search gives the same in every run with one thread only.
/// features  [N, D] float32, finite; k in [1, N - 1]. Throws ContractViolation otherwise.
[[nodiscard]] Neighbourhoods find_neighbourhoods(const at::Tensor& features,
                                                 std::int64_t k,
                                                 const NeighbourSearch& search = {});

/// [N, k] bool: whether row i is among the k nearest of its neighbour, too.
[[nodiscard]] at::Tensor mutual_neighbours(const at::Tensor& index);

/// How far the neighbourhood of each row can be trusted to hold the same thing, without labels: the
/// mean cosine to its neighbours, where those that do not count it among theirs weigh 0. Ours.
/// returns  [N] float32, at most 1
[[nodiscard]] at::Tensor manifold_confidence(const Neighbourhoods& found);

/// Mean share of neighbours with the row's own label: [k], for the first 1, 2, ... k of them. A
/// report only: nothing that learns may ask.
/// labels  [N] int64
[[nodiscard]] at::Tensor neighbour_purity(const at::Tensor& index, const at::Tensor& labels);

}  // namespace viewfold
