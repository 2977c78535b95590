// Implements the named recipes as lists of operations and numbers, and the pipelines made of them.
#include "viewfold/augment/recipe.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "viewfold/augment/detail/operation.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Value = std::variant<std::int64_t, double, std::string_view>;
using Setting = std::pair<std::string_view, Value>;

// Sets the one field that has the name and the type of a setting.
class FieldSetter final : public FieldVisitor {
 public:
  explicit FieldSetter(const Setting& setting) : setting_(setting) {}

  void field(std::string_view /*name*/, bool& /*value*/, const FieldSpec& /*spec*/) override {}
  void field(std::string_view name, std::int64_t& value, const FieldSpec& /*spec*/) override {
    set<std::int64_t>(name, value);
  }
  void field(std::string_view name, double& value, const FieldSpec& /*spec*/) override {
    set<double>(name, value);
  }
  void field(std::string_view name, std::string& value, const FieldSpec& /*spec*/) override {
    set<std::string_view>(name, value);
  }
  void field(std::string_view /*name*/,
             std::vector<std::int64_t>& /*value*/,
             const FieldSpec& /*spec*/) override {}
  void enter(std::string_view /*group*/) override {}
  void leave() override {}

  [[nodiscard]] bool done() const { return done_; }

 private:
  template <class T, class Field>
  void set(std::string_view name, Field& value) {
    if (name == setting_.first && std::holds_alternative<T>(setting_.second)) {
      value = std::get<T>(setting_.second);
      done_ = true;
    }
  }

  const Setting& setting_;
  bool done_ = false;
};

PipelineStep step(std::string_view op, std::initializer_list<Setting> settings) {
  PipelineStep made{std::string(op), find_augmentation(op).config()};
  for (const auto& setting : settings) {
    FieldSetter setter(setting);
    made.config->visit(setter);
    if (!setter.done()) {
      check(false, fmt::format("{} has no field {} of this type", op, setting.first));
    }
  }
  return made;
}

PipelineStep crop_step(std::int64_t size,
                       double scale_min,
                       std::string_view interpolation = "bilinear") {
  return step("random_resized_crop",
              {{"size", size}, {"scale_min", scale_min}, {"interpolation", interpolation}});
}

PipelineStep flip_step() {
  return step("horizontal_flip", {{"probability", 0.5}});
}

PipelineStep jitter_step(double brightness, double contrast, double saturation, double hue) {
  return step("color_jitter", {{"probability", 0.8},
                               {"brightness", brightness},
                               {"contrast", contrast},
                               {"saturation", saturation},
                               {"hue", hue}});
}

PipelineStep gray_step() {
  return step("grayscale", {{"probability", 0.2}});
}

PipelineStep blur_step(double probability) {
  return step("gaussian_blur",
              {{"probability", probability}, {"sigma_min", 0.1}, {"sigma_max", 2.0}});
}

PipelineStep solarize_step(double probability) {
  return step("solarize", {{"probability", probability}, {"threshold", 0.5}});
}

template <class... Steps>
std::vector<PipelineStep> pipeline(Steps&&... steps) {
  std::vector<PipelineStep> made;
  (made.push_back(std::forward<Steps>(steps)), ...);
  return made;
}

using Pipelines = std::vector<std::vector<PipelineStep>>;

template <class... Each>
Pipelines pipelines(Each&&... each) {
  Pipelines made;
  (made.push_back(std::forward<Each>(each)), ...);
  return made;
}

// In every small variant the blur stays in its place with probability 0, so that it can be switched
// on by its key.
double unless_small(std::int64_t view_size, double probability) {
  return scale_of(view_size) == ImageScale::kSmall ? 0.0 : probability;
}

// SimCLR (arXiv:2002.05709) appendix A with colour strength s = 1; small: appendix B.9, s = 0.5 and
// no blur. The paper's TensorFlow code resizes bicubically.
Pipelines simclr(std::int64_t size) {
  const double s = scale_of(size) == ImageScale::kSmall ? 0.5 : 1.0;
  return pipelines(pipeline(crop_step(size, 0.08, "bicubic"), flip_step(),
                            jitter_step(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s), gray_step(),
                            blur_step(unless_small(size, 0.5))));
}

// MoCo v2 (arXiv:2003.04297) and its official code; the flip comes last there.
Pipelines moco_large(std::int64_t size, double blur_probability) {
  return pipelines(pipeline(crop_step(size, 0.2), jitter_step(0.4, 0.4, 0.4, 0.1), gray_step(),
                            blur_step(blur_probability), flip_step()));
}

// Small: the authors' CIFAR-10 notebook (facebookresearch/moco, branch colab-notebook), where the
// crop keeps torchvision's default scale and the flip follows it.
Pipelines moco_v2(std::int64_t size) {
  if (scale_of(size) == ImageScale::kLarge) {
    return moco_large(size, 0.5);
  }
  return pipelines(pipeline(crop_step(size, 0.08), flip_step(), jitter_step(0.4, 0.4, 0.4, 0.1),
                            gray_step(), blur_step(0.0)));
}

// BYOL (arXiv:2006.07733) table 6; small: without blur, as solo-learn's CIFAR recipe.
Pipelines byol(std::int64_t size) {
  const auto view = [size](double blur_probability, double solarize_probability) {
    return pipeline(crop_step(size, 0.08, "bicubic"), flip_step(), jitter_step(0.4, 0.4, 0.2, 0.1),
                    gray_step(), blur_step(unless_small(size, blur_probability)),
                    solarize_step(solarize_probability));
  };
  return pipelines(view(1.0, 0.0), view(0.1, 0.2));
}

// SimSiam (arXiv:2011.10566): as MoCo v2; small: appendix D, the same without blur.
Pipelines simsiam(std::int64_t size) {
  return moco_large(size, unless_small(size, 0.5));
}

Pipelines none(std::int64_t size) {
  return pipelines(pipeline(step("center_crop", {{"size", size}})));
}

struct Recipe {
  RecipeSummary summary;
  Pipelines (*build)(std::int64_t view_size);
};

constexpr std::array kRecipes = {
    Recipe{{"byol", "BYOL (arXiv:2006.07733) table 6: two views made differently"}, byol},
    Recipe{{"moco_v2", "MoCo v2 (arXiv:2003.04297); up to 64 px as its CIFAR-10 notebook"},
           moco_v2},
    Recipe{{"none", "no randomness: the central square of the image"}, none},
    Recipe{{"simclr", "SimCLR (arXiv:2002.05709) appendix A; up to 64 px appendix B.9"}, simclr},
    Recipe{{"simsiam", "SimSiam (arXiv:2011.10566): as MoCo v2; up to 64 px without blur"},
           simsiam},
};

const Recipe& find_recipe(std::string_view name) {
  const auto* found = std::find_if(kRecipes.begin(), kRecipes.end(), [&](const Recipe& recipe) {
    return recipe.summary.name == name;
  });
  if (found != kRecipes.end()) {
    return *found;
  }
  std::vector<std::string> names;
  names.reserve(kRecipes.size());
  for (const auto& recipe : kRecipes) {
    names.emplace_back(recipe.summary.name);
  }
  const std::string nearest = nearest_name(name, names);
  throw UsageError(fmt::format("there is no view recipe \"{}\" ({})", name,
                               nearest.empty() ? fmt::format("known: {}", fmt::join(names, ", "))
                                               : fmt::format("did you mean \"{}\"?", nearest)));
}

}  // namespace

ImageScale scale_of(std::int64_t view_size) {
  return view_size <= kSmallImageLimit ? ImageScale::kSmall : ImageScale::kLarge;
}

RecipeConfig::RecipeConfig(std::string_view name, std::int64_t view_size)
    : pipelines_(find_recipe(name).build(view_size)) {}

void RecipeConfig::visit(FieldVisitor& v) {
  for (std::size_t i = 0; i < pipelines_.size(); ++i) {
    const bool asymmetric = pipelines_.size() > 1;
    if (asymmetric) {
      v.enter(fmt::format("view{}", i + 1));
    }
    for (auto& made : pipelines_[i]) {
      visit_group(v, made.op, *made.config);
    }
    if (asymmetric) {
      v.leave();
    }
  }
}

std::span<const RecipeSummary> recipe_table() {
  static const auto table = [] {
    std::array<RecipeSummary, kRecipes.size()> summaries;
    std::transform(kRecipes.begin(), kRecipes.end(), summaries.begin(),
                   [](const Recipe& recipe) { return recipe.summary; });
    return summaries;
  }();
  return table;
}

Pipeline::Pipeline(const std::vector<PipelineStep>& steps) {
  for (const auto& made : steps) {
    names_.push_back(made.op);
    ops_.push_back(find_augmentation(made.op).make(*made.config));
  }
}

ImageSize Pipeline::size_after(ImageSize size) const {
  for (const auto& op : ops_) {
    size = op->size_after(size);
  }
  return size;
}

std::vector<OpRecord> Pipeline::sample(RngKey key, ImageSize size) const {
  std::vector<OpRecord> records;
  records.reserve(ops_.size());
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    // Counting only operations of the same name keeps every draw where it is when others move in.
    const auto equals =
        std::count(names_.begin(), names_.begin() + static_cast<std::ptrdiff_t>(i), names_[i]);
    key.op = static_cast<std::uint16_t>(operation_id(names_[i]) + equals);
    Rng rng(key);
    records.push_back(ops_[i]->sample(rng, size));
    size = ops_[i]->size_after(size);
  }
  return records;
}

void Pipeline::apply(std::span<const OpRecord> records, Image& image) const {
  check(records.size() == ops_.size(), "a pipeline needs one record per operation");
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    ops_[i]->apply(records[i], image);
  }
}

ViewPlan make_view_plan(const RecipeConfig& recipe,
                        std::int64_t views_per_sample,
                        std::int64_t view_size) {
  check(views_per_sample >= 1 && view_size >= 1, "a plan has at least one view of one pixel");
  ViewPlan plan{.views_per_sample = views_per_sample, .view_size = view_size, .pipelines = {}};
  for (const auto& steps : recipe.pipelines()) {
    plan.pipelines.emplace_back(steps);
    const auto size = plan.pipelines.back().size_after({1, 1});
    if (size.height != view_size || size.width != view_size) {
      throw UsageError(fmt::format(
          "the view recipe makes views of {} x {} pixels, not {} x {} (leave the size of its crop "
          "at the view size)",
          size.height, size.width, view_size, view_size));
    }
  }
  return plan;
}

View make_view(const ViewPlan& plan, const Image& source, const RngKey& key) {
  check(!plan.pipelines.empty(), "a plan without a pipeline makes no views");
  const auto& made_by = plan.pipelines[key.view % plan.pipelines.size()];
  View view{source, made_by.sample(key, {source.height(), source.width()})};
  made_by.apply(view.records, view.image);
  return view;
}

}  // namespace viewfold
