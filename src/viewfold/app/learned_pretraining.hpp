// Base pretraining, the manifold, and pretraining with learned views as one.
#pragma once

#include <filesystem>

#include "viewfold/core/config.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/core/progress.hpp"

namespace viewfold {

/// Whether these settings ask for that: `views.recipe` is "learned" or "learned+...".
[[nodiscard]] bool asks_for_learned_views(const ConfigSource& source);

/// Runs all stages into `folder`: `base` (a run without learned views), `manifold`, `learned` (the
/// run with them). A stage that is finished with these settings is taken as it is; one that was
/// interrupted goes on. Settings of the manifold are those below "manifold.", without it; all
/// others are those of both runs, and those below "base." of the first alone. Throws UsageError
/// when a stage is there with other settings.
void pretrain_learned(const std::filesystem::path& folder,
                      const ConfigSource& source,
                      LogSink& log,
                      Progress& progress);

}  // namespace viewfold
