// The verb that audits encoders: what they know, what they ignore, and where they break.
#include <algorithm>
#include <chrono>
#include <cmath>
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
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/eval/invariance.hpp"
#include "viewfold/eval/response_curves.hpp"
#include "viewfold/eval/robustness.hpp"
#include "viewfold/report/findings.hpp"
#include "viewfold/report/report.hpp"
#include "viewfold/report/run_files.hpp"

namespace viewfold {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kBatch = 250;
constexpr const char* kRobustness = "robustness";
constexpr const char* kInvariance = "invariance";

// How many images each part takes.
struct Sizes {
  std::int64_t train = 0;        // features of training images
  std::int64_t test = 0;         // of test images
  std::int64_t corrupted = 0;    // test images, each corrupted in all ways
  std::int64_t transformed = 0;  // test images, each transformed in all ways
};

// How often an image is encoded for each part that changes images.
constexpr double kCorruptions = 19.0 * 5.0;
constexpr double kTransforms = 18.0 * 9.0;

// Shares of the time for features, corrupted and transformed images; the rest is for what is
// computed from features.
constexpr double kFeatureShare = 0.35;
constexpr double kCorruptedShare = 0.25;
constexpr double kTransformedShare = 0.15;

// rate  images a second through decoding and encoder
Sizes fit_sizes(const LabelledImages& images, double rate, double seconds, std::int64_t width) {
  const auto train = static_cast<double>(images.train->size());
  const auto test = static_cast<double>(images.test->size());
  const double share = std::min(1.0, kFeatureShare * seconds * rate / (train + test));
  const auto count = [](double wanted, double least, double most) {
    return static_cast<std::int64_t>(std::clamp(wanted, std::min(least, most), most));
  };
  // A covariance needs several rows per feature, a class some images.
  const auto classes = static_cast<double>(images.train->class_names().size());
  const double least = std::max(4.0 * static_cast<double>(width), 20.0 * classes);
  return {.train = count(share * train, least, train),
          .test = count(share * test, 10.0 * classes, test),
          .corrupted =
              count(kCorruptedShare * seconds * rate / kCorruptions, 100.0, std::min(2000.0, test)),
          .transformed = count(kTransformedShare * seconds * rate / kTransforms, 50.0,
                               std::min(1000.0, test))};
}

// `count` images, spread evenly: files often come class by class.
std::shared_ptr<const Dataset> spread(const std::shared_ptr<const Dataset>& images,
                                      std::int64_t count) {
  const auto all = static_cast<std::int64_t>(images->size());
  if (count >= all) {
    return images;
  }
  std::vector<std::uint32_t> indices;
  for (std::int64_t i = 0; i < count; ++i) {
    indices.push_back(static_cast<std::uint32_t>(i * all / count));
  }
  return make_subset(images, std::move(indices));
}

// The audit of one run.
class Audit {
 public:
  Audit(const RunDir& run, LabelledImages images, double seconds, LogSink& log)
      : run_(run),
        config_(reopen_config(run)),
        loaded_(read_finished_encoder(run)),
        all_(std::move(images)),
        log_(log) {
    const auto preprocess = loaded_.preprocess();
    const double rate = rate_of(preprocess);
    sizes_ = fit_sizes(all_, rate, seconds, loaded_.card.feature_dim);
    log_.info(
        fmt::format("{}: {:.0f} images a second; features of {} training and {} test images, "
                    "{} of them corrupted, {} transformed",
                    run_.path().string(), rate, sizes_.train, sizes_.test, sizes_.corrupted,
                    sizes_.transformed));
  }

  // Measures `part`, unless that has been done with as many images. Throws UsageError where the
  // images do not allow it.
  void measure(const std::string& part, bool again) {
    if (!again && is_done(part)) {
      log_.info(fmt::format("  {}: kept from {}", part, run_.eval(part).string()));
      return;
    }
    const auto start = Clock::now();
    const Json json = part == kRobustness   ? robustness()
                      : part == kInvariance ? invariance()
                                            : evaluation(part);
    std::filesystem::create_directories(run_.eval(part).parent_path());
    write_file_atomically(run_.eval(part), json.dump(1) + "\n");
    const std::chrono::duration<double> took = Clock::now() - start;
    log_.info(fmt::format("  {}: {}", part, duration_text(took.count())));
  }

 private:
  [[nodiscard]] double rate_of(const Preprocess& preprocess) {
    constexpr std::int64_t kLooks = 512;
    const auto some = spread(all_.test, kLooks);
    (void)features(*spread(all_.test, kBatch), preprocess);  // warm
    const auto start = Clock::now();
    (void)features(*some, preprocess);
    const std::chrono::duration<double> took = Clock::now() - start;
    return static_cast<double>(some->size()) / took.count();
  }

  [[nodiscard]] FeatureSet features(const Dataset& images, const Preprocess& preprocess) {
    return extract_features(*loaded_.encoder, images, preprocess, kBatch, threads());
  }
  [[nodiscard]] static int threads() { return at::get_num_threads(); }

  [[nodiscard]] LabelledImages taken() const {
    return {.source = all_.source,
            .train = spread(all_.train, sizes_.train),
            .test = spread(all_.test, sizes_.test),
            .test_split = all_.test_split};
  }

  // Features are made once, when a part needs them.
  const EvaluationInput& input() {
    if (!input_) {
      log_.info("  features ...");
      const auto images = taken();
      input_ = EvaluationInput{.train = features(*images.train, loaded_.preprocess()),
                               .test = features(*images.test, loaded_.preprocess()),
                               .classes = all_.train->class_names(),
                               .seed = static_cast<std::uint64_t>(config_.seed)};
    }
    return *input_;
  }

  [[nodiscard]] bool is_done(const std::string& part) const {
    std::error_code none;
    if (!std::filesystem::exists(run_.eval(part), none)) {
      return false;
    }
    const auto json = nlohmann::json::parse(read_text_file(run_.eval(part)), nullptr, false);
    if (json.is_discarded() || !json.is_object() || json.value("dataset", "") != all_.source ||
        !json.contains("counts")) {
      return false;
    }
    const auto& counts = json["counts"];
    const auto has = [&counts](const std::string& key, std::int64_t least) {
      const auto found = counts.find(key);
      return found != counts.end() && found->is_number() && found->get<std::int64_t>() >= least;
    };
    if (part == kRobustness || part == kInvariance) {
      return has("changed", part == kRobustness ? sizes_.corrupted : sizes_.transformed);
    }
    return has("train", sizes_.train) && has(all_.test_split, sizes_.test);
  }

  Json evaluation(const std::string& name) {
    const auto& entry = find_evaluation(name);
    return result_json(name, entry.run(input(), *entry.config()), taken());
  }

  Json robustness() {
    const auto measured = measure_robustness(
        *loaded_.encoder, loaded_.preprocess(), input(),
        {.images = spread(all_.test, sizes_.corrupted),
         .seed = static_cast<std::uint64_t>(config_.seed),
         .batch_size = kBatch,
         .threads = threads()},
        [this](std::size_t done, std::size_t all) {
          if (done % 5 == 0 || done == all) {
            log_.info(fmt::format("  robustness: {} of {} corruptions", done, all));
          }
        });
    Json json = result_json(kRobustness, measured.result, taken());
    json["counts"]["changed"] = sizes_.corrupted;
    json["chance"] = 1.0 / static_cast<double>(all_.train->class_names().size());
    json["accuracy_by_severity"] = Json::object();
    for (const auto& row : measured.rows) {
      json["accuracy_by_severity"][row.name] = row.accuracy;
    }
    return json;
  }

  Json invariance() {
    const auto preprocess = loaded_.preprocess();
    const auto whitening = Whitening::fit(input().train.features);
    const auto some = spread(all_.test, sizes_.transformed);
    std::vector<Image> images;
    for (std::size_t i = 0; i < some->size(); ++i) {
      images.push_back(some->image(i));
    }
    const auto families = transform_families();
    const auto curves = response_curves(
        [&](const std::vector<Image>& changed) {
          return features(*make_image_list(changed), preprocess).features;
        },
        images, whitening, families);
    EvaluationResult result;
    Json similarity = Json::object();
    Json all = Json::array();
    for (const auto& curve : curves) {
      if (const double mean = curve.changed_similarity.mean; std::isfinite(mean)) {
        result.numbers["similarity_" + curve.family] = mean;
        similarity[curve.family] = mean;
      }
      all.push_back({{"family", curve.family},
                     {"unit", curve.unit},
                     {"identity", curve.identity},
                     {"strengths", curve.strengths},
                     {"similarity", curve.similarity},
                     {"distance", curve.distance}});
    }
    result.protocol = fmt::format(
        "cosine of whitened features of {} test images and their transforms, mean over strengths "
        "other than the identity (after arXiv:2111.11398); whitening by {} training images",
        images.size(), whitening.images());
    Json json = result_json(kInvariance, result, taken());
    json["counts"]["changed"] = sizes_.transformed;
    json["similarity"] = similarity;
    json["curves"] = all;
    return json;
  }

  RunDir run_;
  RunConfig config_;
  LoadedEncoder loaded_;
  LabelledImages all_;
  LogSink& log_;
  Sizes sizes_;
  std::optional<EvaluationInput> input_;
};

std::vector<std::string> parts_of(const std::optional<std::string>& list) {
  std::vector<std::string> known;
  for (const auto& entry : evaluation_table()) {
    known.emplace_back(entry.name);
  }
  known.emplace_back(kRobustness);
  known.emplace_back(kInvariance);
  if (!list) {
    return known;
  }
  auto parts = split_list(*list);
  for (const auto& part : parts) {
    if (std::find(known.begin(), known.end(), part) == known.end()) {
      const auto nearest = nearest_name(part, known);
      throw UsageError(fmt::format("--on {}: there is no such part ({})", part,
                                   nearest.empty()
                                       ? fmt::format("known: {}", fmt::join(known, ", "))
                                       : fmt::format("did you mean {}?", nearest)));
    }
  }
  return parts;
}

// What was measured now and before, of all runs.
void print_findings(const std::vector<RunDir>& runs) {
  std::vector<std::string> names;
  std::vector<std::vector<report::EvaluationFile>> files;
  for (const auto& run : runs) {
    names.push_back(run.path().filename().string());
    files.push_back(report::read_run_files(run.path()).evaluations);
  }
  fmt::print("\n{}", text_table(report::audit_table(names, files)));
  for (std::size_t i = 0; i < runs.size(); ++i) {
    fmt::print("\n{}\n", names[i]);
    for (const auto& sentence : report::finding_sentences(files[i])) {
      fmt::print("  {}\n", sentence);
    }
    fmt::print("  report: {}\n", runs[i].report().string());
  }
}

double minutes_of(Arguments& arguments) {
  constexpr std::int64_t kDefault = 10;
  const auto minutes = arguments.take_integer("minutes", kDefault);
  if (minutes < 1) {
    throw UsageError("--minutes is 1 or more");
  }
  return static_cast<double>(minutes);
}

}  // namespace

void audit_command(Arguments arguments) {
  std::vector<RunDir> runs{RunDir::open(arguments.take_positional("RUN (a run directory)"))};
  while (arguments.has_positional()) {
    runs.push_back(RunDir::open(arguments.take_positional("RUN")));
  }
  const auto chosen = arguments.take("on");
  const auto parts = parts_of(chosen);
  const double minutes = minutes_of(arguments);
  const auto source = arguments.take("data");
  const bool again = arguments.take_flag("again");
  const auto threads = thread_count(arguments.take_integer("threads", 0));
  arguments.expect_empty({"on", "minutes", "data", "again", "threads"});
  at::set_num_threads(threads);
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  for (const auto& run : runs) {
    RunConfig config = reopen_config(run);
    config.train.threads = threads;
    Audit audit(run, open_labelled(config, source.value_or(config.data.source), log),
                60.0 * minutes / static_cast<double>(runs.size()), log);
    for (const auto& part : parts) {
      try {
        audit.measure(part, again);
      } catch (const UsageError& error) {
        if (chosen) {
          throw;
        }
        log.warning(fmt::format("{} is left out: {}", part, error.what()));
      }
    }
    write_report(run.path(), run.report());
  }
  print_findings(runs);
}

}  // namespace viewfold
