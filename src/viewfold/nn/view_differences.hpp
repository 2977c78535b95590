// How differently the two views of an image were made: targets of AugSelf (arXiv:2111.09613).
#pragma once

#include <ATen/core/Tensor.h>

#include "viewfold/tensor/view_batch.hpp"

namespace viewfold {

/// Widths of the ranges that the strengths of a colour jitter are drawn from; 0 where it is off.
struct JitterRanges {
  double brightness = 0.0;
  double contrast = 0.0;
  double saturation = 0.0;
  double hue = 0.0;
};

// Each function returns [2N, d] float32: of the N ordered pairs (view 0, view 1), then of the N
// pairs (view 1, view 0), the first view's parameters less the second's. All throw UsageError where
// no view has the operation.

/// Centre and size of the crops as shares of the image: [dcy, dcx, dh, dw], each in [-1, 1]; a view
/// without a crop (a finished sample of a generator) shows the whole. Where
/// the first view of a pair is mirrored, its frame counts: both centres are mirrored.
[[nodiscard]] at::Tensor crop_differences(const ViewBatch& batch);

/// Brightness, contrast, saturation and hue as shares of their ranges, each in [-1, 1]; a view that
/// was left alone has the values that change nothing.
[[nodiscard]] at::Tensor color_differences(const ViewBatch& batch, const JitterRanges& ranges);

/// 1 where both views are mirrored or neither is, else 0: d = 1.
[[nodiscard]] at::Tensor equal_flips(const ViewBatch& batch);

/// The widths of the blurs as shares of `largest`, 0 for none: d = 1, in [-1, 1].
[[nodiscard]] at::Tensor blur_differences(const ViewBatch& batch, double largest);

/// The thresholds of the inversions, `threshold` in [0, 1] where there is one and 1 for none: d =
/// 1, in [-1, 1].
[[nodiscard]] at::Tensor solarize_differences(const ViewBatch& batch, double threshold);

}  // namespace viewfold
