// Images for evaluations, mostly labelled: what a run was trained on, or another data set.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "viewfold/app/run_config.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {

struct LabelledImages {
  std::string source;
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;
  std::string test_split;  // "test", or how it was made
};

/// Opens the training and the test images of `source`, or of the run itself, with or without
/// labels: `config` says which these are. Where there is no test split, a fifth of the images,
/// chosen by the seed of the run, is the test set, and a warning says so. Throws UsageError when
/// neither is known.
[[nodiscard]] LabelledImages open_images(const RunConfig& config,
                                         const std::optional<std::string>& source,
                                         LogSink& log);

/// The same. Throws DataError when there are no labels.
[[nodiscard]] LabelledImages open_labelled(const RunConfig& config,
                                           const std::optional<std::string>& source,
                                           LogSink& log);

/// What eval/NAME.json holds of one evaluation, without controls.
[[nodiscard]] nlohmann::ordered_json result_json(const std::string& name,
                                                 const EvaluationResult& result,
                                                 const LabelledImages& images);

}  // namespace viewfold
