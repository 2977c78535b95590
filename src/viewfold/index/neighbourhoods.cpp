// Implements the neighbourhoods of a data set over exact search, and over faiss' HNSW graph.
#include "viewfold/index/neighbourhoods.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <faiss/IndexHNSW.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/index/neighbours.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

// Takes each row itself out of its k + 1 nearest; where equal rows have pushed it out of them, the
// last one goes.
Neighbourhoods without_self(const Neighbours& found, std::int64_t first_row) {
  const std::int64_t rows = found.index.size(0);
  const std::int64_t k = found.index.size(1) - 1;
  Neighbourhoods kept{.index = at::empty({rows, k}, at::kLong),
                      .similarity = at::empty({rows, k}, at::kFloat)};
  const auto index = found.index.accessor<std::int64_t, 2>();
  const auto similarity = found.similarity.accessor<float, 2>();
  auto kept_index = kept.index.accessor<std::int64_t, 2>();
  auto kept_similarity = kept.similarity.accessor<float, 2>();
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t to = 0;
    for (std::int64_t from = 0; from <= k && to < k; ++from) {
      if (index[row][from] != first_row + row) {
        kept_index[row][to] = index[row][from];
        kept_similarity[row][to++] = similarity[row][from];
      }
    }
  }
  return kept;
}

// The k + 1 best of a search in a graph with 32 links a node, the default of faiss' examples.
Neighbours search_graph(const at::Tensor& unit, std::int64_t k) {
  constexpr int kLinks = 32;
  constexpr int kEffort = 200;  // candidates looked at, in building and in searching
  const std::int64_t n = unit.size(0);
  faiss::IndexHNSWFlat graph(static_cast<int>(unit.size(1)), kLinks, faiss::METRIC_INNER_PRODUCT);
  graph.hnsw.efConstruction = kEffort;
  graph.hnsw.efSearch = std::max<int>(kEffort, static_cast<int>(k) * 4);
  graph.add(n, unit.data_ptr<float>());
  Neighbours found{.index = at::empty({n, k}, at::kLong), .similarity = at::empty({n, k})};
  graph.search(n, unit.data_ptr<float>(), k, found.similarity.data_ptr<float>(),
               found.index.data_ptr<std::int64_t>());
  return found;
}

// Exact neighbours of the rows that a graph search left short, and the share of those that it found
// among 1000 rows.
double mend_and_measure(const at::Tensor& unit, Neighbourhoods& found, std::int64_t k) {
  constexpr std::int64_t kMeasured = 1000;
  const std::int64_t n = unit.size(0);
  const auto rows = at::arange(std::min(n, kMeasured), at::kLong) * (n / std::min(n, kMeasured));
  const auto exact = nearest_by_cosine(unit, unit.index_select(0, rows), k + 1).index;
  const auto same =
      (exact.unsqueeze(2) == found.index.index_select(0, rows).unsqueeze(1)).any(2);  // [R, k + 1]
  const auto others = exact != rows.unsqueeze(1);
  const double recall =
      at::logical_and(same, others).sum().item<double>() / static_cast<double>(rows.size(0) * k);
  const auto short_rows = (found.index < 0).any(1).nonzero().squeeze(1);
  if (short_rows.size(0) > 0) {
    const auto exact_rows = nearest_by_cosine(unit, unit.index_select(0, short_rows), k + 1);
    for (std::int64_t i = 0; i < short_rows.size(0); ++i) {
      const auto row = short_rows[i].item<std::int64_t>();
      const auto one = without_self({.index = exact_rows.index.narrow(0, i, 1),
                                     .similarity = exact_rows.similarity.narrow(0, i, 1)},
                                    row);
      found.index[row] = one.index[0];
      found.similarity[row] = one.similarity[0];
    }
  }
  return std::min(recall, 1.0);
}

}  // namespace

Neighbourhoods find_neighbourhoods(const at::Tensor& features,
                                   std::int64_t k,
                                   const NeighbourSearch& search) {
  const at::NoGradGuard no_grad;
  check(features.defined() && features.dim() == 2 && features.scalar_type() == at::kFloat,
        "features must be a float32 matrix");
  const std::int64_t n = features.size(0);
  check(k >= 1 && k < n, fmt::format("k = {} must be in [1, {}]", k, n - 1));
  if (n <= search.exact_up_to) {
    return without_self(nearest_by_cosine(features, features, k + 1), 0);
  }
  check(features.isfinite().all().item<bool>(), "features must be finite");
  const auto norm = at::linalg_vector_norm(features, 2, at::IntArrayRef{1}, true).clamp_min_(1e-12);
  const auto unit = features.div(norm).contiguous();
  Neighbourhoods found = without_self(search_graph(unit, k + 1), 0);
  found.recall = mend_and_measure(unit, found, k);
  return found;
}

at::Tensor mutual_neighbours(const at::Tensor& index) {
  const at::NoGradGuard no_grad;
  const std::int64_t n = index.size(0);
  const std::int64_t k = index.size(1);
  auto mutual = at::zeros({n, k}, at::kBool);
  const auto neighbour = index.accessor<std::int64_t, 2>();
  auto result = mutual.accessor<bool, 2>();
  at::parallel_for(0, n, 1024, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t j = 0; j < k; ++j) {
        const auto theirs = neighbour[neighbour[i][j]];
        for (std::int64_t m = 0; m < k && !result[i][j]; ++m) {
          result[i][j] = theirs[m] == i;
        }
      }
    }
  });
  return mutual;
}

at::Tensor manifold_confidence(const Neighbourhoods& found) {
  return found.similarity.mul(mutual_neighbours(found.index)).mean(1);
}

at::Tensor neighbour_purity(const at::Tensor& index, const at::Tensor& labels) {
  const auto same = labels.index_select(0, index.flatten()).view_as(index) == labels.unsqueeze(1);
  const auto counted = same.to(at::kDouble).mean(0).cumsum(0);  // [k]
  return counted / at::arange(1, index.size(1) + 1, at::kDouble);
}

}  // namespace viewfold
