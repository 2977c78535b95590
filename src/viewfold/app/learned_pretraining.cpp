// Implements pretraining with learned views, stage by stage.
#include "viewfold/app/learned_pretraining.hpp"

#include <cstdio>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/app/manifold_run.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/run_dir.hpp"

namespace viewfold {
namespace {

constexpr std::string_view kRecipe = "learned";
constexpr std::string_view kOfManifold = "manifold.";
constexpr std::string_view kOfBase = "base.";

// What both runs are told: everything but the parts of one stage; the recipe of the method, with
// what was added to it.
ConfigSource settings_of_runs(const ConfigSource& source) {
  ConfigSource shared;
  for (const auto& [key, value] : source.values()) {
    if (!key.starts_with(kOfManifold) && !key.starts_with(kOfBase) && key != "views.recipe") {
      shared.set_raw(key, value);
    }
  }
  const std::string recipe = source.string_or("views.recipe", "");
  if (recipe.size() > kRecipe.size()) {
    const auto& entry = find_method(source.string_or("method.name", "simclr"));
    shared.set("views.recipe", std::string(entry.recipe) + recipe.substr(kRecipe.size()),
               "--views");
  }
  return shared;
}

ConfigSource settings_of_base(const ConfigSource& source) {
  ConfigSource base;
  const ConfigSource shared = settings_of_runs(source);
  for (const auto& [key, value] : shared.values()) {
    if (!key.starts_with("views.learned.")) {
      base.set_raw(key, value);
    }
  }
  for (const auto& [key, value] : source.values()) {
    if (key.starts_with(kOfBase)) {
      base.set_raw(key.substr(kOfBase.size()), value);
    }
  }
  return base;
}

ConfigSource settings_of_manifold(const ConfigSource& source, const std::filesystem::path& base) {
  ConfigSource manifold;
  for (const auto& [key, value] : source.values()) {
    if (key.starts_with("data.") || key == "seed") {
      manifold.set_raw(key, value);
    } else if (key == "views.size") {
      manifold.set_raw("size", value);
    }
  }
  manifold.set("condition.run", base.string(), "the base run");
  for (const auto& [key, value] : source.values()) {
    if (key.starts_with(kOfManifold)) {
      manifold.set_raw(key.substr(kOfManifold.size()), value);
    }
  }
  return manifold;
}

bool has_begun(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / "run.json") &&
         std::filesystem::exists(RunDir::open(folder).config());
}

void refuse_other_settings(const RunDir& run, RunConfig& wanted) {
  RunConfig there = reopen_config(run);
  const auto differences = must_match_differences(there, wanted);
  if (!differences.empty()) {
    throw UsageError(
        fmt::format("{}: was made with other settings: {} (choose another --out, or "
                    "remove that folder and what was made of it)",
                    run.path().string(), fmt::join(differences, ", ")));
  }
}

void pretrain_stage(const std::filesystem::path& folder,
                    const ConfigSource& source,
                    LogSink& log,
                    Progress& progress) {
  Experiment experiment = read_experiment(source, log);
  if (!has_begun(folder)) {
    const RunDir run = RunDir::create(folder, std::filesystem::exists(folder / "run.json"));
    write_run_start(run, experiment);
    (void)run_to_end(run, experiment, {}, log, progress);
    return;
  }
  const RunDir run = RunDir::open(folder);
  refuse_other_settings(run, experiment.config);
  if (run.info().status == RunStatus::kFinished && std::filesystem::exists(run.encoder())) {
    log.info(fmt::format("{}: finished already", folder.string()));
    return;
  }
  Experiment unfinished = reopen_experiment(run, {}, log);
  (void)run_to_end(run, unfinished, {}, log, progress);
}

}  // namespace

bool asks_for_learned_views(const ConfigSource& source) {
  const std::string recipe = source.string_or("views.recipe", "");
  return recipe == kRecipe || recipe.starts_with(std::string(kRecipe) + "+");
}

void pretrain_learned(const std::filesystem::path& folder,
                      const ConfigSource& source,
                      LogSink& log,
                      Progress& progress) {
  const auto root = std::filesystem::absolute(folder).lexically_normal();
  const auto base = root / "base";
  const auto manifold = root / "manifold";
  ConfigSource learned = settings_of_runs(source);
  learned.set("views.learned.from", manifold.string(), "the manifold");
  // A mistake in a later stage is told before the first one begins.
  const ConfigSource of_manifold = settings_of_manifold(source, base);
  NullLog silent;
  check_manifold_settings(of_manifold, silent);
  constexpr std::int64_t kAnySize = 32;
  (void)read_run_config(learned, kAnySize);

  log.info("stage 1 of 3: base, without learned views");
  pretrain_stage(base, settings_of_base(source), log, progress);
  log.info("stage 2 of 3: manifold");
  fit_manifold(manifold, of_manifold, log, progress);
  log.info("stage 3 of 3: pretraining with learned views");
  pretrain_stage(root / "learned", learned, log, progress);
}

}  // namespace viewfold
