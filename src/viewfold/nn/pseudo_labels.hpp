// Pseudo-labels of all images of a data set: a bank of their features and the clusters of these,
// and draws of images with the same label and with others (InterCLR, arXiv:2008.11702).
#pragma once

#include <cstdint>

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

namespace viewfold {

/// What a bank holds.
struct PseudoLabelSizes {
  std::int64_t samples = 0;   // n, images of the data set
  std::int64_t dim = 0;       // C, width of their features
  std::int64_t clusters = 0;  // K
};

/// A feature for every image that has been seen, and its cluster. All buffers are part of a
/// checkpoint. Computes in float32 whatever autocast says.
class PseudoLabels : public torch::nn::Module {
 public:
  /// Without features and labels. Throws ContractViolation on sizes below 1 and on more clusters
  /// than samples.
  explicit PseudoLabels(const PseudoLabelSizes& sizes);

  /// [n, C] float32: unit rows, and zeros where no feature is known.
  [[nodiscard]] const at::Tensor& rows() const { return rows_; }
  /// [n] bool: whether a feature is known.
  [[nodiscard]] const at::Tensor& filled() const { return filled_; }
  /// [n] int64 in [0, K); -1 of images without a label.
  [[nodiscard]] const at::Tensor& labels() const { return labels_; }
  /// [K, C] float32: means of the rows of each cluster, not of unit length.
  [[nodiscard]] const at::Tensor& centroids() const { return centroids_; }
  /// [K] int64: how many images have each label.
  [[nodiscard]] at::Tensor counts() const;

  /// row <- norm((1 - mu) row + mu norm(key)); a first key is taken as it is. Labels stay.
  /// indices  [N] int64 in [0, n); of equal ones the last counts
  /// keys     [N, C] any floating type and length; no gradient is kept
  /// mu       in [0, 1]
  /// Throws ContractViolation on others.
  void write(const at::Tensor& indices, const at::Tensor& keys, double mu);

  /// Labels all images with a feature anew: k-means with 20 iterations from starts drawn as by
  /// k-means++ (Arthur and Vassilvitskii, 2007). No cluster is empty. The same for the same rows
  /// and the same state of `generator`. Throws ContractViolation with fewer features than clusters.
  void cluster(const at::Generator& generator);

  /// label <- the centroid with the largest product with the row.
  /// indices  [N] int64 in [0, n), of images with a feature
  /// returns  the share of these images, each counted once, whose label is another than before; a
  ///          first label is another. 0 of none. Throws ContractViolation on others.
  double relabel(const at::Tensor& indices);

  /// Dissolves the clusters with fewer than `min_cluster` images: these go to the best of the other
  /// centroids, and the emptied cluster takes about half of what is then the largest one (2-means,
  /// at random where that finds no two parts); the centroids of both are computed anew. Afterwards
  /// no cluster is empty, though some may still be small. Where all are small, only empty ones
  /// count. Needs labels of K images or more, else ContractViolation.
  /// returns  the number of clusters dissolved
  std::int64_t maintain(std::int64_t min_cluster, const at::Generator& generator);

  /// centroids <- means of the rows of each cluster; that of an empty one stays.
  void update_centroids();

 private:
  void check_indices(const at::Tensor& indices) const;

  at::Tensor rows_;       // [n, C]
  at::Tensor filled_;     // [n]
  at::Tensor labels_;     // [n]
  at::Tensor centroids_;  // [K, C]
};

/// Which images are negatives, among those with another label.
enum class NegativeSampling {
  kRandom,    // any
  kSemiHard,  // drawn from the pool of the most similar
  kHard,      // the most similar
  kSemiEasy   // drawn from the pool of the least similar
};

/// How images are drawn for a query.
struct InterDrawSpec {
  NegativeSampling sampling = NegativeSampling::kSemiHard;
  std::int64_t negatives = 1;  // R
  std::int64_t pool = 1;       // rows of the bank, whatever their labels
  bool exclude_self = false;   // whether an image may not be its own positive
};

/// Images drawn for queries.
struct InterDraws {
  at::Tensor positives;  // [N] int64
  at::Tensor negatives;  // [N, R] int64
};

/// Whether there is something to draw: the image has a label, some image has another label, and
/// with `exclude_self` another one has the same.
/// indices  [N] int64 in [0, n)
/// returns  [N] bool
[[nodiscard]] at::Tensor can_draw(const PseudoLabels& bank,
                                  const at::Tensor& indices,
                                  const InterDrawSpec& spec);

/// Draws for each query an image with its label, any equally likely, and R images with another
/// label. These are different ones as far as the pool reaches; then images of the pool come again,
/// and where its labels are all the query's own, any with another label are drawn. Random negatives
/// may always come again.
/// queries  [N, C] any floating type and length; no gradient flows into them
/// indices  [N] int64 in [0, n), of images for which can_draw()
/// seeds    [N] int64: what is drawn for a row depends on its own only
/// Throws ContractViolation on shapes that do not fit, and where nothing can be drawn.
[[nodiscard]] InterDraws draw_inter_image(const PseudoLabels& bank,
                                          const at::Tensor& queries,
                                          const at::Tensor& indices,
                                          const at::Tensor& seeds,
                                          const InterDrawSpec& spec);

}  // namespace viewfold
