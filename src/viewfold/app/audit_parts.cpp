// Implements the parts of an audit: each calls one measure of eval/ and writes down what it says.
#include "viewfold/app/audit_parts.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/data/solids.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/eval/adversarial.hpp"
#include "viewfold/eval/alignment.hpp"
#include "viewfold/eval/embedding_map.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/eval/fine_tuning.hpp"
#include "viewfold/eval/invariance.hpp"
#include "viewfold/eval/near_duplicates.hpp"
#include "viewfold/eval/response_curves.hpp"
#include "viewfold/eval/robustness.hpp"
#include "viewfold/eval/solid_factors.hpp"

namespace viewfold {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kBank = 10000;  // training images that vote on changed ones

std::int64_t at_most(std::int64_t wanted, const Dataset& images) {
  return std::min(wanted, static_cast<std::int64_t>(images.size()));
}

AuditCounts counts_of(const AuditedRun& run, std::int64_t train, std::int64_t test) {
  return {.train = at_most(train, *run.all().train), .test = at_most(test, *run.all().test)};
}

// One over the classes there are, or the share of the largest: what knowing nothing gets.
double chance_of(const Dataset& images) {
  std::map<std::int64_t, std::size_t> counts;
  for (std::size_t i = 0; i < images.size(); ++i) {
    ++counts[images.label(i).value_or(-1)];
  }
  std::size_t largest = 0;
  for (const auto& [label, count] : counts) {
    largest = std::max(largest, count);
  }
  return std::max(1.0 / static_cast<double>(counts.size()),
                  static_cast<double>(largest) / static_cast<double>(images.size()));
}

// Logs every `stride`-th of `all`.
auto told(LogSink& log, std::string what, std::size_t stride) {
  return [&log, what = std::move(what), stride](std::size_t done, std::size_t all) {
    if (done % stride == 0 || done == all) {
      log.info(fmt::format("  {}: {} of {}", what, done, all));
    }
  };
}

Json with_counts(Json json, const AuditedRun& run, const AuditCounts& counts) {
  json["counts"] = {{"train", counts.train}, {run.all().test_split, counts.test}};
  return json;
}

std::vector<std::int64_t> labels_present(const at::Tensor& labels) {
  const auto counts = at::bincount(labels);
  const auto present = counts.nonzero().squeeze(1).contiguous();
  return {present.data_ptr<std::int64_t>(), present.data_ptr<std::int64_t>() + present.numel()};
}

AuditPart evaluation_part(const EvaluationEntry& entry) {
  return {
      .name = std::string(entry.name),
      .settings = "audit\n" + print_config(*entry.config()),
      .wanted =
          [](const AuditedRun& run) { return counts_of(run, run.sizes().train, run.sizes().test); },
      .measure =
          [&entry](AuditedRun& run) {
            const auto result = entry.run(run.input(), *entry.config());
            add_result_to_card(run.run().card(), std::string(entry.name), result);
            return result_json(std::string(entry.name), result, run.taken());
          }};
}

AuditCounts robustness_counts(const AuditedRun& run) {
  return counts_of(run, std::min(run.sizes().train, kBank), run.sizes().corrupted);
}

Json robustness(AuditedRun& run) {
  const auto images = run.entering_images(run.sizes().corrupted);
  const auto measured =
      measure_robustness(run.encoder(), run.loaded().preprocess(), run.input_with_bank(kBank),
                         {.images = images,
                          .seed = AuditedRun::kSeed,
                          .batch_size = AuditedRun::kBatch,
                          .threads = AuditedRun::threads()},
                         told(run.log(), "robustness, corruptions", 5));
  Json json = with_counts(result_json("robustness", measured.result, run.taken()), run,
                          robustness_counts(run));
  json["chance"] = chance_of(*images);
  json["accuracy_by_severity"] = Json::object();
  for (const auto& row : measured.rows) {
    json["accuracy_by_severity"][row.name] = row.accuracy;
  }
  json["accuracy_distorted"] = Json::object();
  for (const auto& row : measured.distortions) {
    json["accuracy_distorted"][row.name] = row.accuracy;
  }
  return json;
}

AuditCounts invariance_counts(const AuditedRun& run) {
  return counts_of(run, run.sizes().train, run.sizes().transformed);
}

EvaluationResult summed_up(const std::vector<ResponseCurve>& curves,
                           std::size_t images,
                           const Whitening& whitening) {
  EvaluationResult result;
  for (const auto& curve : curves) {
    if (std::isfinite(curve.changed_similarity.mean)) {
      result.numbers["similarity_" + curve.family] = curve.changed_similarity.mean;
    }
  }
  result.protocol = fmt::format(
      "cosine of whitened features of {} test images and their transforms, which are made of the "
      "image as it enters the encoder; mean over strengths other than the identity (after "
      "arXiv:2111.11398); whitening by {} training images",
      images, whitening.images());
  return result;
}

Json invariance(AuditedRun& run) {
  const auto whitening = Whitening::fit(run.input().train.features);
  const auto some = run.entering_images(run.sizes().transformed);
  std::vector<Image> images;
  for (std::size_t i = 0; i < some->size(); ++i) {
    images.push_back(some->image(i));
  }
  const auto curves = response_curves(
      [&](const std::vector<Image>& changed) {
        return run.features(*make_image_list(changed)).features;
      },
      images, whitening, transform_families());
  Json json = with_counts(
      result_json("invariance", summed_up(curves, images.size(), whitening), run.taken()), run,
      invariance_counts(run));
  json["similarity"] = Json::object();
  json["curves"] = Json::array();
  for (const auto& curve : curves) {
    if (std::isfinite(curve.changed_similarity.mean)) {
      json["similarity"][curve.family] = curve.changed_similarity.mean;
    }
    json["curves"].push_back({{"family", curve.family},
                              {"unit", curve.unit},
                              {"identity", curve.identity},
                              {"strengths", curve.strengths},
                              {"similarity", curve.similarity},
                              {"distance", curve.distance}});
  }
  return json;
}

AuditCounts alignment_counts(const AuditedRun& run) {
  return counts_of(run, 0, run.sizes().transformed);
}

Json alignment(AuditedRun& run) {
  const auto images = run.entering_images(run.sizes().transformed);
  const auto result = measure_alignment(
      [&run](const Dataset& views) { return run.features(views).features; }, images,
      {.size = run.loaded().card.encoder.input_size, .seed = AuditedRun::kSeed});
  return with_counts(result_json("alignment", result, run.all()), run, alignment_counts(run));
}

// The images of one class are views of one object where each folder holds one.
Json sets(AuditedRun& run) {
  const auto& input = run.input();
  if (!input.test.labels.defined()) {
    throw DataError("there are no labels to say which images are of one thing");
  }
  constexpr std::int64_t kViews = 72;  // of COIL-100, the most that the paper has
  const auto whitened = Whitening::fit(input.train.features).apply(input.test.features);
  EvaluationResult result;
  double sum = 0.0;
  double with_itself = 0.0;
  std::int64_t things = 0;
  for (const auto label : labels_present(input.test.labels)) {
    const auto rows = input.test.labels.eq(label).nonzero().squeeze(1);
    const auto count = std::min(kViews, rows.size(0));
    if (count >= 2) {
      const auto alike =
          set_similarity(whitened.index_select(0, rows.narrow(0, 0, count)).unsqueeze(0));
      sum += alike.off_diagonal.mean;
      with_itself += alike.with_diagonal.mean;
      ++things;
    }
  }
  if (things == 0) {
    throw DataError("no class has two test images");
  }
  result.numbers = {{"similarity", sum / static_cast<double>(things)},
                    {"similarity_with_itself", with_itself / static_cast<double>(things)}};
  result.protocol = fmt::format(
      "mean cosine of whitened features of different test images of one class, at most {} of each, "
      "then over {} classes (arXiv:2111.11398: where a class is one object, invariance to what "
      "changes between its pictures); with_itself counts each image beside itself, as the paper; "
      "whitening by {} training images",
      kViews, things, input.train.features.size(0));
  return result_json("sets", result, run.taken());
}

AuditCounts adversarial_counts(const AuditedRun& run) {
  return counts_of(run, std::min(run.sizes().train, kBank), run.sizes().attacked);
}

Json adversarial(AuditedRun& run) {
  const auto images = run.entering_images(run.sizes().attacked);
  const auto measured = measure_adversarial(
      run.encoder(), run.loaded().preprocess(), run.input_with_bank(kBank),
      {.images = images, .seed = AuditedRun::kSeed, .threads = AuditedRun::threads()},
      told(run.log(), "adversarial, images", 200));
  Json json = with_counts(result_json("adversarial", measured.result, run.taken()), run,
                          adversarial_counts(run));
  json["chance"] = chance_of(*images);
  return json;
}

// As many pictures as whiten, and a quarter of them to measure.
SolidFactorsSpec solids_spec(const AuditedRun& run) {
  constexpr std::int64_t kLeast = 400;
  constexpr std::int64_t kPart = 4;
  const auto wanted = std::max({run.sizes().rendered, kLeast, 2 * run.encoder().feature_dim()});
  const auto train = std::min(wanted, static_cast<std::int64_t>(solid_scene_count("train")));
  const auto test = std::min(train / kPart, static_cast<std::int64_t>(solid_scene_count("test")));
  return {.train = train,
          .test = test,
          .is_plain = rendered_source(run) != "solids",
          .seed = AuditedRun::kSeed,
          .batch_size = AuditedRun::kBatch,
          .threads = AuditedRun::threads()};
}

AuditCounts solids_counts(const AuditedRun& run) {
  const auto spec = solids_spec(run);
  return {.train = spec.train, .test = spec.test};
}

Json solids(AuditedRun& run) {
  const auto result =
      measure_solid_factors(run.encoder(), run.loaded().preprocess(), solids_spec(run));
  Json json = with_counts(result_json("solids", result, run.all()), run, solids_counts(run));
  json["dataset"] = rendered_source(run);
  return json;
}

AuditCounts map_counts(const AuditedRun& run) {
  return counts_of(run, 0, std::min(run.sizes().mapped, kMostMapPoints));
}

Json map(AuditedRun& run) {
  const auto images = run.some_test_images(map_counts(run).test);
  const auto found = run.features(*images);
  const auto drawn = embedding_map(found.features, {.seed = AuditedRun::kSeed});
  constexpr int kTile = 32;
  constexpr int kColumns = 50;
  const std::string file = "figures/map.jpg";
  create_folder(run.run().figures());
  const auto sprite =
      write_sprite(*images, kTile, kColumns, run.run().path() / file, AuditedRun::threads());
  EvaluationResult result;
  result.numbers = {{"trustworthiness", drawn.trustworthiness}, {"divergence", drawn.divergence}};
  result.protocol = fmt::format(
      "t-SNE (JMLR 9, 2008) of the unit features of {} test images, perplexity 30; "
      "trustworthiness of its 10 nearest neighbours (1: all of them are near in truth)",
      images->size());
  Json json = with_counts(result_json("map", result, run.all()), run, map_counts(run));
  json["classes"] = run.all().test->class_names();
  json["sprite"] = {{"file", file}, {"tile", sprite.tile}, {"columns", sprite.columns}};
  json["points"] = Json::array();
  const auto points = drawn.points.accessor<double, 2>();
  for (std::size_t i = 0; i < images->size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    json["points"].push_back({{"x", points[row][0]},
                              {"y", points[row][1]},
                              {"label", images->label(i).value_or(-1)},
                              {"name", images->name(i)}});
  }
  return json;
}

AuditCounts all_counts(const AuditedRun& run) {
  return counts_of(run, run.sizes().train, run.sizes().test);
}

const char* kind_name(DuplicateKind kind) {
  return kind == DuplicateKind::kTrain ? "train" : kind == DuplicateKind::kTest ? "test" : "across";
}

Json duplicates(AuditedRun& run) {
  const auto images = run.taken();
  const auto found =
      find_near_duplicates({.images = images.train, .features = run.input().train.features},
                           {.images = images.test, .features = run.input().test.features},
                           {.threads = AuditedRun::threads()});
  Json json = result_json("duplicates", found.result, images);
  json["pairs"] = Json::array();
  constexpr std::size_t kMost = 500;
  for (std::size_t i = 0; i < std::min(kMost, found.pairs.size()); ++i) {
    const auto& pair = found.pairs[i];
    const auto& first = pair.kind == DuplicateKind::kTest ? *images.test : *images.train;
    const auto& second = pair.kind == DuplicateKind::kTrain ? *images.train : *images.test;
    Json row{{"a", first.name(pair.first)},  {"b", second.name(pair.second)},
             {"kind", kind_name(pair.kind)}, {"similarity", pair.similarity},
             {"mirrored", pair.mirrored},    {"identical", pair.identical}};
    if (pair.same_label) {
      row["same_label"] = *pair.same_label;
    }
    json["pairs"].push_back(std::move(row));
  }
  const std::string sheet = "figures/duplicates.png";
  create_folder(run.run().figures());
  if (write_pairs_sheet(found.pairs, *images.train, *images.test, run.run().path() / sheet) > 0) {
    json["sheet"] = sheet;
  }
  return json;
}

// Draws of labels that there is time for: training costs about three passes of the encoder.
std::int64_t affordable_draws(AuditedRun& run, std::int64_t train, std::int64_t test) {
  constexpr std::int64_t kMost = 3;
  constexpr double kPasses = 3.0;
  const double seconds =
      (kPasses * fine_tuning_views(train) + 2.0 * static_cast<double>(test)) / run.rate();
  return std::min(kMost, static_cast<std::int64_t>(run.seconds_left() / seconds));
}

Json fine_tuning(AuditedRun& run) {
  const auto images = run.taken();
  const auto draws = affordable_draws(run, static_cast<std::int64_t>(images.train->size()),
                                      static_cast<std::int64_t>(images.test->size()));
  if (draws < 1) {
    throw UsageError("there is no time left for a single draw of labels (raise --minutes)");
  }
  const auto result = fine_tune(
      run.loaded(), {.train = images.train,
                     .test = images.test,
                     .draws = draws,
                     .seed = AuditedRun::kSeed,
                     .threads = AuditedRun::threads(),
                     .progress = [&run](std::int64_t done, std::int64_t all) {
                       run.log().info(fmt::format("  fine_tuning: {} of {} trainings", done, all));
                     }});
  add_result_to_card(run.run().card(), "fine_tuning", result);
  Json json = result_json("fine_tuning", result, images);
  json["draws"] = draws;
  return json;
}

}  // namespace

std::string rendered_source(const AuditedRun& run) {
  constexpr const char* kPlain = "plain-solids";
  return run.all().source.starts_with(kPlain) ? kPlain : "solids";
}

std::vector<AuditPart> audit_parts() {
  std::vector<AuditPart> parts;
  for (const auto& entry : evaluation_table()) {
    parts.push_back(evaluation_part(entry));
  }
  const std::string settings = "audit";
  parts.push_back({"invariance", settings, invariance_counts, invariance});
  parts.push_back({"alignment", settings, alignment_counts, alignment});
  parts.push_back({"sets", settings, all_counts, sets});
  parts.push_back({"robustness", "audit with distortions", robustness_counts, robustness});
  parts.push_back({"solids", settings, solids_counts, solids, /*needs_images=*/false});
  parts.push_back({"map", settings, map_counts, map});
  parts.push_back({"duplicates", settings, all_counts, duplicates});
  parts.push_back({"adversarial", settings, adversarial_counts, adversarial});
  parts.push_back({"fine_tuning", settings, all_counts, fine_tuning});
  return parts;
}

std::vector<AuditPart> find_audit_parts(const std::vector<std::string>& names) {
  const auto all = audit_parts();
  std::vector<std::string> known;
  for (const auto& part : all) {
    known.push_back(part.name);
  }
  std::vector<AuditPart> parts;
  for (const auto& name : names) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      const auto nearest = nearest_name(name, known);
      throw UsageError(fmt::format("there is no part of an audit called {} ({})", name,
                                   nearest.empty()
                                       ? fmt::format("known: {}", fmt::join(known, ", "))
                                       : fmt::format("did you mean {}?", nearest)));
    }
    parts.push_back(all[static_cast<std::size_t>(found - known.begin())]);
  }
  return parts;
}

}  // namespace viewfold
