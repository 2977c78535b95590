// The verb that measures: evaluations of the encoder of a run beside its controls.
#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/labelled_images.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/data/survey.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/report/report.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kBatch = 250;
constexpr const char* kPretrained = "pretrained encoder";

struct ChosenEvaluation {
  const EvaluationEntry* entry = nullptr;
  std::unique_ptr<Config> config;
};

// The settings of the chosen evaluations, each under its name: "knn.k".
class EvaluationsConfig final : public Config {
 public:
  explicit EvaluationsConfig(const std::string& list) {
    for (const auto& name : split_list(list)) {
      const auto& entry = find_evaluation(name);
      chosen.push_back({&entry, entry.config()});
    }
  }

  void visit(FieldVisitor& v) override {
    for (auto& item : chosen) {
      visit_group(v, item.entry->name, *item.config);
    }
  }

  std::vector<ChosenEvaluation> chosen;
};

LabelledImages open_for(const EvaluationsConfig& evaluations,
                        const RunConfig& config,
                        const std::optional<std::string>& source,
                        LogSink& log) {
  const bool needs_labels = std::any_of(evaluations.chosen.begin(), evaluations.chosen.end(),
                                        [](const auto& item) { return item.entry->needs_labels; });
  return needs_labels ? open_labelled(config, source, log) : open_images(config, source, log);
}

using Results = std::map<std::string, std::map<std::string, EvaluationResult>>;

// Runs all chosen evaluations on one pair of feature sets.
void measure(const EvaluationsConfig& evaluations,
             const std::string& subject,
             const EvaluationInput& input,
             Results& results) {
  for (const auto& item : evaluations.chosen) {
    results[std::string(item.entry->name)][subject] = item.entry->run(input, *item.config);
  }
}

class Measurements {
 public:
  Measurements(const RunConfig& config, const LabelledImages& images, Preprocess preprocess)
      : config_(config),
        images_(images),
        preprocess_(std::move(preprocess)) {}

  [[nodiscard]] EvaluationInput of_encoder(Encoder& encoder) const {
    return input([&](const Dataset& dataset) {
      return extract_features(encoder, dataset, preprocess_, kBatch,
                              thread_count(config_.train.threads));
    });
  }

  [[nodiscard]] EvaluationInput of_pixels() const {
    return input([&](const Dataset& dataset) {
      return pixel_features(dataset, preprocess_, thread_count(config_.train.threads));
    });
  }

 private:
  template <class Features>
  [[nodiscard]] EvaluationInput input(const Features& features) const {
    return {.train = features(*images_.train),
            .test = features(*images_.test),
            .classes = images_.train->class_names(),
            .seed = static_cast<std::uint64_t>(config_.seed)};
  }

  const RunConfig& config_;
  const LabelledImages& images_;
  Preprocess preprocess_;
};

nlohmann::ordered_json to_json(const std::string& name,
                               const std::map<std::string, EvaluationResult>& subjects,
                               const LabelledImages& images) {
  auto json = result_json(name, subjects.at(kPretrained), images);
  for (const auto& [subject, control] : subjects) {
    if (subject != kPretrained) {
      json["controls"][subject] = control.numbers;
    }
  }
  return json;
}

std::string number_list(const std::map<std::string, double>& numbers) {
  std::vector<std::string> words;
  for (const auto& [name, value] : numbers) {
    words.push_back(fmt::format("{} {:.4g}", name, value));
  }
  return fmt::format("{}", fmt::join(words, ", "));
}

void write_and_print(const RunDir& run, const Results& results, const LabelledImages& images) {
  std::vector<std::vector<std::string>> table{{"accuracy"}};
  for (const auto& [subject, unused] : results.begin()->second) {
    if (subject != kPretrained) {
      table.front().push_back(subject);
    }
  }
  table.front().emplace_back(kPretrained);
  std::string protocols;
  for (const auto& [name, subjects] : results) {
    write_file_atomically(run.eval(name), to_json(name, subjects, images).dump(1) + "\n");
    add_result_to_card(run.card(), name, subjects.at(kPretrained));
    std::vector<std::string> row{name};
    for (std::size_t c = 1; c < table.front().size(); ++c) {
      const auto& numbers = subjects.at(table.front()[c]).numbers;
      const auto found = numbers.find("accuracy");
      row.push_back(found == numbers.end() ? "" : fmt::format("{:.1f} %", 100.0 * found->second));
    }
    table.push_back(std::move(row));
    const auto& own = subjects.at(kPretrained);
    if (!own.numbers.contains("accuracy")) {
      protocols += fmt::format("  {}: {}\n", name, number_list(own.numbers));
    }
    protocols += fmt::format("  {}: {}\n", name, own.protocol);
  }
  fmt::print("\n{}, {} split\n\n{}\n{}", images.source, images.test_split, text_table(table),
             protocols);
}

bool takes_controls(Arguments& arguments) {
  const std::string value = arguments.take("controls").value_or("on");
  if (value != "on" && value != "off") {
    throw UsageError(fmt::format("--controls is on or off, not \"{}\"", value));
  }
  return value == "on";
}

}  // namespace

void evaluate_command(Arguments arguments) {
  const RunDir run = RunDir::open(arguments.take_positional("RUN (the run directory)"));
  EvaluationsConfig evaluations(arguments.take("on").value_or("knn,linear"));
  const bool controls = takes_controls(arguments);
  const auto source = arguments.take("data");
  const auto threads = arguments.take_integer("threads", 0);
  ConfigSource settings;
  const auto beside = arguments.take("beside");
  arguments.move_settings(settings);
  arguments.expect_empty({"on", "data", "beside", "controls", "threads"});
  read_config(evaluations, settings);
  LoadedEncoder loaded = read_finished_encoder(run);
  std::optional<LoadedEncoder> other;
  if (beside) {
    other = read_finished_encoder(RunDir::open(*beside));
  }
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  RunConfig config = reopen_config(run);
  config.train.threads = thread_count(threads);
  at::set_num_threads(static_cast<int>(config.train.threads));
  const LabelledImages images = open_for(evaluations, config, source, log);
  log.info(fmt::format("{}: {} training and {} test images", images.source, images.train->size(),
                       images.test->size()));
  const Measurements measurements(config, images, loaded.preprocess());
  Results results;
  if (controls) {
    log.info("raw pixels ...");
    measure(evaluations, "raw pixels", measurements.of_pixels(), results);
    log.info("untrained encoder ...");
    const auto untrained = make_initial_encoder(loaded.card.encoder, config.seed);
    measure(evaluations, "untrained encoder", measurements.of_encoder(*untrained), results);
  }
  if (other) {
    log.info(fmt::format("{} ...", *beside));
    measure(evaluations, "beside: " + *beside,
            Measurements(config, images, other->preprocess()).of_encoder(*other->encoder), results);
  }
  log.info("pretrained encoder ...");
  measure(evaluations, kPretrained, measurements.of_encoder(*loaded.encoder), results);
  write_and_print(run, results, images);
  write_report(run.path(), run.report());
  fmt::print("\nreport: {}\n", run.report().string());
}

void report_command(Arguments arguments) {
  const RunDir run = RunDir::open(arguments.take_positional("RUN (the run directory)"));
  const std::filesystem::path out = arguments.take("out").value_or(run.report().string());
  arguments.expect_empty({"out"});
  write_report(run.path(), out);
  fmt::print("{}\n", out.string());
}

}  // namespace viewfold
