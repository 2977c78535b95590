// An encoder without depth: a dictionary of image patches, and an embedding of its elements.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/nn/encoder.hpp"
#include "viewfold/nn/patch_codes.hpp"

namespace viewfold {

/// Describes an image by what its patches resemble (Chen et al., "Minimalistic unsupervised
/// representation learning with the sparse manifold transform", arXiv:2209.15261):
///
/// 1. every patch of 6 x 6 pixels, less its mean and over its standard deviation, is whitened,
///    brought to length 1 and rounded to bfloat16, as the dictionary is;
/// 2. its code has a 1 for every dictionary element with which its product exceeds 0.4;
/// 3. its embedding is the sum of the embeddings of those elements, brought to length 1;
/// 4. embeddings are averaged over a grid of 4 x 4 overlapping cells (those of adaptive average
///    pooling); signed square roots of the values of each cell are brought to length 1 (Perronnin
///    et al., ECCV 2010);
/// 5. less their mean over images they are projected on their first principal components, each over
///    its standard deviation to the power of 3/4.
///
/// 0.4, the grid, the square root and step 5 are ours, all but the grid chosen on held-out images
/// of CIFAR-10 (docs/patches.md). The width sets the dictionary: 128 elements for each of it. The
/// stem sets the step from patch to patch: cifar 1, half 2, imagenet 4 pixels.
///
/// Only `embedding` is a parameter; the rest are buffers that its method fills. Without gradient,
/// sums run over the codes alone; with gradient, and where it is traced, it is made of LibTorch's
/// operations. Autocast changes nothing: all sums are float32.
class PatchEncoder final : public Encoder {
 public:
  /// Throws UsageError for inputs of fewer than 8 pixels.
  explicit PatchEncoder(const EncoderSpec& spec);

  at::Tensor forward(const at::Tensor& x) override;
  [[nodiscard]] std::int64_t feature_dim() const override;

  /// x        [N, C, H, W]
  /// returns  [N, L, d] float32: step 1 up to the whitening, d = 36 C, row by row of the image
  [[nodiscard]] at::Tensor contrast_patches(const at::Tensor& x) const;

  /// The codes of the patches of each image of x, [N, C, H, W].
  [[nodiscard]] std::vector<PatchCodes> codes(const at::Tensor& x) const;

  [[nodiscard]] std::int64_t patch_dim() const { return whitening_.size(0); }
  [[nodiscard]] std::int64_t elements() const { return dictionary_.size(0); }
  [[nodiscard]] std::int64_t cell_values() const { return cell_mean_.size(0); }  // F

  /// patches  [D, d] as contrast_patches() gives them: the dictionary is made of them
  /// mean     [d], covariance [d, d] of such patches
  void set_dictionary(const at::Tensor& patches,
                      const at::Tensor& mean,
                      const at::Tensor& covariance);

  /// Steps 1 to 4: [N, F].
  [[nodiscard]] at::Tensor cells(const at::Tensor& x) const;

  /// mean  [F] and covariance [F, F] of the rows of cells(): step 5 is made of them
  void set_projection(const at::Tensor& mean, const at::Tensor& covariance);

  /// The embedding of each element, [D, K].
  [[nodiscard]] at::Tensor& embedding() { return embedding_; }

 private:
  [[nodiscard]] at::Tensor whitened(const at::Tensor& patches) const;
  [[nodiscard]] std::int64_t places(std::int64_t pixels) const;
  [[nodiscard]] at::Tensor cells_by_codes(const at::Tensor& x) const;
  [[nodiscard]] at::Tensor cells_by_products(const at::Tensor& x) const;

  std::int64_t step_;
  at::Tensor mean_;        // [d]
  at::Tensor whitening_;   // [d, d]
  at::Tensor dictionary_;  // [D, d]
  at::Tensor embedding_;   // [D, K]
  at::Tensor cell_mean_;   // [F]
  at::Tensor projection_;  // [F, feature_dim()]
};

/// The eigenvectors of the `count` largest eigenvalues of a symmetric matrix [n, n], in ascending
/// order, as the columns of [n, count]; by subspace iteration, which suits spectra that fall
/// steeply beyond `count`. Draws its start from the default generator.
struct LeadingEigenvectors {
  at::Tensor values;   // [count]
  at::Tensor vectors;  // [n, count]
};
[[nodiscard]] LeadingEigenvectors leading_eigenvectors(const at::Tensor& matrix,
                                                       std::int64_t count);

}  // namespace viewfold
