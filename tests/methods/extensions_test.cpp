// Tests of what is added to methods: Un-Mix, MixSiam, AugSelf, and how names are put together.
#include <cmath>

#include "methods/method_cases.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kSize = 16;
const StepContext kFirst{.step = 0, .total_steps = 10};

std::unique_ptr<Method> make_method(const std::string& name,
                                    const std::string& settings = "",
                                    const std::string& recipe_name = "") {
  const auto entry = find_method(name);
  const auto config = testing::small_config(entry, ImageScale::kSmall);
  ConfigSource source;
  source.add_toml_text(print_config(*config), "test");
  source.add_toml_text(settings, "test");
  read_config(*config, source);
  const RecipeConfig recipe(recipe_name.empty() ? entry.recipe : recipe_name, kSize);
  torch::manual_seed(1);
  return entry.make(
      *config, testing::test_context({.name = "resnet18", .width = 4, .stem = "cifar"}, recipe));
}

ViewBatch noise(const std::string& name) {
  return testing::noise_batch(find_method(name), {.samples = 8, .size = kSize});
}

// A batch that is its own reverse, with equal views.
ViewBatch palindrome(const std::string& name) {
  auto batch = noise(name);
  auto& views = batch.groups.front();
  const auto half = views.narrow(0, 0, batch.size() / 2);
  views =
      at::cat({half, half.flip(0)}).repeat({2, 1, 1, 1}).contiguous(at::MemoryFormat::ChannelsLast);
  return batch;
}

double loss_of(const std::string& name, const std::string& settings, const ViewBatch& batch) {
  torch::manual_seed(7);
  return make_method(name, settings)->training_step(batch, kFirst).loss.item<double>();
}

std::string message_of(const std::string& name) {
  try {
    (void)find_method(name);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(FindMethod, PutsExtensionsTogetherAndSaysWhatDoesNotFit) {
  EXPECT_EQ(find_method("simclr+un_mix+aug_self").name, "simclr+un_mix+aug_self");
  EXPECT_NE(message_of("simclr+un_mixx").find("un_mix"), std::string::npos);
  EXPECT_NE(message_of("simclr+un_mix+un_mix").find("twice"), std::string::npos);
  EXPECT_NE(message_of("simclr+").find("extension"), std::string::npos);
  EXPECT_NE(message_of("sparse_manifold+aug_self").find("gradients"), std::string::npos);
  for (const auto& entry : method_table()) {
    if (!entry.has_targets && !entry.closed_form) {
      const auto message = message_of(entry.name + "+un_mix");
      EXPECT_NE(message.find("targets"), std::string::npos) << entry.name;
      EXPECT_NE(message.find("moco_v2"), std::string::npos) << message;
    }
  }
}

TEST(ExtendedMethod, HasTheSettingsOfItsExtensionsUnderTheirNames) {
  const auto config = find_method("simclr+un_mix").config(ImageScale::kSmall);
  const auto text = print_config(*config);
  EXPECT_NE(text.find("temperature"), std::string::npos) << text;
  EXPECT_NE(text.find("[un_mix]"), std::string::npos) << text;
  EXPECT_NE(text.find("global_share"), std::string::npos) << text;
}

TEST(FindMethod, RefusesTargetsThatAreNoFeaturesOfTheImage) {
  for (const std::string extension : {"inter_clr", "mixsiam"}) {
    for (const std::string method : {"swav", "dino", "nnclr"}) {
      EXPECT_NE(message_of(method + "+" + extension).find("features of the image"),
                std::string::npos)
          << method;
    }
  }
  EXPECT_EQ(message_of("swav+un_mix"), "");
}

// Each term stands by itself: the method, its mixture of views, its mixture of images.
TEST(ExtendedMethod, AddsWhatItsExtensionsStandAt) {
  const auto known = make_method("simsiam+mixsiam+un_mix")->known_constants(8);
  EXPECT_NEAR(known.at(0).value, -3.0, 1e-12);
}

// What the extensions rely on: the sum of the directions is the loss.
TEST(EveryMethodWithTargets, LosesTheSumOfItsDirections) {
  for (const auto& entry : method_table()) {
    if (!entry.has_targets || entry.views == 0) {  // multi-crop methods have more terms
      continue;
    }
    const auto method = make_method(entry.name);
    const auto step = method->step(noise(entry.name), kFirst);
    ASSERT_EQ(step.targets.size(), 2U) << entry.name;
    double sum = 0.0;
    for (std::size_t v = 0; v < 2; ++v) {
      if (step.targets[v].defined()) {
        EXPECT_EQ(step.outputs[1 - v].size(1), method->output_dim()) << entry.name;
        sum += method->pair_loss(step.outputs[1 - v], step.targets[v], kFirst).item<double>();
      }
    }
    EXPECT_NEAR(step.output.loss.item<double>(), sum, 1e-5 * std::max(1.0, std::abs(sum)))
        << entry.name;
  }
}

TEST(EveryMethodWithTargets, MakesTheSameOutputsOfTheSameImages) {
  for (const auto& entry : method_table()) {
    if (!entry.has_targets) {
      continue;
    }
    const auto method = make_method(entry.name);
    method->module().eval();  // batch norm by its running statistics, whatever the batch
    const auto batch = noise(entry.name);
    const auto step = method->step(batch, kFirst);
    EXPECT_TRUE(method->outputs(batch.view(0)).allclose(step.outputs[0], 1e-4, 1e-4)) << entry.name;
  }
}

// A mixture of an image with itself is the image: the mixture's two terms are the loss once more.
TEST(UnMix, DoublesTheLossOfABatchThatIsItsOwnReverse) {
  for (const std::string name : {"moco_v2", "moco_v1", "byol", "simsiam", "simclr"}) {
    const auto batch = palindrome(name);
    const double alone = loss_of(name, "", batch);
    for (const std::string share : {"0.0", "1.0"}) {
      const double both = loss_of(name + "+un_mix", "[un_mix]\nglobal_share = " + share, batch);
      EXPECT_NEAR(both, 2.0 * alone, 1e-4 * std::max(1.0, std::abs(alone))) << name << share;
    }
  }
}

TEST(UnMix, StandsAtTwiceTheConstantOfItsMethod) {
  const auto known = make_method("moco_v1+un_mix", "queue_size = 4096")->known_constants(8);
  ASSERT_EQ(known.size(), 1U);
  EXPECT_NEAR(known[0].value, 16.64, 5e-3);
  const auto both =
      make_method("moco_v2+un_mix", "queue_size = 4096\nsymmetric = true")->known_constants(8);
  EXPECT_NEAR(both[0].value, 33.27, 5e-3);
}

TEST(UnMix, QueuesCleanKeysOnly) {
  const std::string settings = "queue_size = 64\nsymmetric = false";
  const auto alone = make_method("moco_v2", settings);
  const auto both = make_method("moco_v2+un_mix", settings);
  const auto batch = noise("moco_v2");
  const auto queue_after = [&batch](Method& method) {
    torch::manual_seed(3);
    (void)method.training_step(batch, kFirst);
    method.after_optimizer_step(kFirst);
    return method.module().named_buffers()["queue.rows"].clone();
  };
  EXPECT_TRUE(queue_after(*alone).equal(queue_after(*both)));
}

// With an even number of images, image i and its partner swap roles in the mixture with the rest of
// the share: swapping batch order and share leaves the loss.
TEST(UnMix, DoesNotCareWhichImageOfAPairComesFirst) {
  const auto method = make_method("byol");
  method->module().eval();
  const auto step = method->step(noise("byol"), kFirst);
  const auto& q = step.outputs[0];
  const auto& k = step.targets[1];
  EXPECT_NEAR(method->pair_loss(q.flip(0), k, kFirst).item<double>(),
              method->pair_loss(q, k.flip(0), kFirst).item<double>(), 5e-7 * 4);
}

TEST(MixSiam, DoublesTheLossOfEqualViews) {
  for (const std::string name : {"simsiam", "byol"}) {
    const auto batch = palindrome(name);
    const double alone = loss_of(name, "", batch);
    EXPECT_NEAR(loss_of(name + "+mixsiam", "", batch), 2.0 * alone, 1e-4) << name;
    EXPECT_NEAR(loss_of(name + "+mixsiam", "[mixsiam]\nweight = 0.5", batch), 1.5 * alone, 1e-4);
    EXPECT_NEAR(loss_of(name + "+mixsiam", "[mixsiam]\nweight = 0.0", batch), alone, 1e-6);
  }
}

TEST(MixSiam, TellsItsTargetsApart) {
  const auto batch = noise("simsiam");
  std::vector<double> losses;
  for (const std::string target : {"max", "mean", "first"}) {
    losses.push_back(loss_of("simsiam+mixsiam", "[mixsiam]\ntarget = \"" + target + "\"", batch));
  }
  EXPECT_GT(std::abs(losses[0] - losses[1]), 1e-4);
  EXPECT_GT(std::abs(losses[1] - losses[2]), 1e-4);
  EXPECT_GT(std::abs(losses[0] - losses[2]), 1e-4);
}

TEST(MixSiam, StandsAtTwiceTheMinimumOfItsMethod) {
  EXPECT_NEAR(make_method("simsiam+mixsiam")->known_constants(8).at(0).value, -2.0, 1e-12);
}

TEST(MixSiam, NeedsATargetOfBothViews) {
  const auto method = make_method("moco_v2+mixsiam", "symmetric = false\nqueue_size = 64");
  EXPECT_THROW((void)method->training_step(noise("moco_v2"), kFirst), UsageError);
}

TEST(AugSelf, WithoutWeightsIsTheMethodBitForBit) {
  const std::string off = "[aug_self]\ncrop = 0.0\ncolor = 0.0";
  const auto alone = make_method("simclr");
  const auto both = make_method("simclr+aug_self", off);
  EXPECT_EQ(alone->module().parameters().size(), both->module().parameters().size());
  const auto batch = noise("simclr");
  EXPECT_EQ(loss_of("simclr", "", batch), loss_of("simclr+aug_self", off, batch));
  EXPECT_EQ(both->known_constants(8).size(), 1U);
}

// It looks at features, before any head.
TEST(AugSelf, ReachesTheEncoderAndNoHead) {
  const auto batch = noise("simsiam");
  const auto gradients = [&batch](const std::string& name) {
    const auto method = make_method(name);
    method->training_step(batch, kFirst).loss.backward();
    std::map<std::string, at::Tensor> found;
    for (const auto& item : method->module().named_parameters()) {
      found[item.key()] = item.value().grad().clone();
    }
    return found;
  };
  const auto alone = gradients("simsiam");
  const auto both = gradients("simsiam+aug_self");
  EXPECT_GT(both.size(), alone.size());
  for (const auto& [name, gradient] : alone) {
    const bool equal = both.at(name).allclose(gradient, 1e-4, 1e-7);
    EXPECT_EQ(equal, !name.starts_with("encoder.")) << name;
  }
  EXPECT_TRUE(both.contains("aug_self.crop.layers.0.weight"));
  EXPECT_GT(both.at("aug_self.color.layers.0.weight").abs().max().item<double>(), 0.0);
}

TEST(AugSelf, AddsItsWeightedParts) {
  const auto batch = noise("byol");
  const auto method = make_method("byol+aug_self",
                                  "[aug_self]\ncrop = 0.5\ncolor = 2.0\nflip = 1.0\n"
                                  "solarize = 1.0");
  const auto output = method->training_step(batch, kFirst);
  const std::map<std::string, double> scalars(output.scalars.begin(), output.scalars.end());
  const double alone = loss_of("byol", "", batch);
  EXPECT_NEAR(output.loss.item<double>() - alone,
              0.5 * scalars.at("crop_loss") + 2.0 * scalars.at("color_loss") +
                  scalars.at("flip_loss") + scalars.at("solarize_loss"),
              1e-4);
  EXPECT_GT(scalars.at("crop_loss"), 0.0);
}

TEST(AugSelf, RefusesViewsWithoutWhatItIsToTellApart) {
  try {
    (void)make_method("simclr+aug_self", "", "spatial");
    FAIL() << "the recipe has no colours";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("method.aug_self.color"), std::string::npos)
        << error.what();
  }
  // Small images are not blurred, though their recipe could.
  EXPECT_THROW((void)make_method("simclr+aug_self", "[aug_self]\nblur = 1.0"), UsageError);
  EXPECT_NO_THROW((void)make_method("simclr+aug_self", "[aug_self]\ncolor = 0.0", "spatial"));
}

}  // namespace
}  // namespace viewfold
