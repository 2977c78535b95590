// Images and settings for the verbs that look at views before training.
#pragma once

#include <memory>

#include "viewfold/app/arguments.hpp"
#include "viewfold/app/run_config.hpp"
#include "viewfold/data/dataset.hpp"

namespace viewfold {

struct ViewSource {
  std::unique_ptr<Dataset> dataset;
  std::int64_t bands = 0;  // that training would see
  bool reduce_jpeg = false;
  RunConfig config;
};

/// Reads --config files, DATA and the settings of a run from what is left of the command line.
/// Throws UsageError on anything else.
[[nodiscard]] ViewSource open_view_source(Arguments arguments);

}  // namespace viewfold
