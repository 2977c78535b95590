// Tests of the recipes' constants, of keyed pipelines and of finished views.
#include "viewfold/augment/recipe.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "augment/operations.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::noise;

// An operation and its settings as TOML prints them.
using Settings = std::map<std::string, std::string>;
struct Step {
  std::string op;
  Settings settings;
};

Step crop(const std::string& scale_min,
          const std::string& interpolation,
          const std::string& scale_max = "1.0") {
  return {"random_resized_crop",
          {{"scale_min", scale_min},
           {"scale_max", scale_max},
           {"ratio_min", "0.75"},
           {"ratio_max", "1.3333333333333333"},
           {"interpolation", interpolation},
           {"antialias", "true"}}};
}

Step jitter(const std::string& brightness,
            const std::string& contrast,
            const std::string& saturation,
            const std::string& hue) {
  return {"color_jitter",
          {{"probability", "0.8"},
           {"brightness", brightness},
           {"contrast", contrast},
           {"saturation", saturation},
           {"hue", hue}}};
}

Step flip() {
  return {"horizontal_flip", {{"probability", "0.5"}}};
}

Step gray() {
  return {"grayscale", {{"probability", "0.2"}}};
}

Step blur(const std::string& probability) {
  return {"gaussian_blur",
          {{"probability", probability}, {"sigma_min", "0.1"}, {"sigma_max", "2.0"}}};
}

Step solarize(const std::string& probability) {
  return {"solarize", {{"probability", probability}, {"threshold", "0.5"}}};
}

void expect_group(const RecipeGroup& group,
                  std::int64_t size,
                  const std::vector<std::vector<Step>>& expected) {
  ASSERT_EQ(group.pipelines.size(), expected.size());
  for (std::size_t view = 0; view < expected.size(); ++view) {
    const auto& steps = group.pipelines[view];
    ASSERT_EQ(steps.size(), expected[view].size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      EXPECT_EQ(steps[i].op, expected[view][i].op);
      Settings settings;
      for (const auto& field : describe_config(*steps[i].config)) {
        settings[field.key] = field.default_value;
      }
      if (settings.contains("size")) {
        EXPECT_EQ(settings["size"], std::to_string(size));
        settings.erase("size");
      }
      Settings wanted = expected[view][i].settings;
      if (wanted.contains("interpolation")) {
        wanted["interpolation"] = "\"" + wanted["interpolation"] + "\"";
      }
      EXPECT_EQ(settings, wanted) << steps[i].op;
    }
  }
}

// A recipe whose views are all of one size.
void expect_recipe(std::string_view name,
                   std::int64_t size,
                   const std::vector<std::vector<Step>>& expected) {
  SCOPED_TRACE(fmt::format("{} at {} pixels", name, size));
  const RecipeConfig recipe(name, size);
  ASSERT_EQ(recipe.groups().size(), 1U);
  EXPECT_EQ(recipe.groups().front().views, 0);
  expect_group(recipe.groups().front(), size, expected);
}

TEST(Recipe, SimclrHasTheConstantsOfItsPaper) {
  // arXiv:2002.05709, appendix A, s = 1; appendix B.9, s = 0.5 without blur
  expect_recipe(
      "simclr", 224,
      {{crop("0.08", "bicubic"), flip(), jitter("0.8", "0.8", "0.8", "0.2"), gray(), blur("0.5")}});
  expect_recipe(
      "simclr", 32,
      {{crop("0.08", "bicubic"), flip(), jitter("0.4", "0.4", "0.4", "0.1"), gray(), blur("0.0")}});
}

TEST(Recipe, MocoV2HasTheConstantsOfItsCode) {
  expect_recipe(
      "moco_v2", 224,
      {{crop("0.2", "bilinear"), jitter("0.4", "0.4", "0.4", "0.1"), gray(), blur("0.5"), flip()}});
  expect_recipe("moco_v2", 32,
                {{crop("0.08", "bilinear"), flip(), jitter("0.4", "0.4", "0.4", "0.1"), gray(),
                  blur("0.0")}});
}

TEST(Recipe, ByolHasTwoDifferentViews) {
  // arXiv:2006.07733, table 6
  const auto view = [](const std::string& blurred, const std::string& solarized) {
    return std::vector<Step>{
        crop("0.08", "bicubic"), flip(), jitter("0.4", "0.4", "0.2", "0.1"), gray(), blur(blurred),
        solarize(solarized)};
  };
  expect_recipe("byol", 224, {view("1.0", "0.0"), view("0.1", "0.2")});
  expect_recipe("byol", 32, {view("0.0", "0.0"), view("0.0", "0.2")});
}

TEST(Recipe, SimsiamIsMocoV2AndHasNoBlurWhenSmall) {
  // arXiv:2011.10566, appendix D
  expect_recipe(
      "simsiam", 224,
      {{crop("0.2", "bilinear"), jitter("0.4", "0.4", "0.4", "0.1"), gray(), blur("0.5"), flip()}});
  expect_recipe(
      "simsiam", 32,
      {{crop("0.2", "bilinear"), jitter("0.4", "0.4", "0.4", "0.1"), gray(), blur("0.0"), flip()}});
}

TEST(Recipe, MocoV1JittersEveryViewAfterItsGrayscale) {
  Step always = jitter("0.4", "0.4", "0.4", "0.4");
  always.settings["probability"] = "1.0";
  for (const std::int64_t size : {32, 224}) {
    expect_recipe("moco_v1", size, {{crop("0.2", "bilinear"), gray(), always, flip()}});
  }
}

TEST(Recipe, SwavHasTwoLargeAndSixSmallCrops) {
  // arXiv:2006.09882 and its main_swav.py
  const auto view = [](const std::string& low, const std::string& high) {
    return std::vector<Step>{crop(low, "bilinear", high), flip(),
                             jitter("0.8", "0.8", "0.8", "0.2"), gray(), blur("0.5")};
  };
  const RecipeConfig recipe("swav", 224);
  ASSERT_EQ(recipe.groups().size(), 2U);
  EXPECT_EQ(recipe.groups()[0].name, "large");
  EXPECT_EQ(recipe.groups()[0].views, 2);
  expect_group(recipe.groups()[0], 224, {view("0.14", "1.0")});
  EXPECT_EQ(recipe.groups()[1].name, "small");
  EXPECT_EQ(recipe.groups()[1].views, 6);
  expect_group(recipe.groups()[1], 96, {view("0.05", "0.14")});
}

TEST(Recipe, DinoHasTwoDifferentLargeAndEightSmallCrops) {
  // arXiv:2104.14294 and its main_dino.py
  const auto large = [](const std::string& blurred, const std::string& solarized) {
    return std::vector<Step>{
        crop("0.4", "bicubic"), flip(), jitter("0.4", "0.4", "0.2", "0.1"), gray(), blur(blurred),
        solarize(solarized)};
  };
  const RecipeConfig recipe("dino", 224);
  ASSERT_EQ(recipe.groups().size(), 2U);
  EXPECT_EQ(recipe.groups()[0].views, 2);
  expect_group(recipe.groups()[0], 224, {large("1.0", "0.0"), large("0.1", "0.2")});
  EXPECT_EQ(recipe.groups()[1].views, 8);
  expect_group(recipe.groups()[1], 96,
               {{crop("0.05", "bicubic", "0.4"), flip(), jitter("0.4", "0.4", "0.2", "0.1"), gray(),
                 blur("0.5")}});
}

TEST(Recipe, SpatialMovesPixelsAndAppearanceChangesThem) {
  // arXiv:2111.11398: the two halves of MoCo v2's views
  expect_recipe("spatial", 224, {{crop("0.2", "bilinear"), flip()}});
  expect_recipe("appearance", 224,
                {{jitter("0.4", "0.4", "0.4", "0.1"), gray(), blur("0.5"), {"center_crop", {}}}});
}

TEST(Recipe, NoneOnlyResizes) {
  expect_recipe("none", 224, {{{"center_crop", {}}}});
  expect_recipe("none", 32, {{{"center_crop", {}}}});
}

TEST(Recipe, SmallMeansUpTo64Pixels) {
  EXPECT_EQ(scale_of(1), ImageScale::kSmall);
  EXPECT_EQ(scale_of(64), ImageScale::kSmall);
  EXPECT_EQ(scale_of(65), ImageScale::kLarge);
}

TEST(Recipe, AnUnknownNameIsRefusedWithTheNearest) {
  try {
    const RecipeConfig recipe("simclr2", 32);
    FAIL() << "an unknown recipe was found";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "there is no view recipe \"simclr2\" (did you mean \"simclr\"?)");
  }
}

TEST(Recipe, TheTableListsEachRecipeWithASummary) {
  std::set<std::string_view> names;
  for (const auto& row : recipe_table()) {
    names.insert(row.name);
    EXPECT_FALSE(row.summary.empty());
  }
  EXPECT_EQ(names,
            (std::set<std::string_view>{"appearance", "byol", "dino", "moco_v1", "moco_v2", "none",
                                        "relicv2", "simclr", "simsiam", "spatial", "swav"}));
}

TEST(Recipe, OperationsCanBeAddedByName) {
  RecipeConfig recipe("dino+rotation+center_crop", 64);
  EXPECT_THROW(RecipeConfig("simclr+grayscale", 32), UsageError);  // it has that already
  ConfigSource source;
  source.set("small.rotation.degrees", "90", "--views.small.rotation.degrees");
  read_config(recipe, source);
  for (const auto& group : recipe.groups()) {
    for (const auto& steps : group.pipelines) {
      ASSERT_GE(steps.size(), 2U);
      EXPECT_EQ(steps[steps.size() - 2].op, "rotation");
      EXPECT_EQ(steps.back().op, "center_crop");
    }
  }
  const auto plan = make_view_plan(recipe, 0, 64);  // each crop is of the size of its group
  EXPECT_EQ(plan.groups[0].size, 64);
  EXPECT_EQ(plan.groups[1].size, 28);
  EXPECT_THROW(RecipeConfig("simclr+rotatoin", 32), UsageError);
  EXPECT_THROW(RecipeConfig("simclr+", 32), UsageError);
}

TEST(Recipe, SettingsAreReadUnderTheNamesOfTheirOperations) {
  ConfigSource source;
  source.set("color_jitter.brightness", "0.9", "--views.color_jitter.brightness");
  RecipeConfig symmetric("simclr", 32);
  read_config(symmetric, source);
  EXPECT_NE(print_config(symmetric).find("brightness = 0.9"), std::string::npos);

  ConfigSource second;
  second.set("view2.solarize.probability", "0.7", "--views.view2.solarize.probability");
  RecipeConfig asymmetric("byol", 32);
  read_config(asymmetric, second);
  const std::string text = print_config(asymmetric);
  EXPECT_NE(text.find("[view2.solarize]\nprobability = 0.7"), std::string::npos) << text;
  EXPECT_NE(text.find("[view1.solarize]\nprobability = 0.0"), std::string::npos) << text;
}

TEST(Recipe, SurvivesBeingPrintedAndRead) {
  for (const auto& row : recipe_table()) {
    for (const std::int64_t size : {32, 224}) {
      RecipeConfig recipe(row.name, size);
      ConfigSource source;
      source.add_toml_text(print_config(recipe), "printed");
      RecipeConfig read(row.name, size + 16);  // its size must be replaced
      read_config(read, source);
      EXPECT_EQ(print_config(read), print_config(recipe)) << row.name;
    }
  }
}

PipelineStep default_step(const std::string& op) {
  return {op, find_augmentation(op).config()};
}

Pipeline pipeline_of(const std::vector<std::string>& ops) {
  std::vector<PipelineStep> steps;
  for (const auto& op : ops) {
    steps.push_back(default_step(op));
  }
  return Pipeline(steps);
}

using Values = std::array<float, OpRecord::kMaxValues>;

std::map<std::uint16_t, Values> by_operation(const std::vector<OpRecord>& records) {
  std::map<std::uint16_t, Values> values;
  for (const auto& record : records) {
    values[record.op] = record.values;
  }
  return values;
}

TEST(Pipeline, WhatAnOperationDrawsDoesNotDependOnTheOthers) {
  const auto few = pipeline_of({"color_jitter", "rotation"});
  const auto many = pipeline_of({"rotation", "solarize", "color_jitter", "horizontal_flip"});
  for (std::uint32_t sample = 0; sample < 50; ++sample) {
    const RngKey key{.seed = 1, .stream = "view", .sample = sample};
    const auto a = by_operation(few.sample(key, {9, 9}));
    const auto b = by_operation(many.sample(key, {9, 9}));
    ASSERT_EQ(a.size(), 2U);
    ASSERT_EQ(b.size(), 4U);
    for (const auto& [op, values] : a) {
      EXPECT_EQ(values, b.at(op));
    }
  }
}

TEST(Pipeline, ARepeatedOperationDrawsAgain) {
  const auto twice = pipeline_of({"rotation", "rotation"});
  const auto records = twice.sample({.seed = 1}, {9, 9});
  EXPECT_NE(records.at(0).values, records.at(1).values);
}

TEST(Pipeline, DrawsForTheSizeThatTheOperationBeforeLeaves) {
  std::vector<PipelineStep> steps;
  steps.push_back(default_step("center_crop"));
  steps.push_back(default_step("random_resized_crop"));
  const Pipeline pipeline(steps);
  const auto records = pipeline.sample({.seed = 1}, {10, 20});
  EXPECT_EQ(records.at(1).values[4], 224.0F);  // source_height
  EXPECT_EQ(pipeline.size_after({10, 20}).height, 224);
}

TEST(Pipeline, NeedsOneRecordPerOperation) {
  const auto pipeline = pipeline_of({"rotation", "solarize"});
  const Image image(3, 3, 1);
  Canvas canvas;
  canvas.start(image);
  EXPECT_THROW(pipeline.apply(pipeline_of({"rotation"}).sample({}, {3, 3}), canvas),
               ContractViolation);
}

TEST(ViewPlan, ViewsOfAnotherSizeAreRefused) {
  RecipeConfig recipe("simclr", 32);
  ConfigSource source;
  source.set("random_resized_crop.size", "48", "test");
  read_config(recipe, source);
  EXPECT_THROW((void)make_view_plan(recipe, 2, 32), UsageError);
  EXPECT_EQ(make_view_plan(recipe, 2, 48).groups.front().size, 48);
}

TEST(ViewPlan, MultiCropMakesItsViewsGroupByGroup) {
  const RecipeConfig recipe("swav", 224);
  EXPECT_THROW((void)make_view_plan(recipe, 2, 224), UsageError);  // the recipe makes eight
  for (const std::int64_t views : {0, 8}) {
    const auto plan = make_view_plan(recipe, views, 224);
    EXPECT_EQ(plan.views_per_sample(), 8);
    const Image source = noise({90, 120}, 3, PixelType::kUint8);
    for (std::uint16_t view = 0; view < 8; ++view) {
      EXPECT_EQ(make_view(plan, source, {.view = view}).image.width(), view < 2 ? 224 : 96);
    }
    EXPECT_THROW((void)make_view(plan, source, {.view = 8}), ContractViolation);
  }
}

TEST(ViewPlan, ARecipeThatLeavesTheNumberOpenMakesAPair) {
  EXPECT_EQ(make_view_plan(RecipeConfig("byol", 32), 0, 32).views_per_sample(), 2);
}

TEST(ViewPlan, TheKeysOfAMultiCropRecipeStartWithItsGroup) {
  RecipeConfig recipe("dino", 32);
  ConfigSource source;
  source.set("small.views", "3", "test");
  source.set("small.random_resized_crop.scale_max", "0.3", "test");
  source.set("large.view2.solarize.probability", "0.5", "test");
  read_config(recipe, source);
  EXPECT_EQ(make_view_plan(recipe, 0, 32).views_per_sample(), 5);
}

// Each pixel the mean of smaller x smaller of them; those beyond the rim repeat it.
Image shrunk(const Image& image, int smaller) {
  const auto side = [smaller](int length) { return (length + smaller - 1) / smaller; };
  Image small(side(image.height()), side(image.width()), 1, PixelType::kFloat32);
  for (int y = 0; y < small.height(); ++y) {
    for (int x = 0; x < small.width(); ++x) {
      float sum = 0.0F;
      for (int i = 0; i < smaller * smaller; ++i) {
        const int row = std::min(image.height() - 1, y * smaller + i / smaller);
        const int column = std::min(image.width() - 1, x * smaller + i % smaller);
        sum += image.values<float>()[static_cast<std::size_t>(row * image.width() + column)];
      }
      small.values<float>()[static_cast<std::size_t>(y * small.width() + x)] =
          sum / static_cast<float>(smaller * smaller);
    }
  }
  return small;
}

TEST(ApplyView, TakesTheSamePartOfASmallerPicture) {
  const int height = 200;
  const int width = 301;
  Image source(height, width, 1, PixelType::kFloat32);
  for (int i = 0; i < height * width; ++i) {
    const int y = i / width;
    const int x = i % width;
    source.values<float>()[static_cast<std::size_t>(i)] =
        static_cast<float>(0.5 + 0.2 * std::sin(y / 21.0) + 0.2 * std::cos(x / 17.0));
  }
  std::set<int> seen;
  for (const std::string_view recipe : {"spatial", "none"}) {
    const auto plan = make_view_plan(RecipeConfig(recipe, 24), 1, 24);
    for (std::uint32_t sample = 0; sample < 40; ++sample) {
      std::vector<OpRecord> records(plan.ops_per_view());
      draw_view(plan, {.sample = sample}, {height, width}, records);
      const int smaller = view_reduction(plan, 0, {height, width}, records);
      EXPECT_TRUE(recipe == "spatial" || smaller == 1) << "sides would be rounded";
      seen.insert(smaller);
      Canvas canvas;
      apply_view(plan, 0, records, source, canvas);
      const Image expected = canvas.image();
      apply_view(plan, 0, records, shrunk(source, smaller), canvas);
      ASSERT_EQ(canvas.image().height(), 24);
      for (std::size_t i = 0; i < expected.value_count(); ++i) {
        EXPECT_NEAR(canvas.image().values<float>()[i], expected.values<float>()[i], 0.03)
            << recipe << " " << sample << " " << smaller;
      }
    }
  }
  EXPECT_TRUE(seen.contains(4) && seen.contains(8)) << "no view of these is shrunk so much";
}

TEST(ViewReduction, OfWholePicturesDividesTheirSides) {
  const auto plan = make_view_plan(RecipeConfig("none", 12), 1, 12);
  std::vector<OpRecord> records(plan.ops_per_view());
  EXPECT_EQ(view_reduction(plan, 0, {200, 304}, records), 8);
  EXPECT_EQ(view_reduction(plan, 0, {200, 300}, records), 4);
  EXPECT_EQ(view_reduction(plan, 0, {200, 301}, records), 1);
  EXPECT_EQ(view_reduction(plan, 0, {24, 304}, records), 2);
}

TEST(ViewReduction, IsOneWhereNothingIsShrunkFirst) {
  const auto plan = make_view_plan(RecipeConfig("appearance", 12), 1, 12);
  std::vector<OpRecord> records(plan.ops_per_view());
  draw_view(plan, {}, {12, 12}, records);
  EXPECT_EQ(view_reduction(plan, 0, {12, 12}, records), 1);
  const auto cropped = make_view_plan(RecipeConfig("simclr", 224), 1, 224);
  records.resize(cropped.ops_per_view());
  draw_view(cropped, {}, {300, 300}, records);
  EXPECT_EQ(view_reduction(cropped, 0, {300, 300}, records), 1);
}

TEST(MakeView, ParametersAreDrawnPerImageAndPerView) {
  const auto plan = make_view_plan(RecipeConfig("simclr", 16), 2, 16);
  std::set<Values> crops;
  for (std::uint32_t epoch = 0; epoch < 2; ++epoch) {
    for (std::uint32_t sample = 0; sample < 50; ++sample) {
      for (std::uint16_t view = 0; view < 2; ++view) {
        const RngKey key{
            .seed = 1, .stream = "view", .epoch = epoch, .sample = sample, .view = view};
        crops.insert(plan.pipeline_of(0).sample(key, {480, 640}).at(0).values);
      }
    }
  }
  EXPECT_EQ(crops.size(), 200U);  // of some 10^9 possible boxes: no two alike
}

TEST(MakeView, TheSameKeyMakesTheSameViewInAnyOrder) {
  const auto plan = make_view_plan(RecipeConfig("simclr", 16), 10, 16);
  const Image source = noise({24, 31}, 3, PixelType::kUint8);
  std::vector<Image> forward;
  std::vector<Image> backward;
  for (std::uint16_t i = 0; i < 10; ++i) {
    forward.push_back(make_view(plan, source, {.seed = 1, .view = i}).image);
    backward.push_back(
        make_view(plan, source, {.seed = 1, .view = static_cast<std::uint16_t>(9 - i)}).image);
  }
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(forward, backward);
  EXPECT_NE(forward[0], forward[1]);
}

TEST(MakeView, ViewsTakeTheirPipelinesInTurn) {
  const auto plan = make_view_plan(RecipeConfig("byol", 224), 4, 224);
  const Image source = noise({30, 30}, 3, PixelType::kUint8);
  for (std::uint32_t sample = 0; sample < 20; ++sample) {
    for (const std::uint16_t view : {std::uint16_t{0}, std::uint16_t{2}}) {
      // Only the first pipeline always blurs, and never solarises.
      const auto records = make_view(plan, source, {.sample = sample, .view = view}).records;
      EXPECT_EQ(records.at(4).values[0], 1.0F);
      EXPECT_EQ(records.at(5).values[0], 0.0F);
    }
  }
}

TEST(MakeView, NoneIsTheSameForEveryKey) {
  const auto plan = make_view_plan(RecipeConfig("none", 16), 2, 16);
  const Image source = noise({24, 31}, 3, PixelType::kUint8);
  EXPECT_EQ(make_view(plan, source, {.seed = 1}).image,
            make_view(plan, source, {.seed = 2, .epoch = 1, .sample = 5, .view = 1}).image);
  const Image square = noise({16, 16}, 3, PixelType::kUint8);
  EXPECT_EQ(make_view(plan, square, {}).image, square);
}

// All recipes, on every kind of image, at both scales.
TEST(MakeView, ItsRecordsMakeTheSameViewAgain) {
  for (const auto& row : recipe_table()) {
    for (const std::int64_t view_size : {16, 80}) {
      const auto plan = make_view_plan(RecipeConfig(row.name, view_size), 0, view_size);
      for (const auto size : {ImageSize{1, 1}, ImageSize{3, 50}, ImageSize{24, 31}}) {
        for (const int bands : {1, 3, 5}) {
          for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
            const Image source = noise(size, bands, type);
            const View view = make_view(plan, source, {.seed = 3, .view = 1});
            EXPECT_EQ(view.image.height(), view_size);
            EXPECT_EQ(view.image.width(), view_size);
            EXPECT_EQ(view.image.bands(), bands);
            Canvas canvas;
            canvas.start(source);
            plan.pipeline_of(1).apply(view.records, canvas);
            EXPECT_EQ(canvas.image(), view.image) << row.name;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace viewfold
