// Implements the fitting of a manifold.
#include "viewfold/app/manifold_run.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include "viewfold/app/pictures.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/augment/contact_sheet.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/image/resample.hpp"
#include "viewfold/index/neighbours.hpp"
#include "viewfold/manifold/generation_scores.hpp"
#include "viewfold/manifold/learned_views.hpp"
#include "viewfold/train/trainer.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kFeatureBatch = 256;

// `count` of the rows 0 .. size - 1, spread evenly over them.
at::Tensor spread_rows(std::int64_t count, std::int64_t size) {
  return at::arange(count, at::kLong).mul_(size).div_(count, "floor");
}

std::filesystem::path summary_file(const std::filesystem::path& folder) {
  return folder / "manifold.json";
}

std::shared_ptr<const LocalManifold> share(LocalManifold manifold) {
  return std::make_shared<const LocalManifold>(std::move(manifold));
}

// What is fitted, on what.
struct Fit {
  const RunDir& run;  // the folder
  ManifoldConfig config;
  RunImages images;
  LogSink& log;
  Progress& progress;

  [[nodiscard]] std::uint64_t seed() const { return static_cast<std::uint64_t>(config.seed); }
  [[nodiscard]] int threads() const { return thread_count(config.train.threads); }
  [[nodiscard]] Preprocess preprocess() const {
    return {
        .input_size = config.size, .bands = images.bands, .normalization = images.normalization};
  }
};

// An encoder with its own idea of how images become its input.
struct Eye {
  std::shared_ptr<Encoder> encoder;
  Preprocess preprocess;
  std::string name;
};

Eye eye_of(const LoadedEncoder& loaded, const std::string& folder) {
  return {.encoder = loaded.encoder, .preprocess = loaded.preprocess(), .name = folder};
}

Eye eye_of_run(const std::string& folder) {
  return eye_of(read_finished_encoder(RunDir::open(folder)), folder);
}

// A ResNet-18 of width 16 with its first weights: random features of all scales.
Eye untrained_eye(const Fit& fit, std::string_view stream) {
  torch::manual_seed(derive_seed({.seed = fit.seed(), .stream = stream}));
  auto encoder = make_encoder({.name = "resnet18",
                               .width = 16,
                               .stem = "auto",
                               .in_channels = fit.images.bands,
                               .input_size = fit.config.size});
  return {.encoder = std::move(encoder), .preprocess = fit.preprocess(), .name = "untrained"};
}

at::Tensor features_of(const Eye& eye, const Dataset& dataset, int threads) {
  return extract_features(*eye.encoder, dataset, eye.preprocess, kFeatureBatch, threads).features;
}

// The first principal components of pixels, found on at most 10,000 images; a bank and what is to
// be seen the same way.
struct Components {
  at::Tensor mean;   // [P]
  at::Tensor basis;  // [P, D]
};

Components principal_components(const at::Tensor& pixels, std::int64_t count) {
  constexpr std::int64_t kMeasured = 10000;
  const std::int64_t step = std::max<std::int64_t>(1, pixels.size(0) / kMeasured);
  const auto some = pixels.slice(0, 0, at::nullopt, step);
  const auto mean = some.mean(0);
  const auto centred = (some - mean).to(at::kDouble);
  const auto covariance = centred.t().mm(centred);
  const auto vectors = std::get<1>(at::linalg_eigh(covariance)).to(at::kFloat);  // ascending
  const auto kept = std::min(count, vectors.size(1));
  return {mean, vectors.narrow(1, vectors.size(1) - kept, kept).contiguous()};
}

// What conditions that an encoder gives are called.
std::string encoder_condition(const std::string& run) {
  return "encoder " + hex_hash(read_file(RunDir::open(run).encoder()));
}

// A run at condition.run that has been made anew has other features.
void refuse_other_encoder(const RunDir& run, const ManifoldConfig& config) {
  const auto path = neighbourhoods_file(run.path());
  if (config.condition.space == "encoder" && std::filesystem::exists(path) &&
      read_local_manifold(path).condition != encoder_condition(config.condition.run)) {
    throw UsageError(
        fmt::format("{}: was fitted with another encoder than that of {} (remove it, "
                    "or choose another --out)",
                    run.path().string(), config.condition.run));
  }
}

LocalManifold find_manifold_of(const Fit& fit) {
  const auto& condition = fit.config.condition;
  const std::shared_ptr<const Dataset> mirrored = make_mirrored(fit.images.train);
  at::Tensor features;
  at::Tensor flipped;
  std::string name = condition.space;
  if (condition.space == "encoder") {
    const auto loaded = read_finished_encoder(RunDir::open(condition.run));
    if (loaded.card.data_fingerprint != fit.images.fingerprint) {
      fit.log.warning(fmt::format(
          "condition.run {}: its encoder has learned from other images than these {}; neighbours "
          "are as good as it happens to be here",
          condition.run, fit.images.train->size()));
    }
    const Eye eye = eye_of(loaded, condition.run);
    features = features_of(eye, *fit.images.train, fit.threads());
    flipped = features_of(eye, *mirrored, fit.threads());
    name = encoder_condition(condition.run);
  } else {
    features = pixel_features(*fit.images.train, fit.preprocess(), fit.threads()).features;
    flipped = pixel_features(*mirrored, fit.preprocess(), fit.threads()).features;
    if (condition.space == "pca") {
      const auto [mean, basis] = principal_components(features, condition.components);
      features = (features - mean).mm(basis);
      flipped = (flipped - mean).mm(basis);
    }
  }
  LocalManifold manifold = make_local_manifold(features, flipped, condition.neighbours);
  manifold.data_fingerprint = fit.images.fingerprint;
  manifold.condition = name;
  return manifold;
}

LocalManifold open_or_find_manifold(const Fit& fit) {
  const auto path = neighbourhoods_file(fit.run.path());
  if (std::filesystem::exists(path)) {
    return read_local_manifold(path);
  }
  fit.log.info(fmt::format("{} nearest neighbours of {} images in the space of {} ...",
                           fit.config.condition.neighbours, fit.images.train->size(),
                           fit.config.condition.space));
  LocalManifold manifold = find_manifold_of(fit);
  write_local_manifold(manifold, path);
  return manifold;
}

// Images of the generator for rows of the manifold, as an encoder sees them.
at::Tensor generate(Generator& generator, const at::Tensor& h, const Normalization& normalization) {
  const torch::NoGradGuard no_grad;
  generator.eval();
  const auto z = torch::randn({h.size(0), generator.noise_dim()});
  return normalize_generated(generator.forward(z, h), normalization);
}

at::Tensor see(const Eye& eye, const at::Tensor& images) {
  const torch::NoGradGuard no_grad;
  eye.encoder->eval();
  std::vector<at::Tensor> features;
  for (const auto& part : images.split(kFeatureBatch)) {
    features.push_back(eye.encoder->forward(part.contiguous(at::MemoryFormat::ChannelsLast)));
  }
  return at::cat(features);
}

// Judges generators with an encoder that they never met, and without labels but for a report.
class Judge {
 public:
  Judge(const Fit& fit, const LocalManifold& manifold) : fit_(fit), manifold_(manifold) {
    eye_ = fit.config.judge.empty() ? untrained_eye(fit, "judge") : eye_of_run(fit.config.judge);
    check_size();
    real_ = features_of(eye_, *fit.images.train, fit.threads());  // [N, D]
    mean_ = real_.mean(0, true);  // uncentred, any two images are alike
    real_ = real_ - mean_;
    labels_ = labels_of(*fit.images.train);  // they reach the report only
  }

  [[nodiscard]] std::map<std::string, double> scores(Generator& generator) const {
    torch::manual_seed(derive_seed({.seed = fit_.seed(), .stream = "judge_noise"}));
    const std::int64_t n = std::min(kImages, manifold_.size());
    const auto rows = spread_rows(n, manifold_.size());
    const auto h = manifold_.features.index_select(0, rows);
    const auto seen = look(generator, h);
    const auto real = real_.index_select(0, rows);
    const auto some = spread_rows(std::min(n, kCompared), n);
    const auto shares = precision_recall(real.index_select(0, some), seen.index_select(0, some));
    std::map<std::string, double> numbers{
        {"frechet", frechet_distance(real, seen)},
        {"precision", shares.precision},
        {"recall", shares.recall},
        {"cosine_to_source", mean_cosine(seen, real_.index_select(0, rows))},
        {"cosine_of_neighbours", neighbour_cosine(rows)},
        {"diversity", diversity(generator, h)},
        {"diversity_of_neighbours", neighbour_diversity(rows)}};
    if (labels_.defined()) {
      numbers["label_agreement"] = agreement(seen, rows, {});
      numbers["label_agreement_of_neighbours"] = neighbour_agreement(rows);
    }
    return numbers;
  }

  [[nodiscard]] const std::string& name() const { return eye_.name; }

 private:
  static constexpr std::int64_t kImages = 5000;
  static constexpr std::int64_t kCompared = 2000;  // for distances of all pairs
  static constexpr std::int64_t kGroups = 200;
  static constexpr std::int64_t kMembers = 5;

  void check_size() const {
    if (eye_.preprocess.input_size != fit_.config.size ||
        eye_.preprocess.bands != fit_.images.bands) {
      throw UsageError(fmt::format(
          "judge {}: its encoder sees images of {} px and {} bands, these are of {} px and {}",
          eye_.name, eye_.preprocess.input_size, eye_.preprocess.bands, fit_.config.size,
          fit_.images.bands));
    }
  }

  // [n, D]: one image for each condition, as the judge sees it.
  [[nodiscard]] at::Tensor look(Generator& generator, const at::Tensor& h) const {
    return see(eye_, generate(generator, h, fit_.images.normalization)) - mean_;
  }

  // [n, m], m of the neighbours of each row, spread over them
  [[nodiscard]] at::Tensor some_neighbours(const at::Tensor& rows) const {
    const auto& index = manifold_.neighbourhoods.index;
    const std::int64_t k = index.size(1);
    const std::int64_t m = std::min(kMembers, k);
    const auto columns = at::arange(m, at::kLong) * k / m;
    return index.index_select(0, rows).index_select(1, columns.to(at::kLong));
  }

  [[nodiscard]] double neighbour_cosine(const at::Tensor& rows) const {
    const auto chosen = some_neighbours(rows);
    return mean_cosine(real_.index_select(0, chosen.flatten()),
                       real_.index_select(0, rows.repeat_interleave(chosen.size(1))));
  }

  [[nodiscard]] double diversity(Generator& generator, const at::Tensor& h) const {
    const std::int64_t groups = std::min(kGroups, h.size(0));
    const auto repeated =
        h.index_select(0, spread_rows(groups, h.size(0))).repeat_interleave(kMembers, 0);
    const auto seen = look(generator, repeated);
    return mean_spread(seen.view({groups, kMembers, -1}));
  }

  [[nodiscard]] double neighbour_diversity(const at::Tensor& rows) const {
    const std::int64_t groups = std::min(kGroups, rows.size(0));
    const auto chosen = some_neighbours(rows.index_select(0, spread_rows(groups, rows.size(0))));
    if (chosen.size(1) < 2) {
      return 0.0;
    }
    return mean_spread(
        real_.index_select(0, chosen.flatten()).view({chosen.size(0), chosen.size(1), -1}));
  }

  // Share of pictures whose kNN label (k = 20, among all real ones but their source and, of a real
  // picture, itself) is that of their source.
  // own  [n], rows that are the pictures themselves; undefined for generated ones
  [[nodiscard]] double agreement(const at::Tensor& seen,
                                 const at::Tensor& rows,
                                 const at::Tensor& own) const {
    constexpr std::int64_t kVoters = 20;
    const auto found = nearest_by_cosine(real_, seen, std::min(kVoters + 2, real_.size(0))).index;
    auto votes_not = found == rows.unsqueeze(1);  // [n, k + 2]
    if (own.defined()) {
      votes_not = at::logical_or(votes_not, found == own.unsqueeze(1));
    }
    const auto classes = labels_.max().item<std::int64_t>() + 1;
    const auto counts =
        at::zeros({rows.size(0), classes})
            .scatter_add_(1, labels_.index({found}), at::logical_not(votes_not).to(at::kFloat));
    return (counts.argmax(1) == labels_.index_select(0, rows))
        .to(at::kDouble)
        .mean()
        .item<double>();
  }

  // The same of real neighbours.
  [[nodiscard]] double neighbour_agreement(const at::Tensor& rows) const {
    const auto chosen = some_neighbours(rows).select(1, 0);
    return agreement(real_.index_select(0, chosen), rows, chosen);
  }

  const Fit& fit_;
  const LocalManifold& manifold_;
  Eye eye_;
  at::Tensor mean_;    // [1, D]
  at::Tensor real_;    // [N, D], centred
  at::Tensor labels_;  // [N], or undefined
};

// Real neighbours of each image, as the batches of a GAN hold them.
std::unique_ptr<Loader> open_neighbour_loader(const Fit& fit,
                                              std::shared_ptr<const LocalManifold> manifold,
                                              std::int64_t first_step,
                                              std::int64_t total_steps) {
  LearnedViewsConfig always;
  always.operator_name = "neighbour";
  always.probability_view1 = 1.0;
  always.mode = "online";
  const std::shared_ptr<const Manifold> sampler =
      find_manifold("neighbour")
          .make({.manifold = manifold, .images = fit.images.train, .bands = fit.images.bands});
  const RecipeConfig recipe(fit.config.ic_gan.flip ? "none+horizontal_flip" : "none",
                            fit.config.size);
  return std::make_unique<Loader>(
      fit.images.train, make_view_plan(recipe, 1, fit.config.size), fit.images.normalization,
      LoaderOptions{.batch_size = fit.config.train.batch_size,
                    .first_step = first_step,
                    .total_steps = total_steps,
                    .bands = fit.images.bands,
                    .seed = fit.seed(),
                    .threads = static_cast<int>(fit.config.train.loader_threads),
                    .memory_budget = static_cast<std::uint64_t>(fit.config.train.prefetch_gb * 1e9),
                    .max_bad_fraction = fit.config.data.max_bad_fraction,
                    .substitutes = std::make_shared<const LearnedViews>(always, std::move(manifold),
                                                                        sampler, nullptr)});
}

// The encoder of the conditions, where there is one with maps to look at.
Eye discriminator_eye(const Fit& fit) {
  if (!fit.config.condition.run.empty()) {
    Eye eye = eye_of_run(fit.config.condition.run);
    if (eye.encoder->has_stages()) {
      return eye;
    }
  }
  return untrained_eye(fit, "discriminator");
}

std::shared_ptr<Discriminator> make_discriminator(const Fit& fit, std::int64_t condition_dim) {
  const auto& config = fit.config.ic_gan;
  const DiscriminatorSpec spec{.size = fit.config.size,
                               .bands = fit.images.bands,
                               .condition_dim = condition_dim,
                               .channels = config.discriminator_channels};
  if (config.discriminator == "pixel") {
    return make_pixel_discriminator(spec);
  }
  const Eye eye = discriminator_eye(fit);
  if (eye.preprocess.input_size != fit.config.size || eye.preprocess.bands != fit.images.bands) {
    throw UsageError(fmt::format(
        "condition.run {}: its encoder sees images of {} px, the generator "
        "makes them of {} (set --size {})",
        eye.name, eye.preprocess.input_size, fit.config.size, eye.preprocess.input_size));
  }
  constexpr std::size_t kMeasured = 1000;
  std::vector<Image> some;
  Image buffer;
  const std::size_t count = std::min(kMeasured, fit.images.train->size());
  for (std::size_t i = 0; i < count; ++i) {
    const auto index = i * fit.images.train->size() / count;
    some.push_back(resize_center_crop(
        read_with_bands(*fit.images.train, index, static_cast<int>(fit.images.bands), buffer),
        static_cast<int>(fit.config.size)));
  }
  torch::manual_seed(derive_seed({.seed = fit.seed(), .stream = "init_discriminator"}));
  return make_projected_discriminator(spec, eye.encoder, to_tensor(some, fit.images.normalization));
}

// Writes the generator whenever its score is the best so far.
class BestGenerator {
 public:
  BestGenerator(const Fit& fit, const Judge& judge, IcGanTask& task)
      : fit_(fit),
        judge_(judge),
        task_(task),
        path_(generator_file(fit.run.path())) {}

  std::vector<std::pair<std::string, double>> operator()(std::int64_t epochs_done) const {
    auto numbers = judge_.scores(task_.averaged());
    task_.averaged().train();
    numbers["epoch"] = static_cast<double>(epochs_done);
    std::vector<std::pair<std::string, double>> scalars(numbers.begin(), numbers.end());
    if (!std::filesystem::exists(path_) ||
        numbers.at("frechet") < read_generator(path_).numbers.at("frechet")) {
      write_generator(task_.averaged(), numbers, path_);
    }
    return scalars;
  }

 private:
  const Fit& fit_;
  const Judge& judge_;
  IcGanTask& task_;
  std::filesystem::path path_;
};

TrainResult train_generator(const Fit& fit,
                            const std::shared_ptr<const LocalManifold>& manifold,
                            const Judge& judge) {
  const auto& config = fit.config;
  torch::manual_seed(derive_seed({.seed = fit.seed(), .stream = "init_generator"}));
  IcGanTask task(config.ic_gan,
                 {.size = config.size,
                  .bands = fit.images.bands,
                  .condition_dim = manifold->features.size(1),
                  .channels = config.ic_gan.channels,
                  .embedding_dim = config.ic_gan.embedding_dim,
                  .noise_chunk = config.ic_gan.noise_chunk},
                 *manifold, make_discriminator(fit, manifold->features.size(1)),
                 fit.images.normalization);
  const std::int64_t per_epoch =
      batches_per_epoch(fit.images.train->size(), config.train.batch_size);
  MetricsWriter metrics(fit.run.metrics());
  TensorboardWriter tensorboard(fit.run.tensorboard());
  return train({.task = task,
                .config = config.train,
                .seed = fit.seed(),
                .steps_per_epoch = per_epoch,
                .checkpoints = fit.run.checkpoints(),
                .metrics = &metrics,
                .tensorboard = &tensorboard,
                .log = fit.log,
                .progress = fit.progress,
                .open_loader =
                    [&](std::int64_t first_step) {
                      return open_neighbour_loader(fit, manifold, first_step,
                                                   config.train.epochs * per_epoch);
                    },
                .after_epoch = BestGenerator(fit, judge, task),
                .stop_requested = stop_requested});
}

// Original | real neighbours | samples, a row for each of ten images.
void write_manifold_sheet(const Fit& fit, const std::shared_ptr<const LocalManifold>& manifold) {
  constexpr std::int64_t kRows = 10;
  constexpr std::int64_t kEach = 5;
  constexpr int kCell = 64;
  constexpr int kGap = 4;
  const ManifoldContext context{.manifold = manifold,
                                .images = fit.images.train,
                                .bands = fit.images.bands,
                                .folder = fit.run.path(),
                                .seed = fit.seed()};
  std::unique_ptr<Manifold> generator;
  if (std::filesystem::exists(generator_file(fit.run.path()))) {
    generator = find_manifold("ic_gan").make(context);
  }
  std::vector<std::vector<Image>> rows;
  const std::int64_t count = std::min(kRows, manifold->size());
  for (std::int64_t r = 0; r < count; ++r) {
    const auto sample = static_cast<std::uint32_t>(r * manifold->size() / count);
    std::vector<Image> row{displayable(fit.images.train->image(sample)), Image()};
    const auto& index = manifold->neighbourhoods.index;
    for (std::int64_t c = 0; c < std::min(kEach, index.size(1)); ++c) {
      row.push_back(displayable(fit.images.train->image(
          static_cast<std::size_t>(index[sample][c].item<std::int64_t>()))));
    }
    row.emplace_back();
    for (std::int64_t c = 0; generator && c < kEach; ++c) {
      Image image;
      generator->sample(
          std::span(&sample, 1),
          {.seed = fit.seed(), .stream = "sheet", .view = static_cast<std::uint16_t>(c)},
          std::span(&image, 1));
      row.push_back(displayable(image));
    }
    rows.push_back(std::move(row));
  }
  create_folder(fit.run.figures());
  write_file_atomically(fit.run.figures() / "manifold.png",
                        encode_png(contact_sheet(rows, kCell, kGap)));
}

// How alike the neighbourhoods of an image and of its mirror image are: a space that knows what is
// shown finds them the same. No labels.
double mirror_agreement(const LocalManifold& manifold) {
  constexpr std::int64_t kMeasured = 2000;
  const std::int64_t n = std::min(kMeasured, manifold.size());
  const auto rows = spread_rows(n, manifold.size());
  const auto& index = manifold.neighbourhoods.index;
  const std::int64_t k = index.size(1);
  auto of_mirror =
      nearest_by_cosine(manifold.features, manifold.flipped.index_select(0, rows), k + 1).index;
  // The image itself is none of its mirror image's neighbours; where it is not found, the last
  // goes.
  const auto itself = of_mirror == rows.unsqueeze(1);
  of_mirror.masked_fill_(itself, -1);
  of_mirror.select(1, k).masked_fill_(at::logical_not(itself.any(1)), -1);
  const auto same = index.index_select(0, rows).unsqueeze(2) == of_mirror.unsqueeze(1);
  return same.any(2).to(at::kDouble).mean().item<double>();
}

std::map<std::string, double> neighbourhood_numbers(const Fit& fit, const LocalManifold& manifold) {
  const auto& found = manifold.neighbourhoods;
  std::map<std::string, double> numbers{
      {"images", static_cast<double>(manifold.size())},
      {"neighbours", static_cast<double>(found.index.size(1))},
      {"recall_of_search", found.recall},
      {"mean_similarity", found.similarity.mean().item<double>()},
      {"mutual_share", mutual_neighbours(found.index).to(at::kDouble).mean().item<double>()},
      {"mean_confidence", manifold.confidence.mean().item<double>()},
      {"mirror_agreement", mirror_agreement(manifold)}};
  const auto labels = labels_of(*fit.images.train);
  if (labels.defined()) {
    const auto purity = neighbour_purity(found.index, labels);
    numbers["purity_at_1"] = purity[0].item<double>();
    numbers["purity_at_k"] = purity[-1].item<double>();
    const auto most = manifold.confidence.topk(std::max<std::int64_t>(1, manifold.size() / 20));
    const auto rows = std::get<1>(most);
    const auto same = labels.index({found.index.index_select(0, rows)}) ==
                      labels.index_select(0, rows).unsqueeze(1);
    numbers["purity_of_most_trusted_twentieth"] = same.to(at::kDouble).mean().item<double>();
  }
  return numbers;
}

void write_manifold_summary(const Fit& fit,
                            const LocalManifold& manifold,
                            const std::string& judge) {
  nlohmann::ordered_json summary{{"schema", 1},
                                 {"condition", manifold.condition},
                                 {"data_fingerprint", manifold.data_fingerprint},
                                 {"neighbourhoods", neighbourhood_numbers(fit, manifold)}};
  if (std::filesystem::exists(generator_file(fit.run.path()))) {
    summary["generator"] = read_generator(generator_file(fit.run.path())).numbers;
    summary["judge"] = judge;
  }
  write_file_atomically(summary_file(fit.run.path()), summary.dump(2) + "\n");
}

// Refuses what these images do not allow, and takes smaller batches where the user says nothing.
void fit_to_images(ManifoldConfig& config, const ConfigSource& source, std::int64_t images) {
  if (config.condition.neighbours >= images) {
    throw UsageError(
        fmt::format("condition.neighbours = {}: an image has only {} others (lower it)",
                    config.condition.neighbours, images - 1));
  }
  if (config.generator != "ic_gan") {
    return;
  }
  (void)generator_scale(config.size);
  constexpr std::int64_t kLeast = 8;
  if (images < kLeast) {
    throw UsageError(
        fmt::format("a generator cannot learn from {} images (at least {}; take "
                    "generator = \"none\")",
                    images, kLeast));
  }
  if (!source.values().contains("train.batch_size")) {
    config.train.batch_size = std::min(config.train.batch_size, images / 2);
  }
  (void)batches_per_epoch(static_cast<std::size_t>(images), config.train.batch_size);
  if (!config.judge.empty() && config.judge == config.condition.run) {
    throw UsageError(
        fmt::format("judge and condition.run are both {}: a judge takes no part in "
                    "training (name another run, or none)",
                    config.judge));
  }
}

ManifoldConfig read_settings(const ConfigSource& source, RunImages& images, LogSink& log) {
  ManifoldConfig config = read_manifold_config(source, 32);
  images = open_run_images(config.data, static_cast<std::uint64_t>(config.seed),
                           thread_count(config.train.threads), log);
  config = read_manifold_config(source, default_view_size(images.typical_size));
  config.data.source = absolute_spec(config.data.source);
  config.data.bands = images.bands;
  config.data.reduce_jpeg = images.reduce_jpeg ? "on" : "off";
  config.train.precision = uses_bf16(config.train.precision) ? "bf16" : "fp32";
  config.train.threads = thread_count(config.train.threads);
  for (auto* folder : {&config.condition.run, &config.judge}) {
    if (!folder->empty()) {
      *folder = std::filesystem::absolute(*folder).lexically_normal().string();
    }
  }
  if (config.condition.space == "encoder" && config.condition.run.empty()) {
    throw UsageError(
        "condition.space is \"encoder\", but condition.run names no finished run (pretrain one "
        "first and give --condition.run RUN; or take --condition.space pixels)");
  }
  fit_to_images(config, source, static_cast<std::int64_t>(images.train->size()));
  return config;
}

RunDir open_folder(const std::filesystem::path& folder, ManifoldConfig& config) {
  if (!std::filesystem::exists(folder / "run.json")) {
    const RunDir run = RunDir::create(folder);
    write_file_atomically(run.config(), print_config(config));
    return run;
  }
  const RunDir run = RunDir::open(folder);
  if (!std::filesystem::exists(run.config())) {
    write_file_atomically(run.config(), print_config(config));
  }
  ConfigSource source;
  source.add_toml_file(run.config().string());
  ManifoldConfig before = read_manifold_config(source, config.size);
  const auto differences = must_match_differences(before, config);
  if (!differences.empty()) {
    throw UsageError(fmt::format("{}: another manifold is there: {} (choose another --out)",
                                 folder.string(), fmt::join(differences, ", ")));
  }
  return run;
}

}  // namespace

void ConditionConfig::visit(FieldVisitor& v) {
  v.field(
      "space", space,
      {.doc = "where images are near: in the features of an encoder, in their pixels, or in the "
              "first principal components of these",
       .choices = {"encoder", "pixels", "pca"}});
  v.field("run", run, {.doc = "finished run whose encoder that is"});
  v.field("components", components, {.doc = "of pca", .min = 1, .max = 4096});
  v.field("neighbours", neighbours,
          {.doc = "k: images in a neighbourhood, without the image itself", .min = 1, .max = 1000});
}

// Adam without momentum, beta2 0.99, as StyleGAN2 has it (arXiv:1912.04958, App. B); the rate is
// ours.
ManifoldConfig::ManifoldConfig(std::int64_t size_in) : size(size_in) {
  train.epochs = 10;
  train.batch_size = 64;
  train.optimizer = "adamw";
  train.base_lr = 4e-3;
  train.weight_decay = 0.0;
  train.momentum = 0.0;
  train.beta2 = 0.99;
  train.fused = false;
}

void ManifoldConfig::visit(FieldVisitor& v) {
  v.field("seed", seed, {.doc = "of everything random", .min = 0});
  visit_group(v, "data", data);
  v.field("size", size,
          {.doc = "height and width of the images of a generator; by default that of the images, "
                  "at most 96",
           .min = 8,
           .max = 1024});
  visit_group(v, "condition", condition);
  v.field("generator", generator,
          {.doc = "what is trained on the neighbourhoods; none finds just these",
           .choices = {"ic_gan", "none"}});
  visit_group(v, "ic_gan", ic_gan);
  visit_group(v, "train", train);
  v.field("judge", judge,
          {.doc = "finished run whose encoder scores the generator, one that took no part in its "
                  "training; an untrained one when empty"});
}

ManifoldConfig read_manifold_config(const ConfigSource& source, std::int64_t fallback_size) {
  ManifoldConfig config(fallback_size);
  read_config(config, source);
  return config;
}

void check_manifold_settings(const ConfigSource& source, LogSink& log) {
  RunImages images;
  (void)read_settings(source, images, log);
}

void fit_manifold(const std::filesystem::path& folder,
                  const ConfigSource& source,
                  LogSink& log,
                  Progress& progress) {
  RunImages images;
  ManifoldConfig config = read_settings(source, images, log);
  const RunDir run = open_folder(folder, config);
  refuse_other_encoder(run, config);
  if (run.info().status == RunStatus::kFinished &&
      std::filesystem::exists(summary_file(run.path()))) {
    log.info(fmt::format("{}: finished already", folder.string()));
    return;
  }
  const RunLock lock = run.lock();
  run.set_status(RunStatus::kRunning);
  at::set_num_threads(thread_count(config.train.threads));
  const Fit fit{run, config, std::move(images), log, progress};
  try {
    const auto manifold = share(open_or_find_manifold(fit));
    if (manifold->data_fingerprint != fit.images.fingerprint) {
      throw DataError(fmt::format(
          "{}: the images have changed since the manifold was fitted (choose another --out)",
          folder.string()));
    }
    std::string judge_name;
    if (config.generator == "ic_gan") {
      const Judge judge(fit, *manifold);
      (void)train_generator(fit, manifold, judge);
      judge_name = judge.name();
    }
    write_manifold_sheet(fit, manifold);
    write_manifold_summary(fit, *manifold, judge_name);
    run.set_status(RunStatus::kFinished);
  } catch (...) {
    progress.finish();
    run.set_status(RunStatus::kInterrupted);
    throw;
  }
}

}  // namespace viewfold
