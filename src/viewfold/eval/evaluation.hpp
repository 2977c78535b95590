// The interface of an evaluation: frozen features in, numbers and figures as data out.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/core/config.hpp"

namespace viewfold {

/// Frozen features of a labelled (or not) set of images.
struct FeatureSet {
  at::Tensor features;  // [M, D] float32, contiguous
  at::Tensor labels;    // [M] int64; undefined when there are none
};

/// What an evaluation may see: it never meets the encoder, so it cannot move it.
struct EvaluationInput {
  FeatureSet train;
  FeatureSet test;
  std::vector<std::string> classes;
  std::uint64_t seed = 0;
};

/// Numbers as data.
struct EvaluationResult {
  std::map<std::string, double> numbers;  // "accuracy": 0.845
  std::string protocol;                   // one line: every choice that the numbers depend on
  std::vector<std::vector<std::int64_t>>
      confusion;  // rows: true class, columns: predicted; may be empty
};

/// One row of the table of evaluations. `src/viewfold/eval/<stem>.cpp` defines `<stem>_entry()`.
struct EvaluationEntry {
  std::string_view name;  // the file stem
  std::string_view
      summary;  // one line for `viewfold list evaluations`, with the source of the protocol
  std::unique_ptr<Config> (*config)();
  /// Throws DataError when there are no labels and it needs them, ContractViolation on shapes that
  /// do not fit.
  EvaluationResult (*run)(const EvaluationInput& input, const Config& config);
  bool needs_labels = true;  // else its "accuracy" is there only where there are labels
};

/// All evaluations, by name. Generated from the file names in `src/viewfold/eval/`.
[[nodiscard]] std::span<const EvaluationEntry> evaluation_table();

/// The row called `name`. Throws UsageError with the nearest known name.
[[nodiscard]] const EvaluationEntry& find_evaluation(std::string_view name);

}  // namespace viewfold
