// Implements accuracy under corruptions.
#include "viewfold/eval/robustness.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "viewfold/augment/corrupted_images.hpp"
#include "viewfold/augment/corruption.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/data/subset.hpp"

namespace viewfold {
namespace {

// Accuracy of the vote of `bank` on the images of `images`.
double accuracy_of(const EvaluationInput& bank, FeatureSet test) {
  const auto& knn = find_evaluation("knn");
  EvaluationInput input = bank;
  input.test = std::move(test);
  return knn.run(input, *knn.config()).numbers.at("accuracy");
}

// Gray images have no saturation to change.
std::vector<std::string> kinds_of(const RobustnessSpec& spec, std::int64_t bands) {
  if (!spec.corruptions.empty()) {
    return spec.corruptions;
  }
  std::vector<std::string> names;
  for (const auto& row : corruptions()) {
    if (bands > 1 || row.name != "saturate") {
      names.emplace_back(row.name);
    }
  }
  return names;
}

double mean_of(const std::array<double, 5>& values) {
  double sum = 0.0;
  for (const double value : values) {
    sum += value;
  }
  return sum / static_cast<double>(values.size());
}

void add_means(const std::vector<CorruptionRow>& rows, double clean, EvaluationResult& result) {
  std::array<double, 5> by_severity{};
  std::size_t count = 0;
  for (const auto& row : rows) {
    result.numbers["accuracy_" + row.name] = mean_of(row.accuracy);
    if (!find_corruption(row.name).extra) {
      ++count;
      for (std::size_t s = 0; s < by_severity.size(); ++s) {
        by_severity[s] += row.accuracy[s];
      }
    }
  }
  if (count == 0) {
    return;
  }
  for (std::size_t s = 0; s < by_severity.size(); ++s) {
    by_severity[s] /= static_cast<double>(count);
    result.numbers[fmt::format("accuracy_severity_{}", s + 1)] = by_severity[s];
  }
  result.numbers["accuracy"] = mean_of(by_severity);
  result.numbers["drop"] = clean - mean_of(by_severity);
  if (clean > 0.0) {
    result.numbers["relative_drop"] = 1.0 - mean_of(by_severity) / clean;
  }
}

// The distortions that images of this size allow.
std::vector<std::string> distortions_of(std::int64_t size) {
  std::vector<std::string> names{"gamma:0.2", "gamma:0.5", "gamma:2", "gamma:5"};
  for (const std::int64_t grid : {2, 4, 8}) {
    if (size % grid == 0) {
      names.push_back(fmt::format("global_shuffle:{}", grid));
      names.push_back(fmt::format("local_shuffle:{}", grid));
    }
  }
  return names;
}

}  // namespace

RobustnessResult measure_robustness(Encoder& encoder,
                                    const Preprocess& preprocess,
                                    const EvaluationInput& bank,
                                    const RobustnessSpec& spec,
                                    const std::function<void(std::size_t, std::size_t)>& progress) {
  const auto kinds = kinds_of(spec, preprocess.bands);
  for (const auto& kind : kinds) {
    (void)find_corruption(kind);  // before hours are spent
  }
  const auto features = [&](const Dataset& images) {
    return extract_features(encoder, images, preprocess, spec.batch_size, spec.threads);
  };
  RobustnessResult measured;
  const double clean = accuracy_of(bank, features(*spec.images));
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    CorruptionRow row{.name = kinds[i]};
    for (std::size_t s = 0; s < row.accuracy.size(); ++s) {
      const auto severity = static_cast<int>(s) + 1;
      const auto corrupted =
          make_changed(spec.images, [&, severity](const Image& image, std::size_t index) {
            return corrupt(image, kinds[i], severity,
                           {.seed = spec.seed,
                            .stream = "corruption",
                            .sample = static_cast<std::uint32_t>(index)});
          });
      row.accuracy[s] = accuracy_of(bank, features(*corrupted));
    }
    measured.rows.push_back(row);
    if (progress) {
      progress(i + 1, kinds.size());
    }
  }
  if (spec.corruptions.empty()) {
    for (const auto& name : distortions_of(spec.images->image(0).height())) {
      const auto distorted =
          corrupt_images(spec.images, parse_image_corruption(name, "distortion"), spec.seed);
      measured.distortions.push_back({name, accuracy_of(bank, features(*distorted))});
      measured.result.numbers["accuracy_" + name] = measured.distortions.back().accuracy;
    }
  }
  measured.result.numbers["clean_accuracy"] = clean;
  add_means(measured.rows, clean, measured.result);
  measured.result.protocol = fmt::format(
      "common corruptions (arXiv:1903.12261) at severities 1 to 5 of {} test images, kNN vote (k = "
      "200, T = 0.1) of {} clean training images; means over the kinds of the benchmark, made of "
      "the image as the data set gives it (an audit: as it enters the encoder); distorted: gamma, "
      "and tiles (global) or the pixels of tiles (local) shuffled, after arXiv:2206.05259",
      spec.images->size(), bank.train.features.size(0));
  return measured;
}

}  // namespace viewfold
