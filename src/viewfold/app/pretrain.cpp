// The verbs that train: pretrain and resume.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include <fmt/format.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/out_of_memory.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// "runs/pictures-simclr", or with the first free number behind it.
std::filesystem::path free_run_path(const RunConfig& config) {
  std::string data;
  auto source = std::filesystem::path(config.data.source);
  if (!source.has_filename()) {
    source = source.parent_path();
  }
  for (const char c : source.stem().string()) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
    data += plain ? c : '-';
  }
  const auto base = fmt::format("runs/{}-{}", data.empty() ? "images" : data, config.method_name);
  std::filesystem::path path = base;
  for (int i = 2; std::filesystem::exists(path); ++i) {
    path = fmt::format("{}-{}", base, i);
  }
  return path;
}

void run_and_say(const RunDir& run, Experiment& experiment, LogSink& log, Progress& progress) {
  catch_stop_signals();
  const auto& config = experiment.config;
  log.info(fmt::format(
      "{}: {} with {} (width {}), views \"{}\" of {} px, {} epochs of {} images a "
      "step, {}, {} threads",
      run.path().string(), config.method_name, config.encoder.name, config.encoder.settings.width,
      config.recipe_name, config.view_size, config.train.epochs, config.train.batch_size,
      config.train.precision, config.train.threads));
  try {
    const TrainResult result = run_to_end(run, experiment, log, progress);
    for (const auto& reason : result.left_out) {
      log.warning("left out: " + reason);
    }
    std::printf(
        "trained %lld steps in %.1f minutes (%.0f views/s, %.1f %% of the time waiting for "
        "data)\nencoder: %s\nreport:  %s\n",
        static_cast<long long>(result.steps - result.resumed_from), result.seconds / 60.0,
        result.views_per_second, 100.0 * result.data_wait, run.encoder().c_str(),
        run.report().c_str());
  } catch (const Interrupted& error) {
    throw Interrupted(
        fmt::format("{}; go on with: viewfold resume {}", error.what(), run.path().string()));
  } catch (const DivergedError& error) {
    throw DivergedError(fmt::format("{}: {}", run.path().string(), error.what()));
  } catch (const WriteError& error) {
    throw WriteError(fmt::format("{}; the last checkpoint is kept, go on with: viewfold resume {}",
                                 error.what(), run.path().string()));
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) {
      throw;
    }
    throw OutOfMemory(fmt::format(
        "{0}: out of memory with train.batch_size = {1} (begin again with a smaller one: viewfold "
        "pretrain --config {0}/resolved.toml --batch {2}; or free memory and go on with: viewfold "
        "resume {0})",
        run.path().string(), config.train.batch_size,
        std::max<std::int64_t>(2, config.train.batch_size / 2)));
  }
}

}  // namespace

void pretrain_command(Arguments arguments) {
  const auto out = arguments.take("out");
  const bool overwrite = arguments.take_flag("overwrite");
  const ConfigSource source = take_run_settings(arguments);

  Progress progress = terminal_progress();
  TerminalLog log(progress);
  if (out && !overwrite) {
    RunDir::check_free(*out);
  }
  Experiment experiment = read_experiment(source, log);
  const RunDir run = RunDir::create(
      out ? std::filesystem::path(*out) : free_run_path(experiment.config), overwrite);
  write_run_start(run, experiment);
  run_and_say(run, experiment, log, progress);
}

void resume_command(Arguments arguments) {
  const RunDir run = RunDir::open(arguments.take_positional("RUN (the run directory)"));
  ConfigSource changes;
  arguments.move_settings(changes);
  arguments.expect_empty({});
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  Experiment experiment = reopen_experiment(run, changes, log);
  if (run.info().status == RunStatus::kFinished && std::filesystem::exists(run.encoder())) {
    std::printf("%s is finished; nothing to do\n", run.path().c_str());
    return;
  }
  run_and_say(run, experiment, log, progress);
}

}  // namespace viewfold
