// Implements exact nearest neighbours over faiss.
#include "viewfold/index/neighbours.hpp"

#include <algorithm>
#include <cstddef>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <faiss/utils/distances.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

// faiss multiplies blocks of 4096 queries and 1024 rows; a multiple keeps its blocks full. A chunk
// of 16384-d features is 256 MB / 4.
constexpr std::int64_t kMaxChunk = 4096;
constexpr std::int64_t kChunkValues = std::int64_t{1} << 24;  // 64 MB of float32

void check_matrix(const at::Tensor& matrix, const char* what) {
  check(matrix.defined() && matrix.dim() == 2 && matrix.scalar_type() == at::kFloat,
        fmt::format("{} must be a float32 matrix", what));
  check(matrix.size(1) >= 1 && matrix.isfinite().all().item<bool>(),
        fmt::format("{} {} must have columns, and finite values only", what, shape_text(matrix)));
}

// Unit rows, in memory of their own; rows of zeros stay zeros.
at::Tensor unit_rows(const at::Tensor& rows) {
  const auto scale = at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, true).clamp_min_(1e-12);
  return rows.div(scale).contiguous();
}

// Orders equal similarities of one row by index: the order in which faiss finds them depends on its
// block sizes.
void order_ties(float* similarity, std::int64_t* index, std::int64_t k) {
  for (std::int64_t begin = 0; begin < k;) {
    std::int64_t end = begin + 1;
    while (end < k && similarity[end] == similarity[begin]) {
      ++end;
    }
    std::sort(index + begin, index + end);
    begin = end;
  }
}

}  // namespace

Neighbours nearest_by_cosine(const at::Tensor& bank, const at::Tensor& queries, std::int64_t k) {
  const at::NoGradGuard no_grad;
  check_matrix(bank, "the bank");
  check_matrix(queries, "the queries");
  check(bank.size(1) == queries.size(1),
        fmt::format("bank {} and queries {} must have as many columns", shape_text(bank),
                    shape_text(queries)));
  check(k >= 1 && k <= bank.size(0), fmt::format("k = {} must be in [1, {}]", k, bank.size(0)));
  const auto unit_bank = unit_rows(bank);
  const std::int64_t count = queries.size(0);
  const std::int64_t columns = bank.size(1);
  Neighbours found{.index = at::empty({count, k}, at::TensorOptions(at::kLong)),
                   .similarity = at::empty({count, k}, at::TensorOptions(at::kFloat))};
  const std::int64_t chunk = std::clamp<std::int64_t>(kChunkValues / columns, 1, kMaxChunk);
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const std::int64_t rows = std::min(chunk, count - begin);
    const auto unit_queries = unit_rows(queries.narrow(0, begin, rows));
    auto* similarity = found.similarity.data_ptr<float>() + begin * k;
    auto* index = found.index.data_ptr<std::int64_t>() + begin * k;
    // The raw search of IndexFlatIP, without the copy of the bank that an index would hold.
    faiss::knn_inner_product(unit_queries.data_ptr<float>(), unit_bank.data_ptr<float>(),
                             static_cast<std::size_t>(columns), static_cast<std::size_t>(rows),
                             static_cast<std::size_t>(unit_bank.size(0)),
                             static_cast<std::size_t>(k), similarity, index);
    at::parallel_for(0, rows, 64, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        order_ties(similarity + row * k, index + row * k, k);
      }
    });
  }
  return found;
}

}  // namespace viewfold
