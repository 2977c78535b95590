// The benchmark of views: what is made of which pictures, and how the rates are told.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/app/bench.hpp"
#include "viewfold/app/run_images.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/app/view_rate.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/image/kernels/instruction_set.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold {
namespace {

// Everything but the settings of the recipe or the operations.
struct BenchConfig final : Config {
  std::string recipe = "simclr";
  std::string ops;  // instead of the recipe
  std::int64_t size = 0;
  std::int64_t threads = 1;
  std::string decode = "off";
  std::int64_t rounds = 5;
  std::int64_t milliseconds = 300;
  std::int64_t images = 256;
  std::string split = "train";

  void visit(FieldVisitor& v) override {
    v.field("recipe", recipe, {});
    v.field("op", ops, {});
    v.field("size", size, {.min = 4, .max = 4096});
    v.field("threads", threads, {.min = 1, .max = 1024});
    v.field("decode", decode, {.choices = {"on", "off"}});
    v.field("rounds", rounds, {.min = 1, .max = 10000});
    v.field("milliseconds", milliseconds, {.min = 1, .max = 600000});
    v.field("images", images, {.min = 1, .max = 1e6});
    v.field("split", split, {});
  }
};

bool has_field(Config& config, std::string_view name) {
  const auto fields = describe_config(config);
  return std::any_of(fields.begin(), fields.end(),
                     [name](const auto& field) { return field.key == name; });
}

void set_field(Config& config, const std::string& name, const std::string& value) {
  if (has_field(config, name)) {
    ConfigSource source;
    source.set(name, value, name);
    read_config(config, source);
  }
}

// The same together with the settings under "views", which depend on it.
class FullConfig final : public Config {
 public:
  explicit FullConfig(BenchConfig& bench) : bench_(bench) {
    if (bench.ops.empty()) {
      recipe_ = std::make_unique<RecipeConfig>(bench.recipe, bench.size);
      return;
    }
    for (const auto& name : split_list(bench.ops)) {
      steps_.push_back({name, find_augmentation(name).config()});
      set_field(*steps_.back().config, "probability", "1");
      set_field(*steps_.back().config, "size", std::to_string(bench.size));
    }
  }

  void visit(FieldVisitor& v) override {
    bench_.visit(v);
    v.enter("views");
    if (recipe_) {
      recipe_->visit(v);
    }
    for (const auto& step : steps_) {
      visit_group(v, step.op, *step.config);
    }
    v.leave();
  }

  [[nodiscard]] const RecipeConfig& recipe() const { return *recipe_; }
  [[nodiscard]] std::vector<PipelineStep>& steps() { return steps_; }

 private:
  BenchConfig& bench_;
  std::unique_ptr<RecipeConfig> recipe_;
  std::vector<PipelineStep> steps_;
};

// Decoded, and beside that what they are decoded from.
struct Pictures {
  std::shared_ptr<const Dataset> dataset;
  std::vector<std::uint32_t> indices;
  std::vector<Image> images;
};

Pictures decode_some(std::shared_ptr<const Dataset> dataset,
                     std::int64_t most,
                     std::int64_t bands) {
  const std::size_t size = dataset->size();
  const auto count = std::min(size, static_cast<std::size_t>(most));
  Pictures pictures{.dataset = std::move(dataset), .indices = {}, .images = {}};
  for (std::size_t i = 0; i < count; ++i) {
    pictures.indices.push_back(static_cast<std::uint32_t>(i * size / count));
    pictures.images.push_back(
        convert_bands(pictures.dataset->image(pictures.indices.back()), static_cast<int>(bands)));
  }
  return pictures;
}

std::int64_t median_side(const std::vector<Image>& images, int (Image::*side)() const) {
  std::vector<double> sides;
  sides.reserve(images.size());
  for (const auto& image : images) {
    sides.push_back((image.*side)());
  }
  return static_cast<std::int64_t>(median(std::move(sides)));
}

ViewWork recipe_work(const Pictures& pictures, const BenchConfig& config, const FullConfig& full) {
  const std::int64_t bands = pictures.images.front().bands();
  const auto each = [bands](double value) {
    return std::vector<double>(static_cast<std::size_t>(bands), value);
  };
  return {.dataset = pictures.dataset,
          .indices = pictures.indices,
          .images = config.decode == "on" ? std::vector<Image>{} : pictures.images,
          .bands = bands,
          .plan = make_view_plan(full.recipe(), 0, config.size),
          // Any other statistics take the same time.
          .normalizer = Normalizer({.mean = each(0.5), .std = each(0.25)})};
}

// An operation that makes another size works on the pictures themselves; any other one on pictures
// of the size of a view, as it does behind the crop of a recipe.
ViewWork operation_work(const Pictures& pictures, const BenchConfig& config, PipelineStep step) {
  ViewWork work{.dataset = pictures.dataset,
                .indices = pictures.indices,
                .images = pictures.images,
                .bands = pictures.images.front().bands(),
                .plan = {},
                .normalizer = std::nullopt};
  if (!has_field(*step.config, "size")) {
    for (auto& image : work.images) {
      image = resize_center_crop(image, static_cast<int>(config.size));
    }
  }
  std::vector<PipelineStep> steps;
  steps.push_back(std::move(step));
  work.plan.groups.push_back({.views = 1, .size = config.size, .pipelines = {}});
  work.plan.groups.front().pipelines.emplace_back(steps);
  return work;
}

// One line of the result.
struct Measured {
  std::string kind;  // "recipe" or "op"
  std::string name;
  std::vector<double> rates;
  std::int64_t source_height = 0;
  std::int64_t source_width = 0;
  std::int64_t bands = 0;
  std::int64_t images = 0;
  std::int64_t views_per_sample = 0;
};

Measured measure(const std::string& kind,
                 const std::string& name,
                 const ViewWork& work,
                 const BenchConfig& config,
                 const Pictures& pictures) {
  const auto& sources = work.images.empty() ? pictures.images : work.images;
  constexpr double kMilliseconds = 1000.0;
  return {.kind = kind,
          .name = name,
          .rates = time_views(
              work, {.threads = config.threads,
                     .rounds = config.rounds,
                     .seconds = static_cast<double>(config.milliseconds) / kMilliseconds}),
          .source_height = median_side(sources, &Image::height),
          .source_width = median_side(sources, &Image::width),
          .bands = work.bands,
          .images = static_cast<std::int64_t>(work.indices.size()),
          .views_per_sample = work.plan.views_per_sample()};
}

using Overrides = std::map<std::string, std::string>;

nlohmann::ordered_json to_json(const Measured& measured,
                               const BenchConfig& config,
                               const Overrides& settings) {
  nlohmann::ordered_json json{{"benchmark", "views"},
                              {"by", "viewfold"},
                              {measured.kind, measured.name},
                              {"views_per_second", median(measured.rates)},
                              {"rounds", config.rounds},
                              {"milliseconds", config.milliseconds},
                              {"rates", measured.rates},
                              {"size", config.size},
                              {"threads", config.threads},
                              {"decode", config.decode},
                              {"images", measured.images},
                              {"source_height", measured.source_height},
                              {"source_width", measured.source_width},
                              {"bands", measured.bands},
                              {"views_per_sample", measured.views_per_sample},
                              {"instruction_set", instruction_set()}};
  if (!settings.empty()) {
    json["settings"] = settings;
  }
  return json;
}

void print_table(const std::vector<Measured>& results, const BenchConfig& config) {
  const Measured& first = results.front();
  fmt::print(
      "{} image{}, {} band{}, views of {} x {}; decoding {}, {} thread{}, {} round{} of {} "
      "ms, {}\n\n",
      first.images, first.images == 1 ? "" : "s", first.bands, first.bands == 1 ? "" : "s",
      config.size, config.size, config.decode, config.threads, config.threads == 1 ? "" : "s",
      config.rounds, config.rounds == 1 ? "" : "s", config.milliseconds, instruction_set());
  std::vector<std::vector<std::string>> table{
      {first.kind, "source", "views/s", "slowest round", "fastest round"}};
  for (const auto& row : results) {
    const auto [slowest, fastest] = std::minmax_element(row.rates.begin(), row.rates.end());
    table.push_back({row.name, fmt::format("{} x {}", row.source_height, row.source_width),
                     fmt::format("{:.0f}", median(row.rates)), fmt::format("{:.0f}", *slowest),
                     fmt::format("{:.0f}", *fastest)});
  }
  fmt::print("{}", text_table(table));
}

// What the command line says, and which of it belongs to the recipe or the operations.
struct Request {
  std::string spec;
  ConfigSource bench;
  ConfigSource all;
  Overrides overrides;
};

Request read_request(Arguments& arguments) {
  Request request;
  request.spec = arguments.take_positional("DATA (a folder, an archive or a name)");
  for (const char* key :
       {"recipe", "op", "size", "threads", "decode", "rounds", "milliseconds", "images", "split"}) {
    if (const auto value = arguments.take(key)) {
      request.bench.set(key, *value, fmt::format("--{}", key));
      request.all.set(key, *value, fmt::format("--{}", key));
    }
  }
  arguments.move_settings(request.all);
  arguments.expect_empty({});
  const ConfigSource views = request.all.only("views.");
  for (const auto& [key, raw] : views.values()) {
    request.overrides[key] = std::get<std::string>(raw.value);
  }
  return request;
}

BenchConfig read_bench_config(const Request& request) {
  BenchConfig config;
  read_config(config, request.bench);
  const auto& given = request.bench.values();
  if (!config.ops.empty() && given.contains("recipe")) {
    throw UsageError("--recipe and --op are two different measurements: give one of them");
  }
  if (!config.ops.empty() && config.decode == "on") {
    throw UsageError("--decode on goes with a recipe; an operation works on decoded images");
  }
  return config;
}

std::vector<Measured> measure_all(const Request& request, BenchConfig& config) {
  const std::shared_ptr<const Dataset> dataset =
      open_dataset({.spec = request.spec, .split = config.split});
  if (dataset->size() == 0) {
    throw DataError(fmt::format("{}: holds no images", request.spec));
  }
  const TypicalImage typical = typical_image(*dataset);
  if (config.size == 0) {
    config.size = default_view_size(typical.shorter_side);
  }
  FullConfig full(config);
  read_config(full, request.all);
  const Pictures pictures = decode_some(dataset, config.images, typical.bands);
  std::vector<Measured> results;
  if (config.ops.empty()) {
    results.push_back(
        measure("recipe", config.recipe, recipe_work(pictures, config, full), config, pictures));
  }
  for (auto& step : full.steps()) {
    const std::string name = step.op;
    results.push_back(
        measure("op", name, operation_work(pictures, config, std::move(step)), config, pictures));
  }
  return results;
}

}  // namespace

void bench_views(Arguments arguments) {
  const bool json = arguments.take_flag("json");
  const Request request = read_request(arguments);
  BenchConfig config = read_bench_config(request);
  const auto results = measure_all(request, config);
  if (!json) {
    print_table(results, config);
    return;
  }
  for (const auto& measured : results) {
    fmt::print("{}\n", to_json(measured, config, request.overrides).dump());
  }
}

}  // namespace viewfold
