// The verbs that train: pretrain and resume.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/learned_pretraining.hpp"
#include "viewfold/app/out_of_memory.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/processes.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/process_place.hpp"

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

void run_and_say(const RunDir& run, Experiment& experiment, Processes& processes) {
  catch_stop_signals();
  LogSink& log = processes.log();
  const auto& config = experiment.config;
  log.info(fmt::format(
      "{}: {} with {} (width {}), views \"{}\" of {} px, {} epochs of {} images a "
      "step, {}, {} threads",
      run.path().string(), config.method_name, config.encoder.name, config.encoder.settings.width,
      config.recipe_name, config.view_size, config.train.epochs, config.train.batch_size,
      config.train.precision, config.train.threads));
  try {
    const TrainResult result =
        run_to_end(run, experiment, processes.communicator(), log, processes.progress());
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
  } catch (const PeerError& error) {
    throw PeerError(fmt::format("{}; start all processes again with: viewfold resume {}",
                                error.what(), run.path().string()));
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

// What ranks other than 0 do.
void run_beside(const Experiment& experiment, Processes& processes) {
  catch_stop_signals();
  train_beside(experiment, processes.communicator(), processes.log(), processes.progress());
}

// All stages into one folder; the same command goes on.
void learn_views_and_pretrain(const std::optional<std::string>& out,
                              bool overwrite,
                              const ConfigSource& source) {
  if (!out) {
    throw UsageError("--views learned needs --out FOLDER, for base, manifold and the run itself");
  }
  if (overwrite) {
    throw UsageError(
        "--views learned takes finished stages as they are; remove their folders instead of "
        "--overwrite");
  }
  if (read_process_place(process_environment).size > 1) {
    throw UsageError(
        "--views learned runs in one process; start several with --views.learned.from FOLDER, of a "
        "manifold that is fitted");
  }
  catch_stop_signals();
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  try {
    pretrain_learned(*out, source, log, progress);
  } catch (const Interrupted& error) {
    throw Interrupted(fmt::format("{}; the same command goes on", error.what()));
  }
  const RunDir run = RunDir::open(std::filesystem::path(*out) / "learned");
  fmt::print("encoder: {}\nreport:  {}\n", run.encoder().string(), run.report().string());
}

}  // namespace

void pretrain_command(Arguments arguments) {
  const auto out = arguments.take("out");
  const bool overwrite = arguments.take_flag("overwrite");
  const ConfigSource source = take_run_settings(arguments);
  if (asks_for_learned_views(source)) {
    learn_views_and_pretrain(out, overwrite, source);
    return;
  }

  Processes processes;
  processes.run([&] {
    if (out && !overwrite && processes.is_first()) {
      RunDir::check_free(*out);
    }
    Experiment experiment =
        read_experiment(source, processes.log(), processes.communicator().processes_here());
    processes.expect_agreement(experiment);
    if (!processes.is_first()) {
      run_beside(experiment, processes);
      return;
    }
    const RunDir run = RunDir::create(
        out ? std::filesystem::path(*out) : free_run_path(experiment.config), overwrite);
    write_run_start(run, experiment);
    run_and_say(run, experiment, processes);
  });
}

void resume_command(Arguments arguments) {
  const RunDir run = RunDir::open(arguments.take_positional("RUN (the run directory)"));
  ConfigSource changes;
  arguments.move_settings(changes);
  arguments.expect_empty({});
  Processes processes;
  processes.run([&] {
    Experiment experiment = reopen_experiment(run, changes, processes.log());
    processes.expect_agreement(experiment);
    const bool finished = processes.is_first() && run.info().status == RunStatus::kFinished &&
                          std::filesystem::exists(run.encoder());
    if (!processes.communicator().broadcast(finished ? "finished" : "").empty()) {
      if (processes.is_first()) {
        std::printf("%s is finished; nothing to do\n", run.path().c_str());
      }
    } else if (processes.is_first()) {
      run_and_say(run, experiment, processes);
    } else {
      run_beside(experiment, processes);
    }
  });
}

}  // namespace viewfold
