// Images and settings for the verbs that look at views before training.
#pragma once

#include <memory>

#include "viewfold/app/arguments.hpp"
#include "viewfold/app/run_config.hpp"
#include "viewfold/augment/substitutes.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/data/dataset.hpp"

namespace viewfold {

struct ViewSource {
  std::shared_ptr<const Dataset> dataset;
  std::int64_t bands = 0;  // that training would see
  bool reduce_jpeg = false;
  RunConfig config;
  std::shared_ptr<const SubstituteSource> learned = {};  // null: without learned views
};

/// Reads --config files, DATA and the settings of a run from what is left of the command line.
/// Throws UsageError on anything else. With learned views (views.learned.from) the images are those
/// that a run would train on, without what it holds out: the manifold knows no others.
[[nodiscard]] ViewSource open_view_source(Arguments arguments, LogSink& log);

}  // namespace viewfold
