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

// Reads the one number that has a name.
class NumberReader final : public FieldVisitor {
 public:
  explicit NumberReader(std::string_view name) : name_(name) {}

  void field(std::string_view /*name*/, bool& /*value*/, const FieldSpec& /*spec*/) override {}
  void field(std::string_view /*name*/,
             std::int64_t& /*value*/,
             const FieldSpec& /*spec*/) override {}
  void field(std::string_view name, double& value, const FieldSpec& /*spec*/) override {
    if (name == name_) {
      value_ = value;
    }
  }
  void field(std::string_view /*name*/,
             std::string& /*value*/,
             const FieldSpec& /*spec*/) override {}
  void field(std::string_view /*name*/,
             std::vector<std::int64_t>& /*value*/,
             const FieldSpec& /*spec*/) override {}
  void enter(std::string_view /*group*/) override {}
  void leave() override {}

  [[nodiscard]] std::optional<double> value() const { return value_; }

 private:
  std::string_view name_;
  std::optional<double> value_;
};

void add_steps(const std::vector<PipelineStep>& pipeline,
               std::string_view op,
               std::vector<const PipelineStep*>& found) {
  for (const auto& made : pipeline) {
    if (made.op == op) {
      found.push_back(&made);
    }
  }
}

// Every step of the recipe that is `op`.
std::vector<const PipelineStep*> steps_of(const RecipeConfig& recipe, std::string_view op) {
  std::vector<const PipelineStep*> found;
  for (const auto& group : recipe.groups()) {
    for (const auto& pipeline : group.pipelines) {
      add_steps(pipeline, op, found);
    }
  }
  return found;
}

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
using Groups = std::vector<RecipeGroup>;

template <class... Each>
Pipelines pipelines(Each&&... each) {
  Pipelines made;
  (made.push_back(std::forward<Each>(each)), ...);
  return made;
}

// A recipe of views of one size, as many as the method wants.
Groups one_group(Pipelines&& made) {
  Groups groups;
  groups.push_back({.name = "", .views = 0, .pipelines = std::move(made)});
  return groups;
}

// In every small variant the blur stays in its place with probability 0, so that it can be switched
// on by its key.
double unless_small(std::int64_t view_size, double probability) {
  return scale_of(view_size) == ImageScale::kSmall ? 0.0 : probability;
}

// SimCLR (arXiv:2002.05709) appendix A with colour strength s = 1; small: appendix B.9, s = 0.5 and
// no blur. The paper's TensorFlow code resizes bicubically.
Groups simclr(std::int64_t size) {
  const double s = scale_of(size) == ImageScale::kSmall ? 0.5 : 1.0;
  return one_group(pipelines(pipeline(crop_step(size, 0.08, "bicubic"), flip_step(),
                                      jitter_step(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s), gray_step(),
                                      blur_step(unless_small(size, 0.5)))));
}

// MoCo v1 (arXiv:1911.05722) and its official code: grayscale before a jitter that always happens.
// Small: as the large one, which has no blur.
Groups moco_v1(std::int64_t size) {
  auto jitter = step("color_jitter", {{"probability", 1.0},
                                      {"brightness", 0.4},
                                      {"contrast", 0.4},
                                      {"saturation", 0.4},
                                      {"hue", 0.4}});
  return one_group(
      pipelines(pipeline(crop_step(size, 0.2), gray_step(), std::move(jitter), flip_step())));
}

// MoCo v2 (arXiv:2003.04297) and its official code; the flip comes last there.
Groups moco_large(std::int64_t size, double blur_probability) {
  return one_group(pipelines(pipeline(crop_step(size, 0.2), jitter_step(0.4, 0.4, 0.4, 0.1),
                                      gray_step(), blur_step(blur_probability), flip_step())));
}

// Small: the authors' CIFAR-10 notebook (facebookresearch/moco, branch colab-notebook), where the
// crop keeps torchvision's default scale and the flip follows it.
Groups moco_v2(std::int64_t size) {
  if (scale_of(size) == ImageScale::kLarge) {
    return moco_large(size, 0.5);
  }
  return one_group(
      pipelines(pipeline(crop_step(size, 0.08), flip_step(), jitter_step(0.4, 0.4, 0.4, 0.1),
                         gray_step(), blur_step(0.0))));
}

// BYOL (arXiv:2006.07733) table 6; small: without blur, as solo-learn's CIFAR recipe.
Groups byol(std::int64_t size) {
  const auto view = [size](double blur_probability, double solarize_probability) {
    return pipeline(crop_step(size, 0.08, "bicubic"), flip_step(), jitter_step(0.4, 0.4, 0.2, 0.1),
                    gray_step(), blur_step(unless_small(size, blur_probability)),
                    solarize_step(solarize_probability));
  };
  return one_group(pipelines(view(1.0, 0.0), view(0.1, 0.2)));
}

// SimSiam (arXiv:2011.10566): as MoCo v2; small: appendix D, the same without blur.
Groups simsiam(std::int64_t size) {
  return moco_large(size, unless_small(size, 0.5));
}

// Small crops in the proportion 96 / 224 of the papers, in multiples of 4 pixels.
std::int64_t small_crop(std::int64_t size) {
  return std::max<std::int64_t>(4, (size * 96 / 224 + 2) / 4 * 4);
}

PipelineStep range_crop_step(std::int64_t size,
                             double scale_min,
                             double scale_max,
                             std::string_view interpolation) {
  return step("random_resized_crop", {{"size", size},
                                      {"scale_min", scale_min},
                                      {"scale_max", scale_max},
                                      {"interpolation", interpolation}});
}

// Crops of one size, of areas between two shares of the image.
struct CropRange {
  std::int64_t size = 0;
  double scale_min = 0.0;
  double scale_max = 1.0;
};

// SwAV (arXiv:2006.09882) and its official code: 2 x 224 from 14 .. 100 % of the area, 6 x 96 from
// 5 .. 14 %. Small: colour strength 0.5 and no blur, as SimCLR's.
Groups swav(std::int64_t size) {
  const double s = scale_of(size) == ImageScale::kSmall ? 0.5 : 1.0;
  const auto view = [&](std::int64_t side, double scale_min, double scale_max) {
    return pipelines(pipeline(range_crop_step(side, scale_min, scale_max, "bilinear"), flip_step(),
                              jitter_step(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s), gray_step(),
                              blur_step(unless_small(size, 0.5))));
  };
  Groups groups;
  groups.push_back({.name = "large", .views = 2, .pipelines = view(size, 0.14, 1.0)});
  groups.push_back({.name = "small", .views = 6, .pipelines = view(small_crop(size), 0.05, 0.14)});
  return groups;
}

// DINO (arXiv:2104.14294) and its official code: two large crops from 40 .. 100 % of the area, made
// differently, and eight small ones from 5 .. 40 %. Small: no blur.
Groups dino(std::int64_t size) {
  const auto large = [size](double blur_probability, double solarize_probability) {
    return pipeline(range_crop_step(size, 0.4, 1.0, "bicubic"), flip_step(),
                    jitter_step(0.4, 0.4, 0.2, 0.1), gray_step(),
                    blur_step(unless_small(size, blur_probability)),
                    solarize_step(solarize_probability));
  };
  auto small =
      pipeline(range_crop_step(small_crop(size), 0.05, 0.4, "bicubic"), flip_step(),
               jitter_step(0.4, 0.4, 0.2, 0.1), gray_step(), blur_step(unless_small(size, 0.5)));
  Groups groups;
  groups.push_back(
      {.name = "large", .views = 2, .pipelines = pipelines(large(1.0, 0.0), large(0.1, 0.2))});
  groups.push_back({.name = "small", .views = 8, .pipelines = pipelines(std::move(small))});
  return groups;
}

// ReLICv2 (arXiv:2201.05119): BYOL's two ways in turn for the large crops, which are 4 for
// photographs (and 2 small ones); small images have 2. The paper's text was not at hand: the
// numbers of crops are those that are quoted of it, the areas of the small crops are SwAV's.
Groups relicv2(std::int64_t size) {
  const bool is_small = scale_of(size) == ImageScale::kSmall;
  const auto view = [size](const CropRange& crop, double blur_probability,
                           double solarize_probability) {
    return pipeline(range_crop_step(crop.size, crop.scale_min, crop.scale_max, "bicubic"),
                    flip_step(), jitter_step(0.4, 0.4, 0.2, 0.1), gray_step(),
                    blur_step(unless_small(size, blur_probability)),
                    solarize_step(solarize_probability));
  };
  const CropRange large{.size = size, .scale_min = 0.14, .scale_max = 1.0};
  const CropRange small{.size = small_crop(size), .scale_min = 0.05, .scale_max = 0.14};
  Groups groups;
  groups.push_back({.name = "large",
                    .views = is_small ? 2 : 4,
                    .pipelines = pipelines(view(large, 1.0, 0.0), view(large, 0.1, 0.2))});
  groups.push_back({.name = "small", .views = 2, .pipelines = pipelines(view(small, 0.5, 0.0))});
  return groups;
}

// The two families of the invariance study (arXiv:2111.11398, there "ventral" and "dorsal"): MoCo
// v2's operations that move pixels, and those that change them.
Groups spatial(std::int64_t size) {
  return one_group(pipelines(pipeline(crop_step(size, 0.2), flip_step())));
}

Groups appearance(std::int64_t size) {
  return one_group(pipelines(pipeline(jitter_step(0.4, 0.4, 0.4, 0.1), gray_step(),
                                      blur_step(unless_small(size, 0.5)),
                                      step("center_crop", {{"size", size}}))));
}

Groups none(std::int64_t size) {
  return one_group(pipelines(pipeline(step("center_crop", {{"size", size}}))));
}

struct Recipe {
  RecipeSummary summary;
  Groups (*build)(std::int64_t view_size);
};

constexpr std::array kRecipes = {
    Recipe{
        {"appearance", "the invariance study's (arXiv:2111.11398): colours and blur, no geometry"},
        appearance},
    Recipe{{"byol", "BYOL (arXiv:2006.07733) table 6: two views made differently"}, byol},
    Recipe{{"dino", "DINO (arXiv:2104.14294): 2 large and 8 small crops"}, dino},
    Recipe{{"moco_v1", "MoCo v1 (arXiv:1911.05722): crop, grayscale, jitter, flip"}, moco_v1},
    Recipe{{"moco_v2", "MoCo v2 (arXiv:2003.04297); up to 64 px as its CIFAR-10 notebook"},
           moco_v2},
    Recipe{{"none", "no randomness: the central square of the image"}, none},
    Recipe{{"relicv2", "ReLICv2 (arXiv:2201.05119): BYOL's ways for large and small crops"},
           relicv2},
    Recipe{{"simclr", "SimCLR (arXiv:2002.05709) appendix A; up to 64 px appendix B.9"}, simclr},
    Recipe{{"simsiam", "SimSiam (arXiv:2011.10566): as MoCo v2; up to 64 px without blur"},
           simsiam},
    Recipe{{"spatial", "the invariance study's (arXiv:2111.11398): crop and flip, no colours"},
           spatial},
    Recipe{{"swav", "SwAV (arXiv:2006.09882): 2 large and 6 small crops"}, swav},
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

bool has_operation(const RecipeConfig& recipe, std::string_view op) {
  return !steps_of(recipe, op).empty();
}

std::optional<double> largest_setting(const RecipeConfig& recipe,
                                      std::string_view op,
                                      std::string_view field) {
  std::optional<double> largest;
  for (const auto* made : steps_of(recipe, op)) {
    NumberReader reader(field);
    made->config->visit(reader);
    if (reader.value() && (!largest || *reader.value() > *largest)) {
      largest = reader.value();
    }
  }
  return largest;
}

ImageScale scale_of(std::int64_t view_size) {
  return view_size <= kSmallImageLimit ? ImageScale::kSmall : ImageScale::kLarge;
}

namespace {

ViewGroup make_group(const RecipeGroup& recipe, std::int64_t views) {
  ViewGroup group{.views = views, .size = 0, .pipelines = {}};
  for (const auto& steps : recipe.pipelines) {
    const auto size = group.pipelines.emplace_back(steps).size_after({1, 1});
    const bool fits = size.height == size.width && (group.size == 0 || group.size == size.height);
    if (!fits) {
      throw UsageError(fmt::format(
          "the view recipe makes views of {} x {} and of {} x {} pixels in one group (give all "
          "their crops one size)",
          group.size, group.size, size.height, size.width));
    }
    group.size = size.height;
  }
  return group;
}

// An operation at its own defaults, to be added to a recipe; one that resizes makes the size of the
// views.
PipelineStep added_step(std::string_view op, std::int64_t size) {
  PipelineStep made{std::string(op), find_augmentation(op).config()};
  const Setting setting{"size", size};
  FieldSetter setter(setting);
  made.config->visit(setter);
  return made;
}

void add_operation(RecipeGroup& group, std::string_view op) {
  const std::int64_t size = make_group(group, 1).size;
  for (auto& steps : group.pipelines) {
    const bool there = std::any_of(steps.begin(), steps.end(),
                                   [op](const PipelineStep& step) { return step.op == op; });
    if (there) {
      throw UsageError(fmt::format(
          "the recipe has {0} already (change its settings, such as --views.{0}.probability)", op));
    }
    steps.push_back(added_step(op, size));
  }
}

}  // namespace

RecipeConfig::RecipeConfig(std::string_view name, std::int64_t view_size)
    : groups_(find_recipe(name.substr(0, name.find('+'))).build(view_size)) {
  for (auto plus = name.find('+'); plus != std::string_view::npos; plus = name.find('+')) {
    name.remove_prefix(plus + 1);
    for (auto& group : groups_) {
      add_operation(group, name.substr(0, name.find('+')));
    }
  }
}

void RecipeConfig::visit(FieldVisitor& v) {
  const auto visit_pipeline = [&v](std::vector<PipelineStep>& steps) {
    for (auto& made : steps) {
      visit_group(v, made.op, *made.config);
    }
  };
  for (auto& group : groups_) {
    if (groups_.size() > 1) {
      v.enter(group.name);
      v.field("views", group.views,
              {.doc = "views of this size that are made of each image", .min = 1, .max = 64});
    }
    for (std::size_t i = 0; i < group.pipelines.size(); ++i) {
      if (group.pipelines.size() == 1) {
        visit_pipeline(group.pipelines[i]);
      } else {
        v.enter(fmt::format("view{}", i + 1));
        visit_pipeline(group.pipelines[i]);
        v.leave();
      }
    }
    if (groups_.size() > 1) {
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
    // Counting only operations of the same name keeps every draw where it is when others move in.
    const auto equals = std::count(names_.begin(), names_.end(), made.op);
    ids_.push_back(static_cast<std::uint16_t>(operation_id(made.op) + equals));
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

void Pipeline::sample(RngKey key, ImageSize size, std::span<OpRecord> records) const {
  check(records.size() == ops_.size(), "a pipeline needs one record per operation");
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    key.op = ids_[i];
    Rng rng(key);
    records[i] = ops_[i]->sample(rng, size);
    size = ops_[i]->size_after(size);
  }
}

std::vector<OpRecord> Pipeline::sample(RngKey key, ImageSize size) const {
  std::vector<OpRecord> records(ops_.size());
  sample(key, size, records);
  return records;
}

void Pipeline::apply(std::span<const OpRecord> records, Canvas& canvas) const {
  check(records.size() == ops_.size(), "a pipeline needs one record per operation");
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    ops_[i]->apply(records[i], canvas);
  }
}

std::int64_t ViewPlan::views_per_sample() const {
  std::int64_t views = 0;
  for (const auto& group : groups) {
    views += group.views;
  }
  return views;
}

namespace {

// The group that view `view` of a sample belongs to; `view` becomes its place in it.
const ViewGroup& find_group(const std::vector<ViewGroup>& groups, std::int64_t& view) {
  for (const auto& group : groups) {
    if (view >= 0 && view < group.views) {
      return group;
    }
    view -= group.views;
  }
  throw ContractViolation("the plan has no such view");
}

}  // namespace

const Pipeline& ViewPlan::pipeline_of(std::int64_t view) const {
  const ViewGroup& group = find_group(groups, view);
  return group.pipelines[static_cast<std::size_t>(view) % group.pipelines.size()];
}

std::int64_t ViewPlan::size_of(std::int64_t view) const {
  return find_group(groups, view).size;
}

std::size_t ViewPlan::ops_per_view() const {
  std::size_t most = 0;
  for (const auto& group : groups) {
    for (const auto& pipeline : group.pipelines) {
      most = std::max(most, pipeline.op_names().size());
    }
  }
  return most;
}

ViewPlan make_view_plan(const RecipeConfig& recipe,
                        std::int64_t views_per_sample,
                        std::int64_t view_size) {
  check(views_per_sample >= 0 && view_size >= 1, "a plan has views of at least one pixel");
  constexpr std::int64_t kPair = 2;
  ViewPlan plan;
  for (const auto& group : recipe.groups()) {
    const std::int64_t open = views_per_sample > 0 ? views_per_sample : kPair;
    plan.groups.push_back(make_group(group, group.views > 0 ? group.views : open));
  }
  const std::int64_t size = plan.groups.front().size;
  if (size != view_size) {
    throw UsageError(fmt::format(
        "the view recipe makes views of {} x {} pixels, not {} x {} (leave the size of its crop "
        "at the view size)",
        size, size, view_size, view_size));
  }
  const std::int64_t views = plan.views_per_sample();
  if (views_per_sample > 0 && views != views_per_sample) {
    throw UsageError(fmt::format(
        "the view recipe makes {} views of an image, the method takes {} (choose another recipe, "
        "or a method for multi-crop)",
        views, views_per_sample));
  }
  return plan;
}

void draw_view(const ViewPlan& plan,
               const RngKey& key,
               ImageSize size,
               std::span<OpRecord> records) {
  const auto& made_by = plan.pipeline_of(key.view);
  const std::size_t used = made_by.op_names().size();
  check(records.size() >= used, "a view needs one record per operation");
  made_by.sample(key, size, records.first(used));
  std::fill(records.begin() + static_cast<std::ptrdiff_t>(used), records.end(), OpRecord{});
}

void draw_views(const ViewPlan& plan, RngKey key, ImageSize size, std::span<OpRecord> records) {
  const std::size_t ops = plan.ops_per_view();
  for (std::int64_t view = 0; view < plan.views_per_sample(); ++view) {
    key.view = static_cast<std::uint16_t>(view);
    draw_view(plan, key, size, records.subspan(static_cast<std::size_t>(view) * ops, ops));
  }
}

int view_reduction(const ViewPlan& plan,
                   std::int64_t view,
                   ImageSize size,
                   std::span<const OpRecord> records) {
  const auto ops = plan.pipeline_of(view).ops();
  return ops.empty() ? 1 : ops.front()->reduction(records.front(), size);
}

void apply_view(const ViewPlan& plan,
                std::int64_t view,
                std::span<const OpRecord> records,
                const Image& source,
                Canvas& canvas) {
  const auto& made_by = plan.pipeline_of(view);
  canvas.start(source);
  made_by.apply(records.first(made_by.op_names().size()), canvas);
}

void make_view(const ViewPlan& plan,
               const Image& source,
               const RngKey& key,
               Canvas& canvas,
               std::span<OpRecord> records) {
  draw_view(plan, key, {source.height(), source.width()}, records);
  apply_view(plan, key.view, records, source, canvas);
}

View make_view(const ViewPlan& plan, const Image& source, const RngKey& key) {
  View view;
  view.records.resize(plan.pipeline_of(key.view).op_names().size());
  Canvas canvas;
  make_view(plan, source, key, canvas, view.records);
  view.image = canvas.image();
  return view;
}

}  // namespace viewfold
