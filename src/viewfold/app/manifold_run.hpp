// Fitting the manifold of a data set: conditions, neighbourhoods, generator, scores, pictures.
#pragma once

#include <filesystem>
#include <string>

#include "viewfold/app/arguments.hpp"
#include "viewfold/app/run_config.hpp"
#include "viewfold/app/run_images.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/core/progress.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/manifold/ic_gan_task.hpp"

namespace viewfold {

/// What makes two images near.
struct ConditionConfig final : Config {
  std::string space = "encoder";
  std::string run;
  std::int64_t components = 128;
  std::int64_t neighbours = 10;
  void visit(FieldVisitor& v) override;
};

/// Everything that a fitted manifold depends on.
struct ManifoldConfig final : Config {
  explicit ManifoldConfig(std::int64_t size);

  std::int64_t seed = 1;
  DataConfig data;
  std::int64_t size;  // of the images that a generator makes
  ConditionConfig condition;
  std::string generator = "ic_gan";
  IcGanConfig ic_gan;
  TrainConfig train;
  std::string judge;
  void visit(FieldVisitor& v) override;
};

/// Reads all settings; images are `fallback_size` pixels large unless "size" says otherwise.
[[nodiscard]] ManifoldConfig read_manifold_config(const ConfigSource& source,
                                                  std::int64_t fallback_size);

/// Reads all settings and the images they name, and refuses what these do not allow, as
/// fit_manifold() would. Throws UsageError.
void check_manifold_settings(const ConfigSource& source, LogSink& log);

/// Fits a manifold into `folder`, or goes on where that was interrupted: neighbourhoods, then the
/// generator, then its scores and pictures. Throws UsageError when another manifold is there.
void fit_manifold(const std::filesystem::path& folder,
                  const ConfigSource& source,
                  LogSink& log,
                  Progress& progress);

}  // namespace viewfold
