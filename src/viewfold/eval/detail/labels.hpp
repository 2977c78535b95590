// What evaluations by label share: checks of their input, accuracy and confusion, draws of few.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/core/rng.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {

/// Checks that both sets have finite features of one width and a label for each, and returns the
/// number of classes: the names where there are any, else the largest training label + 1. Throws
/// DataError when there are no images or no labels, or when a test label was never seen in
/// training; ContractViolation when shapes or types do not fit, or a label is negative or has no
/// name.
[[nodiscard]] std::int64_t check_labelled(const EvaluationInput& input);

/// Checks all of that but the labels, and says whether every set has some.
[[nodiscard]] bool check_features(const EvaluationInput& input);

/// Accuracy and confusion.
/// truth, predicted  [M] int64 in [0, classes), M >= 1
[[nodiscard]] EvaluationResult compare_labels(const at::Tensor& truth,
                                              const at::Tensor& predicted,
                                              std::int64_t classes);

/// Labels to draw for a task with few of them.
struct LabelQuota {
  std::int64_t percent = 0;
  std::int64_t per_class = 0;
};

/// `percent` of all labels, as many of each class, at least one (SimCLR, arXiv:2002.05709, Sec. 6).
/// class_counts  [classes] int64
[[nodiscard]] LabelQuota label_quota(std::int64_t percent, const at::Tensor& class_counts);

/// The first rows of each class in an order of all rows that `draw` gives: of two quotas the
/// smaller draw is part of the larger one. A class with fewer gives all.
/// labels   [N] int64 in [0, classes)
/// returns  [n] int64
[[nodiscard]] at::Tensor draw_labels(const at::Tensor& labels,
                                     const LabelQuota& quota,
                                     std::int64_t classes,
                                     const RngKey& draw);

/// Mean of at least one value.
[[nodiscard]] double mean_of(const std::vector<double>& values);

/// Standard deviation of the population that the values are drawn from (n - 1); 0 of a single one.
[[nodiscard]] double deviation_of(const std::vector<double>& values);

}  // namespace viewfold
