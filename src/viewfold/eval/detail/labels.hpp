// What evaluations by label share: checks of their input, accuracy and confusion.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "viewfold/eval/evaluation.hpp"

namespace viewfold {

/// Checks that both sets have finite features of one width and a label for each, and returns the
/// number of classes: the names where there are any, else the largest training label + 1. Throws
/// DataError when there are no images or no labels, or when a test label was never seen in
/// training; ContractViolation when shapes or types do not fit, or a label is negative or has no
/// name.
[[nodiscard]] std::int64_t check_labelled(const EvaluationInput& input);

/// Accuracy and confusion.
/// truth, predicted  [M] int64 in [0, classes), M >= 1
[[nodiscard]] EvaluationResult compare_labels(const at::Tensor& truth,
                                              const at::Tensor& predicted,
                                              std::int64_t classes);

}  // namespace viewfold
