// A map of features in the plane: t-SNE, how far it can be trusted, and thumbnails for its points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>

#include <ATen/core/Tensor.h>

#include "viewfold/data/dataset.hpp"

namespace viewfold {

/// More images are no longer mapped: time and memory grow with their square (200 MB at this many).
inline constexpr std::int64_t kMostMapPoints = 3000;

/// How a map is made.
struct EmbeddingMapSpec {
  double perplexity = 30.0;        // effective neighbours of a point; the paper (Sec. 2): 5 to 50
  std::int64_t iterations = 1000;  // the paper's (Sec. 3.4); the first 250 exaggerate
  std::uint64_t seed = 0;          // of the noise that parts equal points at the start
  // Called after every 50 iterations and at the end; may be empty.
  std::function<void(std::int64_t done, std::int64_t all)> progress = {};
};

/// A map, and what may be said of it.
struct EmbeddingMap {
  at::Tensor points;             // [N, 2] float64, in the order of the features, of mean 0
  double divergence = 0.0;       // Kullback-Leibler, in nats: what t-SNE minimises
  double trustworthiness = 0.0;  // see below, with 10 neighbours (fewer where N <= 20)
};

/// The probabilities by which points of t-SNE pick one another as a neighbour, p(j|i) (van der
/// Maaten and Hinton, "Visualizing data using t-SNE", JMLR 9, 2008, Eq. 1): Gaussian in the
/// distance of rows brought to length 1, of a width at which the perplexity of every row is
/// `perplexity`, to 1e-5 nats of entropy. Rows with more nearest rows that are equal than that
/// spread evenly over these.
///
/// features  [N, D] float32, N > perplexity + 1 > 2
/// returns   [N, N] float64, rows of sum 1, zeros on the diagonal
///
/// Throws UsageError on a perplexity that N does not allow, ContractViolation on another shape or
/// type, or a value that is not finite.
[[nodiscard]] at::Tensor neighbour_probabilities(const at::Tensor& features, double perplexity);

/// Exact t-SNE of rows brought to length 1 (ibid.). Begins with the first two principal components,
/// scaled to a standard deviation of 1e-4, and noise of 1e-6; exaggerates by 12 for 250 iterations
/// with momentum 0.5, then goes on with 0.8; gains of Jacobs (1988) as in the paper's code. The
/// learning rate is N / 48 (Belkina et al., Nature Communications 10, 2019), after exaggeration at
/// least 50, or N / 4 where that is less: scikit-learn's "auto", but there 50 is the least from the
/// start and however few points there are, which leaves some in strange heaps. The same bits
/// whatever the number of threads, at::get_num_threads().
/// features  [N, D] float32; N in (perplexity + 1, kMostMapPoints]
/// Throws UsageError on such a number of rows, perplexity or iterations (>= 1), DataError when all
/// rows have one direction, ContractViolation as neighbour_probabilities() does.
[[nodiscard]] EmbeddingMap embedding_map(const at::Tensor& features, const EmbeddingMapSpec& spec);

/// How far the neighbours of a point on a map are neighbours in truth (Venna and Kaski, ICANN 2001,
/// Eq. 3): 1 - 2 / (N k (2 N - 3 k - 1)) times the sum, over the k nearest of each point on the map
/// that are not among its k nearest in truth, of their rank there less k. 1 when all are; a map at
/// random has about 0.5. Distances in truth are those of rows brought to length 1; of equal
/// distances the row of smaller index is nearer.
/// features    [N, D] float32
/// points      [N, 2] float64
/// neighbours  k >= 1, N > 2 k
/// Throws ContractViolation when they do not fit, or a value is not finite.
[[nodiscard]] double trustworthiness(const at::Tensor& features,
                                     const at::Tensor& points,
                                     std::int64_t neighbours = 10);

/// A sheet of thumbnails as it was written.
struct Sprite {
  int tile = 0;  // side in pixels; image i is in column i % columns of row i / columns
  int columns = 0;
  int rows = 0;
  std::size_t bytes = 0;
};

/// Writes a JPEG with a thumbnail of every image, row by row without gaps, as a whole file or not
/// at all: RGB, scaled and cut as resize_center_crop() does. Of quality 90 (ours): 0.85 MB for 2000
/// thumbnails of 32 pixels of CIFAR-10; noise of black and white pixels would make 2.3 MB. Sides of
/// 16 n pixels keep the colours of neighbours apart.
/// Throws DataError and WriteError as reading and writing do, ContractViolation without an image,
/// for tile or columns < 1, or a sheet of more than 65,500 pixels a side.
/// threads  that decode
Sprite write_sprite(const Dataset& images,
                    int tile,
                    int columns,
                    const std::filesystem::path& path,
                    int threads = 1);

}  // namespace viewfold
