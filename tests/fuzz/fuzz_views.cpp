// Makes views of pictures of any size and kind with settings out of the input. Settings may be
// refused with a UsageError; views must be what the interfaces promise.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fuzzer/FuzzedDataProvider.h>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "viewfold/augment/annotations.hpp"
#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/image/pixel.hpp"

namespace viewfold {
namespace {

using Input = FuzzedDataProvider;

// Larger pictures take more time and show nothing new.
constexpr std::int64_t kMostPixels = 128 * 128;

constexpr std::array kHostileNumbers = {"nan",
                                        "-nan",
                                        "inf",
                                        "-inf",
                                        "-1",
                                        "0",
                                        "-0.0",
                                        "5e-324",
                                        "1e-300",
                                        "1e308",
                                        "-1e308",
                                        "1e999",
                                        "0x10",
                                        "",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "9223372036854775808"};

// Gives every field of a config a value out of the input, as the command line would.
class SettingsDrawer final : public FieldVisitor {
 public:
  explicit SettingsDrawer(Input& input)
      : input_(input),
        hostile_(input.ConsumeIntegralInRange(0, 7) == 0) {}

  void field(std::string_view name, bool& /*value*/, const FieldSpec& /*spec*/) override {
    set(name, input_.ConsumeBool() ? "true" : "false");
  }
  void field(std::string_view name, std::int64_t& /*value*/, const FieldSpec& spec) override {
    const double low = std::max(spec.min, -100.0);
    const double high = std::min(spec.max, low + 100.0);
    set_number(name,
               fmt::format("{}", input_.ConsumeIntegralInRange(static_cast<std::int64_t>(low),
                                                               static_cast<std::int64_t>(high))),
               spec);
  }
  void field(std::string_view name, double& /*value*/, const FieldSpec& spec) override {
    const double low = std::max(spec.min, -1000.0);
    const double high = std::min(spec.max, 1000.0);
    set_number(name, fmt::format("{}", input_.ConsumeFloatingPointInRange(low, high)), spec);
  }
  void field(std::string_view name, std::string& /*value*/, const FieldSpec& spec) override {
    if (hostile_ || spec.choices.empty()) {
      set(name, input_.ConsumeRandomLengthString(20));
    } else {
      set(name,
          spec.choices[input_.ConsumeIntegralInRange<std::size_t>(0, spec.choices.size() - 1)]);
    }
  }
  void field(std::string_view name,
             std::vector<std::int64_t>& /*value*/,
             const FieldSpec& /*spec*/) override {
    set(name, input_.ConsumeRandomLengthString(20));
  }
  void enter(std::string_view group) override {
    lengths_.push_back(prefix_.size());
    prefix_ += group;
    prefix_ += '.';
  }
  void leave() override {
    prefix_.resize(lengths_.back());
    lengths_.pop_back();
  }

  ConfigSource source;

 private:
  void set(std::string_view name, const std::string& text) {
    source.set(prefix_ + std::string(name), text, "--" + prefix_ + std::string(name));
  }
  void set_number(std::string_view name, const std::string& inside, const FieldSpec& spec) {
    switch (input_.ConsumeIntegralInRange(0, 5)) {
      case 0:
      case 1:
        return set(name, inside);
      case 2:
        return set(name, fmt::format("{}", spec.min));
      case 3:
        return set(name, fmt::format("{}", spec.max));
      case 4:
        return hostile_ ? set(name, input_.PickValueInArray(kHostileNumbers)) : void();
      default:
        return;  // as it is
    }
  }

  Input& input_;
  bool hostile_;
  std::string prefix_;
  std::vector<std::size_t> lengths_;
};

void draw_settings(Config& config, Input& input) {
  SettingsDrawer drawer(input);
  config.visit(drawer);
  read_config(config, drawer.source);
}

const AugmentationEntry& draw_entry(Input& input) {
  const auto table = augmentation_table();
  return table[input.ConsumeIntegralInRange<std::size_t>(0, table.size() - 1)];
}

// Nothing when the settings are refused.
std::optional<Pipeline> draw_pipeline(Input& input) {
  try {
    std::vector<PipelineStep> steps;
    for (int left = input.ConsumeIntegralInRange(1, 4); left > 0; --left) {
      const AugmentationEntry& entry = draw_entry(input);
      auto& step = steps.emplace_back();
      step.op = entry.name;
      step.config = entry.config();
      draw_settings(*step.config, input);
    }
    return Pipeline(steps);
  } catch (const UsageError&) {
    return std::nullopt;
  }
}

std::optional<ViewPlan> draw_plan(Input& input) {
  const auto recipes = recipe_table();
  std::string name(recipes[input.ConsumeIntegralInRange<std::size_t>(0, recipes.size() - 1)].name);
  for (int left = input.ConsumeIntegralInRange(0, 2); left > 0; --left) {
    name += "+";
    name += draw_entry(input).name;
  }
  const auto size = input.ConsumeIntegralInRange<std::int64_t>(1, 96);
  try {
    RecipeConfig recipe(name, size);
    draw_settings(recipe, input);
    return make_view_plan(recipe, input.ConsumeIntegralInRange<std::int64_t>(0, 10), size);
  } catch (const UsageError&) {
    return std::nullopt;
  }
}

template <class T>
void fill(Image& image, std::uint32_t levels, Rng& rng) {
  const float step = full_scale<T>() / static_cast<float>(std::max(levels - 1, 1U));
  for (T& value : image.values<T>()) {
    value = to_pixel<T>(static_cast<float>(rng.below(levels)) * step);
  }
}

Image draw_picture(Input& input) {
  constexpr std::array kTypes = {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32};
  const int height = input.ConsumeIntegralInRange(1, 80);
  const int width = input.ConsumeIntegralInRange(1, 80);
  const int bands = input.ConsumeIntegralInRange(1, 8);
  Image image(height, width, bands, input.PickValueInArray(kTypes));
  const auto levels = input.ConsumeIntegralInRange<std::uint32_t>(1, 256);
  Rng rng({.seed = input.ConsumeIntegral<std::uint64_t>(), .stream = "picture"});
  with_pixel_type(image.type(), [&]<class T>() { fill<T>(image, levels, rng); });
  return image;
}

ImageSize size_of(const Image& image) {
  return {image.height(), image.width()};
}

bool stays_small(const Pipeline& pipeline, ImageSize size) {
  return std::all_of(pipeline.ops().begin(), pipeline.ops().end(), [&size](const auto& op) {
    size = op->size_after(size);
    return std::int64_t{size.height} * size.width <= kMostPixels;
  });
}

// Of a view of `source`, whose size is stated.
void check_view(const Image& view, const Image& source, ImageSize stated) {
  check(size_of(view) == stated, "a view of another size than stated");
  check(view.bands() == source.bands() && view.type() == source.type(), "a view of another kind");
  if (view.type() == PixelType::kFloat32) {
    const auto values = view.values<float>();
    check(std::all_of(values.begin(), values.end(),
                      [](float value) { return value >= 0.0F && value <= 1.0F; }),
          "a value that is neither black nor white nor between them");
  }
}

void check_records(std::span<const OpRecord> records) {
  for (const OpRecord& record : records) {
    const bool finite = std::all_of(record.values.begin(), record.values.end(),
                                    [](float value) { return std::isfinite(value); });
    check(finite, "a recorded value that is not finite: " + record_text(record));
  }
}

// Around the picture, or nowhere.
double draw_position(Input& input) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (input.ConsumeIntegralInRange(0, 3) > 0) {
    return input.ConsumeFloatingPointInRange(-50.0, 150.0);
  }
  return input.PickValueInArray({0.0, -0.0, 1.0, 5e-324, 1e300, -1e300, kInfinity, -kInfinity,
                                 std::numeric_limits<double>::quiet_NaN()});
}

Annotations draw_annotations(Input& input, ImageSize size) {
  Annotations drawn;
  drawn.mask.emplace(size.height, size.width, 1,
                     input.ConsumeBool() ? PixelType::kUint8 : PixelType::kUint16);
  Rng rng({.seed = 1, .stream = "mask"});
  with_pixel_type(drawn.mask->type(), [&]<class T>() { fill<T>(*drawn.mask, 256, rng); });
  for (int left = input.ConsumeIntegralInRange(0, 3); left > 0; --left) {
    const Rect box{draw_position(input), draw_position(input), draw_position(input),
                   draw_position(input)};
    if (box.left < box.right && box.top < box.bottom) {
      drawn.boxes.push_back(box);
    }
    drawn.keypoints.push_back({draw_position(input), draw_position(input)});
  }
  return drawn;
}

void check_annotations(const MovedAnnotations& moved, ImageSize size) {
  check(moved.mask && size_of(*moved.mask) == size, "a mask of another size than its view");
  for (const auto& [box, kept] : moved.boxes) {
    check(kept >= 0.0 && kept <= 1.0, "a share that is none");
    check(box.left >= 0.0 && box.left <= box.right && box.right <= size.width && box.top >= 0.0 &&
              box.top <= box.bottom && box.bottom <= size.height,
          "a box outside of its view");
  }
  for (const auto& [point, visible] : moved.keypoints) {
    check(!visible ||
              (point.x >= 0.0 && point.y >= 0.0 && point.x < size.width && point.y < size.height),
          "a visible keypoint outside of its view");
  }
}

Image applied(const Pipeline& pipeline,
              std::span<const OpRecord> records,
              const Image& source,
              Canvas& canvas) {
  canvas.start(source);
  pipeline.apply(records, canvas);
  return canvas.image();
}

void try_operations(Input& input) {
  const auto pipeline = draw_pipeline(input);
  const Image source = draw_picture(input);
  const ImageSize size = size_of(source);
  if (!pipeline || !stays_small(*pipeline, size)) {
    return;
  }
  const auto records =
      pipeline->sample({.seed = input.ConsumeIntegral<std::uint64_t>(), .stream = "view"}, size);
  check_records(records);
  Canvas canvas;
  const Image view = applied(*pipeline, records, source, canvas);
  check_view(view, source, pipeline->size_after(size));
  check(applied(*pipeline, records, source, canvas) == view, "memory used before shows");
  check_annotations(move_annotations(*pipeline, records, draw_annotations(input, size), size),
                    pipeline->size_after(size));
}

void try_recipe(Input& input) {
  const auto plan = draw_plan(input);
  const Image source = draw_picture(input);
  if (!plan) {
    return;
  }
  Canvas canvas;
  std::vector<OpRecord> records(plan->ops_per_view());
  RngKey key{.seed = input.ConsumeIntegral<std::uint64_t>(),
             .stream = "view",
             .epoch = input.ConsumeIntegral<std::uint32_t>(),
             .sample = input.ConsumeIntegral<std::uint32_t>()};
  for (int left = 3; left > 0; --left) {
    key.view = static_cast<std::uint16_t>(
        input.ConsumeIntegralInRange<std::int64_t>(0, plan->views_per_sample() - 1));
    const Pipeline& pipeline = plan->pipeline_of(key.view);
    if (!stays_small(pipeline, size_of(source))) {
      return;
    }
    make_view(*plan, source, key, canvas, records);
    check_records(records);
    check_view(canvas.image(), source, pipeline.size_after(size_of(source)));
    check(make_view(*plan, source, key).image == canvas.image(), "a view that is not its key's");
  }
}

}  // namespace
}  // namespace viewfold

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  if (input.ConsumeBool()) {
    viewfold::try_recipe(input);
  } else {
    viewfold::try_operations(input);
  }
  return 0;
}
