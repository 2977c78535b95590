// From settings and images to a finished run directory.
#pragma once

#include <filesystem>
#include <memory>

#include "viewfold/app/run_config.hpp"
#include "viewfold/app/run_images.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/core/progress.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/tensor/communicator.hpp"
#include "viewfold/train/trainer.hpp"

namespace viewfold {

/// Settings and the images they name.
struct Experiment {
  RunConfig config;
  RunImages images;
  std::shared_ptr<const SubstituteSource> learned = {};  // null: without learned views
};

/// Reads all settings and opens the images. What is left open ("auto", 0) is decided here from
/// images and machine, so that the resolved settings mean the same everywhere.
///
/// sharers  processes on this machine, which divide its cores
[[nodiscard]] Experiment read_experiment(const ConfigSource& source, LogSink& log, int sharers = 1);

/// The network that a run trains.
[[nodiscard]] EncoderSpec encoder_spec(const RunConfig& config);

/// The views that a run makes of each image.
[[nodiscard]] ViewPlan view_plan(const RunConfig& config);

/// The encoder with the initial weights of a run with this seed, without its method.
[[nodiscard]] std::shared_ptr<Encoder> make_initial_encoder(const EncoderSpec& spec,
                                                            std::int64_t seed);

/// The method with the initial weights of the run: they depend on its seed alone.
/// images  that it trains on; their labels are read for methods that need them, and for no others.
///         Throws DataError naming an image that has none.
[[nodiscard]] std::unique_ptr<Method> make_initial_method(const RunConfig& config,
                                                          const Dataset& images);

/// The loader of a run from step `first_step` on, for steps up to `total_steps`: of the part of
/// each batch that this process has.
[[nodiscard]] std::unique_ptr<Loader> open_run_loader(const Experiment& experiment,
                                                      std::int64_t first_step,
                                                      std::int64_t total_steps,
                                                      const Communicator& processes = {});

/// Begins a run directory: settings, what the data was, the contact sheet of the views.
void write_run_start(const RunDir& run, Experiment& experiment);

/// The resolved settings of a run; of an imported encoder, which had none, what its card says, and
/// no images. Throws DataError when they are missing or broken.
[[nodiscard]] RunConfig reopen_config(const RunDir& run);

/// The encoder that a run has left. Throws DataError when the run has not ended.
[[nodiscard]] LoadedEncoder read_finished_encoder(const RunDir& run);

/// Opens a run to go on with it: the settings of its directory, with `changes` on top. Throws
/// UsageError naming every setting that may not change, DataError when the images have changed.
[[nodiscard]] Experiment reopen_experiment(const RunDir& run,
                                           const ConfigSource& changes,
                                           LogSink& log);

/// Trains to the end from the newest checkpoint, if any, then writes encoder, card, pictures and
/// report. The status of the run says how it ended, whatever is thrown.
///
/// processes  those that train together; this is rank 0 of them
TrainResult run_to_end(const RunDir& run,
                       Experiment& experiment,
                       const Communicator& processes,
                       LogSink& log,
                       Progress& progress);

/// What the other ranks do meanwhile: they train with rank 0, and leave nothing behind.
void train_beside(const Experiment& experiment,
                  const Communicator& processes,
                  LogSink& log,
                  Progress& progress);

}  // namespace viewfold
