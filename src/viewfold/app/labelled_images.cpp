// Implements how labelled images are found.
#include "viewfold/app/labelled_images.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "viewfold/app/pretraining.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/data/survey.hpp"

namespace viewfold {
namespace {

std::shared_ptr<const Dataset> open_split(const RunConfig& config,
                                          const std::string& source,
                                          const std::string& split,
                                          LogSink& log) {
  auto loaded =
      preload(open_dataset({.spec = source, .split = split}), static_cast<int>(config.data.bands),
              static_cast<std::uint64_t>(config.data.memory_gb * 1e9), config.data.max_bad_fraction,
              thread_count(config.train.threads));
  if (!loaded.bad.empty()) {
    log.warning(fmt::format("{} unreadable images are left out, the first: {}", loaded.bad.size(),
                            loaded.bad.front().reason));
  }
  return loaded.dataset;
}

}  // namespace

LabelledImages open_labelled(const RunConfig& config,
                             const std::optional<std::string>& source,
                             LogSink& log) {
  auto images = open_images(config, source, log);
  if (images.train->class_names().empty()) {
    throw DataError(fmt::format(
        "{}: has no labels, which evaluations need (put the images of each class into a folder of "
        "its own, or name labelled images with --data)",
        images.source));
  }
  return images;
}

LabelledImages open_images(const RunConfig& config,
                           const std::optional<std::string>& chosen,
                           LogSink& log) {
  const auto named = chosen.value_or(config.data.source);
  if (named.empty()) {
    throw UsageError("the encoder was imported, without images: name some with --data");
  }
  const auto source = absolute_spec(named);
  const auto splits = dataset_splits(source);
  const bool has_test = std::find(splits.begin(), splits.end(), "test") != splits.end();
  LabelledImages images{.source = source,
                        .train = open_split(config, source, "train", log),
                        .test = nullptr,
                        .test_split = "test"};
  if (has_test) {
    images.test = open_split(config, source, "test", log);
    return images;
  }
  constexpr double kShare = 0.2;  // ours
  auto split = hold_out(images.train->size(), kShare, static_cast<std::uint64_t>(config.seed));
  images.test = make_subset(images.train, std::move(split.held_out));
  images.train = make_subset(images.train, std::move(split.kept));
  images.test_split = "held-out";
  log.warning(fmt::format(
      "{} has no test split: a fifth of its images, chosen by the seed, is the test set (the "
      "encoder may have seen them, without labels)",
      source));
  return images;
}

nlohmann::ordered_json result_json(const std::string& name,
                                   const EvaluationResult& result,
                                   const LabelledImages& images) {
  nlohmann::ordered_json json{
      {"schema", 1},
      {"evaluation", name},
      {"dataset", images.source},
      {"split", images.test_split},
      {"counts", {{"train", images.train->size()}, {images.test_split, images.test->size()}}},
      {"protocol", result.protocol},
      {"numbers", result.numbers},
      {"controls", nlohmann::ordered_json::object()}};
  if (!result.confusion.empty()) {
    json["confusion"] = {{"classes", images.train->class_names()}, {"matrix", result.confusion}};
  }
  return json;
}

}  // namespace viewfold
