// What holds for every method: run over the whole table, at both image scales.
#include <cmath>
#include <set>

#include "methods/method_cases.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/config.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/state.hpp"
#include "viewfold/train/optimizer.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kBatch = 8;
constexpr std::int64_t kSize = 32;

struct Case {
  MethodEntry entry;
  ImageScale scale;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& entry : testing::all_methods()) {
    cases.push_back({entry, ImageScale::kSmall});
    cases.push_back({entry, ImageScale::kLarge});
  }
  return cases;
}

std::string name_of(const Case& c) {
  return c.entry.name + (c.scale == ImageScale::kSmall ? " small" : " large");
}

std::unique_ptr<Method> make_method(const Case& c, std::uint64_t seed = 1) {
  torch::manual_seed(seed);
  const std::string stem = c.scale == ImageScale::kSmall ? "cifar" : "imagenet";
  const RecipeConfig recipe(c.entry.recipe, kSize);
  return c.entry.make(
      *testing::small_config(c.entry, c.scale),
      testing::test_context(
          {.name = std::string(c.entry.encoder), .width = 4, .stem = stem, .input_size = kSize},
          recipe, seed));
}

ViewBatch make_batch(const MethodEntry& entry, std::uint64_t seed = 1) {
  return testing::noise_batch(entry, {.samples = kBatch, .size = kSize, .seed = seed});
}

// One step as the loop takes it.
double step(Method& method, Optimizer& optimizer, const MethodEntry& entry, std::int64_t index) {
  torch::manual_seed(static_cast<std::uint64_t>(index));
  const StepContext context{.step = index, .total_steps = 10};
  optimizer.zero_grad();
  auto output = method.training_step(make_batch(entry, static_cast<std::uint64_t>(index)), context);
  EXPECT_NE(output.loss.requires_grad(), entry.closed_form) << entry.name;
  if (!entry.closed_form) {
    output.loss.backward();
  }
  optimizer.step(0.1, 0.1);
  method.after_optimizer_step(context);
  return output.loss.item<double>();
}

TrainConfig train_config(const Case& c) {
  TrainConfig config;
  c.entry.train_defaults(c.scale, config);
  return config;
}

void expect_same_bits(Method& a, Method& b, const std::string& name) {
  const auto left = module_state(a.module());
  const auto right = module_state(b.module());
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(left[i].tensor.equal(right[i].tensor)) << name << " " << left[i].name;
  }
}

TEST(EveryMethod, HasAFiniteLossAndADetachedEmbedding) {
  for (const auto& c : all_cases()) {
    const auto method = make_method(c);
    const auto output = method->training_step(make_batch(c.entry), {.step = 0, .total_steps = 10});
    EXPECT_EQ(output.loss.dim(), 0) << name_of(c);
    EXPECT_EQ(output.loss.scalar_type(), at::kFloat) << name_of(c);
    EXPECT_TRUE(output.loss.isfinite().item<bool>()) << name_of(c);
    EXPECT_EQ(output.embedding.dim(), 2) << name_of(c);
    EXPECT_EQ(output.embedding.size(0), kBatch) << name_of(c);
    EXPECT_FALSE(output.embedding.requires_grad()) << name_of(c);
  }
}

TEST(EveryMethod, SendsAGradientToEveryTrainableParameterAndNowhereElse) {
  for (const auto& c : all_cases()) {
    const auto method = make_method(c);
    if (c.entry.closed_form) {
      for (const auto& parameter : method->module().parameters()) {
        EXPECT_FALSE(parameter.requires_grad()) << name_of(c);
      }
      continue;
    }
    const auto batch = make_batch(c.entry);
    method->training_step(batch, {.step = 0, .total_steps = 10}).loss.backward();
    for (const auto& item : method->module().named_parameters()) {
      const auto& gradient = item.value().grad();
      EXPECT_EQ(gradient.defined(), item.value().requires_grad()) << name_of(c) << item.key();
      if (gradient.defined()) {
        EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << name_of(c) << " " << item.key();
        EXPECT_GT(gradient.abs().max().item<double>(), 0.0) << name_of(c) << " " << item.key();
      }
    }
    EXPECT_FALSE(batch.groups.front().grad().defined()) << name_of(c);
    for (const auto& parameter : method->encoder().parameters()) {
      EXPECT_TRUE(parameter.requires_grad())
          << name_of(c) << " keeps a network that is not trained";
    }
  }
}

TEST(EveryMethod, TakesTheSameStepsForTheSameSeed) {
  for (const auto& c : all_cases()) {
    const auto a = make_method(c);
    const auto b = make_method(c);
    Optimizer optimizer_a(*a, train_config(c));
    Optimizer optimizer_b(*b, train_config(c));
    for (std::int64_t i = 0; i < 2; ++i) {
      EXPECT_EQ(step(*a, optimizer_a, c.entry, i), step(*b, optimizer_b, c.entry, i)) << name_of(c);
    }
    expect_same_bits(*a, *b, name_of(c));
    const auto other = make_method(c, 2);
    EXPECT_FALSE(other->encoder().parameters()[0].equal(a->encoder().parameters()[0]));
  }
}

TEST(EveryMethod, GoesOnFromItsSavedStateAsIfItHadNeverStopped) {
  for (const auto& c : all_cases()) {
    const auto whole = make_method(c);
    Optimizer optimizer(*whole, train_config(c));
    (void)step(*whole, optimizer, c.entry, 0);
    (void)step(*whole, optimizer, c.entry, 1);
    const auto bytes = write_safetensors(module_state(whole->module()), {});
    const auto resumed = make_method(c, 9);
    Optimizer resumed_optimizer(*resumed, train_config(c));
    load_module_state(resumed->module(), parse_safetensors(bytes, "state"));
    resumed_optimizer.load_state(optimizer.state());
    EXPECT_EQ(step(*whole, optimizer, c.entry, 2), step(*resumed, resumed_optimizer, c.entry, 2))
        << name_of(c);
    expect_same_bits(*whole, *resumed, name_of(c));
  }
}

TEST(EveryMethod, HasSettingsThatSurviveToml) {
  for (const auto& c : all_cases()) {
    const auto config = c.entry.config(c.scale);
    const std::string text = print_config(*config);
    ConfigSource source;
    source.add_toml_text(text, "printed");
    // Read into the settings of the other scale: every value must come from the text.
    const auto other =
        c.entry.config(c.scale == ImageScale::kSmall ? ImageScale::kLarge : ImageScale::kSmall);
    read_config(*other, source);
    EXPECT_EQ(print_config(*other), text) << name_of(c);
    for (const auto& field : describe_config(*config)) {
      EXPECT_FALSE(field.doc.empty()) << name_of(c) << " " << field.key;
    }
    auto train = train_config(c);
    ConfigSource train_source;
    train_source.add_toml_text(print_config(train), "printed");
    EXPECT_NO_THROW(read_config(train, train_source)) << name_of(c);
  }
}

TEST(EveryMethod, NamesAKnownRecipeAPaperAndASummary) {
  std::set<std::string_view> recipes;
  for (const auto& recipe : recipe_table()) {
    recipes.insert(recipe.name);
  }
  std::set<std::string_view> names;
  for (const auto& entry : method_table()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_TRUE(recipes.contains(entry.recipe)) << entry.name << " wants " << entry.recipe;
    EXPECT_FALSE(entry.paper.empty()) << entry.name;
    EXPECT_FALSE(entry.summary.empty()) << entry.name;
    EXPECT_EQ(find_method(entry.name).name, entry.name);
  }
}

TEST(EveryMethod, HasFiniteConstantsWithCauses) {
  for (const auto& c : all_cases()) {
    for (const auto& constant : make_method(c)->known_constants(kBatch)) {
      EXPECT_TRUE(std::isfinite(constant.value)) << name_of(c) << " " << constant.name;
      EXPECT_FALSE(constant.name.empty()) << name_of(c);
      EXPECT_NE(constant.cause.find("likely"), std::string::npos) << name_of(c);
    }
  }
}

TEST(EveryMethod, HasTheSameLossInBfloat16WithinItsPrecision) {
  for (const auto& c : all_cases()) {
    const auto loss_in = [&c](bool bf16) {
      const auto method = make_method(c);
      StepOutput output;
      {
        const AutocastGuard autocast(bf16);
        output = method->training_step(make_batch(c.entry), {.step = 0, .total_steps = 10});
      }
      EXPECT_EQ(output.loss.scalar_type(), at::kFloat) << name_of(c);
      if (!c.entry.closed_form) {
        output.loss.backward();
      }
      for (const auto& parameter : method->module().parameters()) {
        if (parameter.requires_grad()) {
          EXPECT_EQ(parameter.grad().scalar_type(), at::kFloat) << name_of(c);
        }
      }
      return output.loss.item<double>();
    };
    // 8 bits through some twenty layers; losses lie between -1 and 20.
    const double exact = loss_in(false);
    EXPECT_NEAR(loss_in(true), exact, 0.05 * (1.0 + std::abs(exact))) << name_of(c);
  }
}

TEST(FindMethod, NamesTheNearestOfAnUnknownName) {
  try {
    (void)find_method("simsian");
    FAIL() << "there is no simsian";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("simsiam"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace viewfold
