// Implements the life of a run.
#include "viewfold/app/pretraining.hpp"

#include <bit>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include "viewfold/app/pictures.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/version.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/nn/state.hpp"
#include "viewfold/report/report.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

std::filesystem::path cache_file(const RunDir& run) {
  return run.cache() / "images.pixels";
}

// A size of views where none is known yet; resolved settings name theirs.
constexpr std::int64_t kAnySize = 32;

ConfigSource resolved_settings(const RunDir& run) {
  if (!std::filesystem::exists(run.config())) {
    if (std::filesystem::exists(run.encoder())) {
      throw UsageError(
          fmt::format("{}: holds an imported encoder; nothing was trained here that could go on",
                      run.path().string()));
    }
    throw DataError(fmt::format(
        "{0}: the run ended before it began ({1} is missing; start it again with `viewfold "
        "pretrain ... --out {0} --overwrite`)",
        run.path().string(), run.config().filename().string()));
  }
  ConfigSource source;
  source.add_toml_file(run.config().string());
  return source;
}

std::uint64_t read_seed(const ConfigSource& source) {
  struct Seed final : Config {
    std::int64_t seed = 1;
    void visit(FieldVisitor& v) override { v.field("seed", seed, {.min = 0}); }
  };
  Seed part;
  read_config(part, source.only("seed"));
  return static_cast<std::uint64_t>(part.seed);
}

// The paper's batch size and warm-up are for large data sets and long runs: where the user says
// nothing, a batch is at most a quarter of the images and warm-up at most a tenth of the run.
void fit_defaults(RunConfig& config, const RunImages& images, const ConfigSource& source) {
  const auto is_set = [&source](const char* key) { return source.values().contains(key); };
  if (!is_set("train.batch_size")) {
    const auto quarter = std::bit_floor(std::max<std::size_t>(images.train->size() / 4, 2));
    config.train.batch_size = std::min(config.train.batch_size, static_cast<std::int64_t>(quarter));
  }
  if (!is_set("train.warmup_epochs")) {
    config.train.warmup_epochs =
        std::min(config.train.warmup_epochs, 0.1 * static_cast<double>(config.train.epochs));
  }
}

void resolve(RunConfig& config, const RunImages& images, int sharers) {
  config.data.source = absolute_spec(config.data.source);
  config.data.bands = images.bands;
  config.data.reduce_jpeg = images.reduce_jpeg ? "on" : "off";
  if (config.learned.is_on()) {
    config.learned.from = std::filesystem::absolute(config.learned.from).lexically_normal();
  }
  config.encoder.settings.stem = resolve_stem(config.encoder.settings.stem, config.view_size);
  config.train.precision = uses_bf16(config.train.precision) ? "bf16" : "fp32";
  if (config.train.threads == 0) {
    config.train.threads = std::max(1, thread_count(0) / sharers);
  }
  if (config.online.every == 0) {
    config.online.every = std::max<std::int64_t>(1, config.train.epochs / 10);
  }
}

// The class of every image: [images.size()] int64.
at::Tensor required_labels(const Dataset& images, const std::string& method) {
  auto labels = labels_of(images);
  if (!labels.defined()) {
    throw DataError(fmt::format(
        "there are images without a label, which the method {} learns from (sort them into one "
        "folder a class, or take a method that needs no labels)",
        method));
  }
  return labels;
}

void open_learned(Experiment& experiment, LogSink& log) {
  const auto& config = experiment.config;
  if (config.learned.is_on()) {
    at::set_num_threads(thread_count(config.train.threads));
    experiment.learned = open_learned_views(config.learned,
                                            {.images = experiment.images.train,
                                             .data_fingerprint = experiment.images.fingerprint,
                                             .bands = experiment.images.bands,
                                             .seed = static_cast<std::uint64_t>(config.seed),
                                             .stop_requested = stop_requested},
                                            log);
  }
}

Preprocess preprocess(const Experiment& experiment) {
  return {.input_size = experiment.config.view_size,
          .bands = experiment.images.bands,
          .normalization = experiment.images.normalization};
}

std::shared_ptr<const Dataset> spread_out(std::shared_ptr<const Dataset> dataset,
                                          std::size_t count) {
  const std::size_t size = dataset->size();
  if (size <= count) {
    return dataset;
  }
  std::vector<std::uint32_t> indices;
  for (std::size_t i = 0; i < count; ++i) {
    indices.push_back(static_cast<std::uint32_t>(i * size / count));
  }
  return make_subset(std::move(dataset), std::move(indices));
}

// kNN of held-out training images among training images, while training.
class OnlineEvaluation {
 public:
  OnlineEvaluation(const Experiment& experiment, Encoder& encoder)
      : experiment_(experiment),
        encoder_(encoder) {
    if (experiment.images.held_out) {
      bank_ = spread_out(experiment.images.train,
                         static_cast<std::size_t>(experiment.config.online.bank));
      queries_ = spread_out(experiment.images.held_out, kQueries);
    }
  }

  std::vector<std::pair<std::string, double>> operator()(std::int64_t epochs_done) const {
    const auto& config = experiment_.config;
    const bool ends = epochs_done == config.train.epochs;
    // What is solved in closed form has nothing to show before its end.
    const bool due = ends || (!config.method_entry().closed_form &&
                              (epochs_done == 1 || epochs_done % config.online.every == 0));
    if (!queries_ || !due) {
      return {};
    }
    const auto features = [this](const Dataset& dataset) {
      return extract_features(encoder_, dataset, preprocess(experiment_), kBatch,
                              thread_count(experiment_.config.train.threads));
    };
    const auto& entry = find_evaluation("knn");
    const auto result = entry.run({.train = features(*bank_),
                                   .test = features(*queries_),
                                   .classes = bank_->class_names(),
                                   .seed = static_cast<std::uint64_t>(config.seed)},
                                  *entry.config());
    return {{"knn", result.numbers.at("accuracy")}};
  }

 private:
  static constexpr std::size_t kQueries = 2000;
  static constexpr std::int64_t kBatch = 256;
  const Experiment& experiment_;
  Encoder& encoder_;
  std::shared_ptr<const Dataset> bank_;
  std::shared_ptr<const Dataset> queries_;
};

// What one process needs in order to train.
struct Training {
  const Experiment& experiment;
  Method& method;
  const Communicator& processes;
  LogSink& log;
  Progress& progress;
};

// Where rank 0 keeps what comes of it.
struct Records {
  explicit Records(const RunDir& run)
      : checkpoints(run.checkpoints()),
        metrics(run.metrics()),
        tensorboard(run.tensorboard()) {}
  std::filesystem::path checkpoints;
  MetricsWriter metrics;
  TensorboardWriter tensorboard;
};

// records  null: of another rank
TrainResult train_method(const Training& training, Records* records) {
  const auto& experiment = training.experiment;
  const auto& config = experiment.config;
  const auto seed = static_cast<std::uint64_t>(config.seed);
  const std::int64_t per_epoch =
      batches_per_epoch(experiment.images.train->size(), config.train.batch_size);
  const auto open_loader = [&](std::int64_t first_step) {
    return open_run_loader(experiment, first_step, config.train.epochs * per_epoch,
                           training.processes);
  };
  return train({.task = training.method,
                .config = config.train,
                .seed = seed,
                .steps_per_epoch = per_epoch,
                .checkpoints = records ? records->checkpoints : std::filesystem::path(),
                .metrics = records ? &records->metrics : nullptr,
                .tensorboard = records ? &records->tensorboard : nullptr,
                .log = training.log,
                .progress = training.progress,
                .open_loader = open_loader,
                .after_epoch = OnlineEvaluation(experiment, training.method.encoder()),
                .stop_requested = stop_requested,
                .communicator = training.processes});
}

// Images that do not fit into memory are decoded once.
void cache_images(const RunDir& run, Experiment& experiment, LogSink& log) {
  const auto& config = experiment.config;
  cache_run_images(experiment.images, config.data, static_cast<std::uint64_t>(config.seed),
                   {.path = cache_file(run),
                    .bands = static_cast<int>(experiment.images.bands),
                    .max_bytes = static_cast<std::uint64_t>(config.data.cache_gb * 1e9),
                    .threads = thread_count(config.train.threads),
                    .stop_requested = stop_requested},
                   log);
}

// The trained run needs no pixels any more.
void remove_cache(const RunDir& run, const Experiment& experiment, LogSink& log) {
  const auto& cache = experiment.images.cache;
  if (cache && cache->damaged() > 0) {
    log.warning(fmt::format(
        "{}: the pixels of {} images had changed on the disk; they were decoded again, so that "
        "the run is as it should be",
        cache_file(run).string(), cache->damaged()));
  }
  std::error_code ignored;  // a file that stays is of no harm
  std::filesystem::remove_all(run.cache(), ignored);
}

void write_results(const RunDir& run, const Experiment& experiment, Method& method) {
  const auto& config = experiment.config;
  write_encoder(method.encoder(),
                {.encoder = encoder_spec(config),
                 .normalization = experiment.images.normalization,
                 .method = config.method_name,
                 .data_fingerprint = experiment.images.fingerprint,
                 .seed = static_cast<std::uint64_t>(config.seed),
                 .feature_dim = method.encoder().feature_dim(),
                 .epochs = config.train.epochs,
                 .version = std::string(version())},
                run.encoder(), run.card());
  constexpr std::size_t kBank = 5000;
  write_neighbour_sheet(*spread_out(experiment.images.train, kBank), method.encoder(),
                        preprocess(experiment), run.figures() / "neighbours.png");
}

// What a resumed run may change (the place of its images) holds from now on.
void remember_settings(const RunDir& run, RunConfig& config) {
  const std::string settings = print_config(config);
  if (read_text_file(run.config()) != settings) {
    write_file_atomically(run.config(), settings);
  }
}

// OpenBLAS takes its working memory at the first product, and where there is none it asks for ever.
// It takes it here, when it is known that there is enough.
void take_blas_memory() {
  constexpr std::int64_t kEnough = 256 << 20;  // bytes, twice what it takes
  (void)at::empty({kEnough}, at::kByte);
  constexpr std::int64_t kSide = 256;  // beyond what has kernels without working memory
  (void)at::ones({kSide, kSide}).mm(at::ones({kSide, kSide}));
}

// Where not even this can be written, the status stays "running", as that of a killed process does;
// what ended the run is the news.
void mark_ended(const RunDir& run, RunStatus status) {
  try {
    run.set_status(status);
  } catch (const DataError&) {
  }
}

}  // namespace

EncoderSpec encoder_spec(const RunConfig& config) {
  return {.name = config.encoder.name,
          .width = config.encoder.settings.width,
          .stem = config.encoder.settings.stem,
          .in_channels = config.data.bands,
          .input_size = config.view_size,
          .zero_init_residual = config.encoder.settings.zero_init_residual};
}

ViewPlan view_plan(const RunConfig& config) {
  return make_view_plan(*config.recipe, config.method_entry().views, config.view_size);
}

namespace {

void seed_weights(std::int64_t seed) {
  torch::manual_seed(derive_seed({.seed = static_cast<std::uint64_t>(seed), .stream = "init"}));
}

}  // namespace

std::shared_ptr<Encoder> make_initial_encoder(const EncoderSpec& spec, std::int64_t seed) {
  seed_weights(seed);  // a method draws those of its encoder first
  auto encoder = make_encoder(spec);
  use_channels_last(*encoder);
  return encoder;
}

std::unique_ptr<Method> make_initial_method(const RunConfig& config, const Dataset& images) {
  MethodContext context{.encoder = encoder_spec(config),
                        .seed = static_cast<std::uint64_t>(config.seed),
                        .samples = static_cast<std::int64_t>(images.size()),
                        .recipe = config.recipe.get()};
  const auto entry = config.method_entry();
  if (entry.needs_labels) {
    context.labels = required_labels(images, entry.name);
    context.classes = static_cast<std::int64_t>(images.class_names().size());
  }
  seed_weights(config.seed);
  auto method = entry.make(*config.method, context);
  use_channels_last(method->module());
  return method;
}

std::unique_ptr<Loader> open_run_loader(const Experiment& experiment,
                                        std::int64_t first_step,
                                        std::int64_t total_steps,
                                        const Communicator& processes) {
  const auto& config = experiment.config;
  return std::make_unique<Loader>(
      experiment.images.train, view_plan(config), experiment.images.normalization,
      LoaderOptions{.batch_size = config.train.batch_size,
                    .shard = processes.rank(),
                    .shards = processes.size(),
                    .first_step = first_step,
                    .total_steps = total_steps,
                    .bands = experiment.images.bands,
                    .seed = static_cast<std::uint64_t>(config.seed),
                    .threads = static_cast<int>(config.train.loader_threads),
                    .memory_budget = static_cast<std::uint64_t>(config.train.prefetch_gb * 1e9),
                    .max_bad_fraction = config.data.max_bad_fraction,
                    .reduce_jpeg = experiment.images.reduce_jpeg,
                    .type = uses_bf16(config.train.precision) ? at::kBFloat16 : at::kFloat,
                    .substitutes = experiment.learned});
}

Experiment read_experiment(const ConfigSource& source, LogSink& log, int sharers) {
  // Every setting is read before the images are, so that a mistake is told at once.
  RunConfig config = read_run_config(source, kAnySize);
  RunImages images = open_run_images(read_data_config(source), read_seed(source),
                                     thread_count(config.train.threads), log);
  config = read_run_config(source, default_view_size(images.typical_size));
  fit_defaults(config, images, source);
  resolve(config, images, sharers);
  (void)batches_per_epoch(images.train->size(), config.train.batch_size);
  if (const auto entry = config.method_entry(); entry.check_batch) {
    entry.check_batch(*config.method, config.train.batch_size);
  }
  if (config.method_entry().needs_labels) {  // told now, not when the run has begun
    (void)required_labels(*images.train, config.method_name);
  }
  Experiment experiment{.config = std::move(config), .images = std::move(images)};
  open_learned(experiment, log);
  return experiment;
}

void write_run_start(const RunDir& run, Experiment& experiment) {
  const auto& images = experiment.images;
  nlohmann::ordered_json data{{"source", experiment.config.data.source},
                              {"fingerprint", images.fingerprint},
                              {"images", images.train->size()},
                              {"held_out", images.held_out ? images.held_out->size() : 0},
                              {"bands", images.bands},
                              {"mean", images.normalization.mean},
                              {"std", images.normalization.std},
                              {"left_out", images.left_out}};
  if (experiment.config.learned.is_on()) {
    data["manifold"] = manifold_fingerprint(experiment.config.learned);
  }
  write_file_atomically(run.data(), data.dump(2) + "\n");
  create_folder(run.figures());
  const auto seed = static_cast<std::uint64_t>(experiment.config.seed);
  write_view_sheet(
      sheet_samples(*images.train, view_plan(experiment.config), seed,
                    {static_cast<int>(images.bands), images.reduce_jpeg}, experiment.learned.get()),
      run.figures() / "views.png");
  if (experiment.config.learned.is_on()) {
    std::error_code ignored;  // a manifold fitted without a picture has none to show
    std::filesystem::copy_file(
        std::filesystem::path(experiment.config.learned.from) / "figures" / "manifold.png",
        run.figures() / "manifold.png", std::filesystem::copy_options::overwrite_existing, ignored);
  }
  // Last: a run with settings can be resumed.
  write_file_atomically(run.config(), print_config(experiment.config));
}

namespace {

// What is known of an encoder that was imported, as settings of the run it did not have here.
RunConfig imported_config(const EncoderCard& card) {
  RunConfig config("simclr", "auto", card.encoder.input_size);
  if (card.encoder.parts.empty()) {
    config.encoder.name = card.encoder.name;
  }
  config.encoder.settings.width = card.encoder.width;
  config.encoder.settings.stem = card.encoder.stem;
  config.data.bands = card.encoder.in_channels;
  return config;
}

}  // namespace

RunConfig reopen_config(const RunDir& run) {
  if (!std::filesystem::exists(run.config()) && std::filesystem::exists(run.encoder())) {
    return imported_config(read_finished_encoder(run).card);
  }
  return read_run_config(resolved_settings(run), kAnySize);
}

LoadedEncoder read_finished_encoder(const RunDir& run) {
  if (!std::filesystem::exists(run.encoder())) {
    throw DataError(fmt::format(
        "{0}: has no encoder yet (its status is \"{1}\"; finish it with `viewfold resume {0}`)",
        run.path().string(), to_string(run.info().status)));
  }
  return read_encoder(run.encoder(), run.card());
}

Experiment reopen_experiment(const RunDir& run, const ConfigSource& changes, LogSink& log) {
  ConfigSource source = resolved_settings(run);
  RunConfig before = read_run_config(source, kAnySize);
  for (const auto& [key, value] : changes.values()) {
    source.set(key, std::get<std::string>(value.value), value.origin);
  }
  RunConfig after = read_run_config(source, kAnySize);
  const auto differences = must_match_differences(before, after);
  if (!differences.empty()) {
    throw UsageError(fmt::format(
        "{}: a resumed run must keep its settings, but {} (start a new run with `viewfold "
        "pretrain --config {}` and the change)",
        run.path().string(), fmt::join(differences, ", "), run.config().string()));
  }
  Experiment experiment{.config = std::move(after), .images = {}};
  experiment.images =
      open_run_images(experiment.config.data, static_cast<std::uint64_t>(experiment.config.seed),
                      thread_count(experiment.config.train.threads), log, cache_file(run));
  resolve(experiment.config, experiment.images, 1);
  const auto text = read_text_file(run.data());
  const auto data = nlohmann::json::parse(text, nullptr, false);
  if (!data.is_object() || !data.value("fingerprint", nlohmann::json()).is_string()) {
    throw DataError(
        fmt::format("{}: has no \"fingerprint\" of the images (copy the whole run "
                    "directory again)",
                    run.data().string()));
  }
  if (data["fingerprint"] != experiment.images.fingerprint) {
    throw DataError(fmt::format(
        "{}: the images have changed since the run began (it saw {} of them, there are {} now): "
        "restore them, or start a new run",
        experiment.config.data.source, data.value("images", std::size_t{0}),
        experiment.images.train->size()));
  }
  const auto& learned = experiment.config.learned;
  if (learned.is_on() &&
      data.value("manifold", nlohmann::json()) != manifold_fingerprint(learned)) {
    throw DataError(fmt::format(
        "{}: the manifold has been fitted anew since the run began: restore it, or start a new run",
        learned.from));
  }
  open_learned(experiment, log);
  return experiment;
}

TrainResult run_to_end(const RunDir& run,
                       Experiment& experiment,
                       const Communicator& processes,
                       LogSink& log,
                       Progress& progress) {
  const RunLock lock = run.lock();
  run.set_status(RunStatus::kRunning);
  remember_settings(run, experiment.config);
  at::set_num_threads(thread_count(experiment.config.train.threads));
  const auto method = make_initial_method(experiment.config, *experiment.images.train);
  try {
    take_blas_memory();
    if (processes.size() == 1) {  // several would each need a cache of its own
      cache_images(run, experiment, log);
    }
    Records records(run);
    const TrainResult result =
        train_method({experiment, *method, processes, log, progress}, &records);
    write_results(run, experiment, *method);
    remove_cache(run, experiment, log);
    run.set_status(RunStatus::kFinished);
    write_report(run.path(), run.report());
    return result;
  } catch (const DivergedError&) {
    progress.finish();
    mark_ended(run, RunStatus::kDiverged);
    throw;
  } catch (...) {
    progress.finish();
    mark_ended(run, RunStatus::kInterrupted);
    throw;
  }
}

void train_beside(const Experiment& experiment,
                  const Communicator& processes,
                  LogSink& log,
                  Progress& progress) {
  at::set_num_threads(thread_count(experiment.config.train.threads));
  const auto method = make_initial_method(experiment.config, *experiment.images.train);
  (void)train_method({experiment, *method, processes, log, progress}, nullptr);
}

}  // namespace viewfold
