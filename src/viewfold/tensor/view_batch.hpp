// The views of a batch of samples, as the training step sees them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/augment/annotations.hpp"
#include "viewfold/augment/recipe.hpp"

namespace viewfold {

/// The views of N samples, their data set indices, their drawn parameters.
struct ViewBatch {
  /// One tensor per group of the plan: [v * N, C, S, S] float32 or bfloat16 (LoaderOptions),
  /// channels-last, normalised, for the v views of size S of the group: the first of all samples,
  /// the second of all, ...
  std::vector<at::Tensor> groups;
  std::vector<std::uint32_t> indices;  // N, into the training data set
  std::vector<OpRecord> records;       // V * N * ops_per_view, in the order of the views
  std::size_t ops_per_view = 0;
  /// V * N, in the order of the views: where what is known about places in the samples has gone in
  /// each. Empty where the data set has no annotations.
  std::vector<MovedAnnotations> annotations;
  /// V * N, in the order of the views: 1 where a view is made of another image than its sample's
  /// own. Empty where all are made of their own.
  std::vector<std::uint8_t> substituted;
  std::int64_t epoch = 0;

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(indices.size()); }

  /// V, over all groups.
  [[nodiscard]] std::int64_t views() const;

  /// View v of all samples: [N, C, S, S], a slice of its group.
  [[nodiscard]] at::Tensor view(std::int64_t v) const;

  /// Shrinks the views of every group, bilinear with antialiasing, to `size_of(S)` pixels, where
  /// that is less than their S; values may then lie between those of the pixels.
  void shrink(const std::function<std::int64_t(std::int64_t)>& size_of);

  /// The parameters of view v of sample i of this batch: ops_per_view records.
  [[nodiscard]] std::span<const OpRecord> records_of(std::int64_t v, std::int64_t i) const;

  /// Masks, boxes and keypoints of view v of sample i. Throws ContractViolation where the batch has
  /// none.
  [[nodiscard]] const MovedAnnotations& annotations_of(std::int64_t v, std::int64_t i) const;

  /// One drawn parameter of all views, in the order of the views: name is "<operation>.<column>",
  /// where the second use of an operation in a pipeline is "<operation>#2".
  /// returns [V * N]: bool for a flag, int64 for an integer, else float32; false, -1 or NaN where
  /// the pipeline of a view has no such operation. Throws UsageError when the name means nothing or
  /// no view has it.
  [[nodiscard]] at::Tensor column(std::string_view name) const;
};

}  // namespace viewfold
