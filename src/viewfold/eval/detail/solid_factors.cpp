// Implements the measures on rendered solids.
#include "viewfold/eval/solid_factors.hpp"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/data/solids.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/eval/invariance.hpp"
#include "viewfold/eval/read_out.hpp"

namespace viewfold {
namespace {

using Scenes = std::vector<SolidScene>;

struct Factor {
  std::string_view name;
  std::vector<std::string_view> parts;               // what its numbers are called
  SolidScene (*redraw)(SolidScene scene, Rng& rng);  // null: it is read out only
  // What is read out; nothing of scenes that do not show it.
  std::vector<double> (*numbers)(const SolidScene& scene);
};

std::vector<double> pose_numbers(const SolidScene& scene) {
  constexpr int kSphere = 0;
  return scene.solid == kSphere ? std::vector<double>{}
                                : std::vector<double>{scene.pose.elevation, scene.pose.roll};
}

std::vector<double> light_numbers(const SolidScene& scene) {
  return {scene.light.azimuth, scene.light.elevation, scene.light.intensity};
}

std::vector<double> background_numbers(const SolidScene& scene) {
  std::vector<double> numbers(scene.background.dark.begin(), scene.background.dark.end());
  numbers.insert(numbers.end(), scene.background.bright.begin(), scene.background.bright.end());
  return numbers;
}

std::vector<double> position_numbers(const SolidScene& scene) {
  return {scene.position.x, scene.position.y, scene.position.scale};
}

std::vector<double> colour_numbers(const SolidScene& scene) {
  return {scene.colour.begin(), scene.colour.end()};
}

std::vector<double> wall_numbers(const SolidScene& scene) {
  return {scene.background.bright.begin(), scene.background.bright.end()};
}

SolidScene with_other_wall(SolidScene scene, Rng& rng) {
  return before_plain_wall(with_other_background(scene, rng));
}

std::vector<Factor> factors(bool is_plain) {
  std::vector<Factor> all{
      {"pose", {"elevation", "roll"}, with_other_pose, pose_numbers},
      {"light", {"azimuth", "elevation", "intensity"}, with_other_light, light_numbers},
      {"background",
       {"dark_red", "dark_green", "dark_blue", "bright_red", "bright_green", "bright_blue"},
       with_other_background,
       background_numbers},
      {"position", {"x", "y", "scale"}, with_other_position, position_numbers},
      {"colour", {"red", "green", "blue"}, nullptr, colour_numbers}};
  if (is_plain) {
    all[2] = {"background", {"red", "green", "blue"}, with_other_wall, wall_numbers};
  }
  return all;
}

Scenes draw_scenes(std::string_view split, std::int64_t count, bool is_plain) {
  Scenes scenes;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto scene = draw_scene(split, static_cast<std::size_t>(i));
    scenes.push_back(is_plain ? before_plain_wall(scene) : scene);
  }
  return scenes;
}

// `views` pictures of each scene, with one factor drawn anew in each.
Scenes redrawn(const Scenes& scenes, const Factor& factor, const SolidFactorsSpec& spec) {
  Scenes views;
  for (std::size_t i = 0; i < scenes.size(); ++i) {
    for (std::int64_t v = 0; v < spec.views; ++v) {
      Rng rng({.seed = spec.seed,
               .stream = factor.name,
               .sample = static_cast<std::uint32_t>(i),
               .view = static_cast<std::uint16_t>(v)});
      views.push_back(factor.redraw(scenes[i], rng));
    }
  }
  return views;
}

class Solids {
 public:
  Solids(Encoder& encoder, const Preprocess& preprocess, const SolidFactorsSpec& spec)
      : encoder_(encoder),
        preprocess_(preprocess),
        spec_(spec) {}

  // [scenes, D] float32
  [[nodiscard]] at::Tensor features(const Scenes& scenes) const {
    // A picture that is rendered too small or too large is scaled as any other image.
    const auto size = static_cast<int>(
        std::clamp<std::int64_t>(preprocess_.input_size, kMinSolidSize, kMaxSolidSize));
    const auto images =
        make_changed(make_image_list(std::vector<Image>(scenes.size(), Image(1, 1, 3))),
                     [&scenes, size](const Image& /*none*/, std::size_t index) {
                       return render_solid(scenes[index], size);
                     });
    return extract_features(encoder_, *images, preprocess_, spec_.batch_size, spec_.threads)
        .features;
  }

  [[nodiscard]] double invariance(const Whitening& whitening,
                                  const Scenes& scenes,
                                  const Factor& factor) const {
    const auto views = whitening.apply(features(redrawn(scenes, factor, spec_)));
    return set_similarity(views.reshape({static_cast<std::int64_t>(scenes.size()), spec_.views,
                                         views.size(1)}))
        .off_diagonal.mean;
  }

 private:
  Encoder& encoder_;
  const Preprocess& preprocess_;
  const SolidFactorsSpec& spec_;
};

// The rows of scenes that show the factor.
ReadOutRows rows_of(const Scenes& scenes, const at::Tensor& features, const Factor& factor) {
  std::vector<std::int64_t> rows;
  std::vector<double> numbers;
  for (std::size_t i = 0; i < scenes.size(); ++i) {
    const auto of_scene = factor.numbers(scenes[i]);
    if (!of_scene.empty()) {
      rows.push_back(static_cast<std::int64_t>(i));
      numbers.insert(numbers.end(), of_scene.begin(), of_scene.end());
    }
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  return {.features = features.index_select(0, at::tensor(rows, at::kLong)),
          .targets = at::tensor(numbers, at::kDouble).reshape({count, -1})};
}

// Writes down R^2 of each number of the factor, and their mean.
void add_read_out(const Factor& factor,
                  const std::vector<double>& r_squared,
                  EvaluationResult& result) {
  double sum = 0.0;
  for (std::size_t i = 0; i < r_squared.size(); ++i) {
    const double value = std::max(0.0, r_squared[i]);
    result.numbers[fmt::format("read_out_{}_{}", factor.name, factor.parts.at(i))] = value;
    sum += value;
  }
  result.numbers[fmt::format("read_out_{}", factor.name)] =
      sum / static_cast<double>(r_squared.size());
}

at::Tensor solids_of(const Scenes& scenes) {
  std::vector<std::int64_t> labels;
  for (const auto& scene : scenes) {
    labels.push_back(scene.solid);
  }
  return at::tensor(labels, at::kLong);
}

void check_spec(const SolidFactorsSpec& spec, const Preprocess& preprocess) {
  const auto is_within = [](std::int64_t count, std::string_view split) {
    constexpr std::int64_t kLeast = 100;
    return count >= kLeast && count <= static_cast<std::int64_t>(solid_scene_count(split));
  };
  check(is_within(spec.train, "train") && is_within(spec.test, "test") && spec.views >= 2,
        fmt::format("{} training and {} test pictures of solids with {} views", spec.train,
                    spec.test, spec.views));
  if (preprocess.bands != 1 && preprocess.bands != 3) {
    throw UsageError(fmt::format(
        "the encoder sees {} bands, and rendered pictures have red, green and blue only",
        preprocess.bands));
  }
}

}  // namespace

EvaluationResult measure_solid_factors(Encoder& encoder,
                                       const Preprocess& preprocess,
                                       const SolidFactorsSpec& spec) {
  check_spec(spec, preprocess);
  const Solids solids(encoder, preprocess, spec);
  const auto train = draw_scenes("train", spec.train, spec.is_plain);
  const auto test = draw_scenes("test", spec.test, spec.is_plain);
  const auto train_features = solids.features(train);
  const auto test_features = solids.features(test);
  const auto whitening = Whitening::fit(train_features);
  constexpr std::size_t kPart = 4;  // each is rendered several times for each factor
  const Scenes some(test.begin(), test.begin() + static_cast<std::ptrdiff_t>(test.size() / kPart));
  EvaluationResult result;
  for (const auto& factor : factors(spec.is_plain)) {
    if (factor.redraw != nullptr) {
      result.numbers[fmt::format("invariance_{}", factor.name)] =
          solids.invariance(whitening, some, factor);
    }
    const auto found = read_out(rows_of(train, train_features, factor),
                                rows_of(test, test_features, factor), spec.seed);
    add_read_out(factor, found.r_squared, result);
  }
  const auto& knn = find_evaluation("knn");
  result.numbers["solid"] =
      knn.run({.train = {.features = train_features, .labels = solids_of(train)},
               .test = {.features = test_features, .labels = solids_of(test)},
               .classes = {kSolidNames.begin(), kSolidNames.end()},
               .seed = spec.seed},
              *knn.config())
          .numbers.at("accuracy");
  result.protocol = fmt::format(
      "rendered {}solids of {} px: {} training, {} test pictures; invariance is the mean cosine of "
      "whitened features of {} views of {} scenes that differ in one factor (arXiv:2111.11398); "
      "read-outs are mean R^2 of ridge regression, penalty by cross-validation on the training "
      "pictures; the solid by a kNN vote",
      spec.is_plain ? "plain-" : "", preprocess.input_size, spec.train, spec.test, spec.views,
      some.size());
  return result;
}

}  // namespace viewfold
