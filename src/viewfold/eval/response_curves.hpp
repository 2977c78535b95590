// How features respond to graded changes of an image: 18 families of transforms, and the mean
// whitened cosine at every strength of each (Ericsson, Gouk and Hospedales, arXiv:2111.11398).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/eval/invariance.hpp"
#include "viewfold/image/image.hpp"

namespace viewfold {

/// A kind of change with the strengths that it is looked at.
struct TransformFamily {
  std::string_view name = {};
  std::string_view unit = {};          // of a strength
  double identity = 0.0;               // the strength without a change
  std::vector<double> strengths = {};  // ascending; with the identity
  // Never given the identity; null: changes nothing.
  Image (*change)(const Image& image, double strength) = nullptr;
  bool needs_color = false;  // does nothing to an image of other than three bands

  /// `image` changed by exactly this strength, of the same size, bands and type; a copy at the
  /// identity. What comes in from outside is black. Throws ContractViolation when the image is
  /// empty, or the strength is none of this kind (a scale of 0, half a flip).
  [[nodiscard]] Image apply(const Image& image, double strength) const;
};

/// All families: rotation, translation_x, translation_y, scale, shear, resized_crop, h_flip,
/// v_flip, grayscale, invert, equalize, brightness, contrast, saturation, hue, blur, sharpness and
/// posterize. Ranges are those of the paper's measurement (eval_synthetic_invariance.py of
/// linusericsson/ssl-invariances) but for shear: there -160 .. 160 degrees, which beyond 90 lean to
/// the other side again; here -60 .. 60, along the width. Differences in the grids, all ours: the
/// identity is a strength of each; factors are spaced by ratios on both sides of 1; lengths are
/// shares of the image, not pixels; a resized crop is one path through theirs, from the whole image
/// to the quarter of the sides that begins a quarter from the upper left corner, in whole pixels.
/// S therefore compares encoders by the same grid, but not with the paper. Two things to know of
/// curves: movements are bilinear, and a shift by a part of a pixel blurs a small image; the kernel
/// of a blur ends after a twentieth of the side, as there, so that the widest are nearly alike.
/// strengths  of each, but of those that are only applied or not (2) and of posterize (8). Throws
///            UsageError unless odd and >= 3: the identity is in the middle of many.
[[nodiscard]] std::vector<TransformFamily> transform_families(int strengths = 9);

/// Features of images, one row for each in their order, [N, D] float32 or float64. Scaling, cutting
/// and normalising is its part: images are changed before.
using FeatureFunction = std::function<at::Tensor(const std::vector<Image>& images)>;

/// What one family of changes does to features.
struct ResponseCurve {
  std::string family = {};
  std::string unit = {};
  double identity = 0.0;
  std::vector<double> strengths = {};
  std::vector<double> similarity = {};  // at each strength: mean whitened cosine, 1 at the identity
  std::vector<double> distance = {};    // at each strength: mean Mahalanobis distance, there 0
  CountedMean mean_similarity = {};     // S: over all images and strengths, as the paper
  CountedMean mean_distance = {};       // L
  CountedMean changed_similarity = {};  // S without the identity, which makes more of few strengths
};

/// Response curves of families. Families that need colour are left out unless all images have three
/// bands. Features of n images at a time are asked for once, and once more for each strength but
/// the identity. A pair with a row that has no direction or is NaN is ignored and counted; a
/// strength that all pairs are ignored at is NaN. Throws ContractViolation when there are no
/// images, or features do not fit the images or the whitening.
/// images     n >= 1, other ones than the whitening was fitted to or the same
/// whitening  fitted to features of many unchanged images
[[nodiscard]] std::vector<ResponseCurve> response_curves(const FeatureFunction& features,
                                                         const std::vector<Image>& images,
                                                         const Whitening& whitening,
                                                         std::span<const TransformFamily> families);

}  // namespace viewfold
