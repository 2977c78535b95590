// AugSelf (Lee et al., arXiv:2111.09613): features of two views tell how differently they were
// made, so that they keep what the method would have them ignore.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/extension.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/view_differences.hpp"

namespace viewfold::extensions {
namespace {

struct AugSelfConfig final : Config {
  // Weights 1 (STL-10) at small images and 0.5 (ImageNet-100) at large: the authors' README.
  explicit AugSelfConfig(ImageScale scale)
      : crop(scale == ImageScale::kSmall ? 1.0 : 0.5),
        color(crop) {}

  double crop;
  double color;
  double flip = 0.0;
  double blur = 0.0;
  double solarize = 0.0;
  std::int64_t hidden_dim = 512;  // the authors' code

  void visit(FieldVisitor& v) override {
    const auto weight = [&v](std::string_view name, double& value, std::string_view doc) {
      v.field(name, value, {.doc = doc, .min = 0, .max = 100});
    };
    weight("crop", crop, "weight of where and how large the crops are; 0 leaves it out");
    weight("color", color, "weight of the strengths of the colour jitter");
    weight("flip", flip, "weight of whether both views are mirrored alike");
    weight("blur", blur, "weight of the width of the blur");
    weight("solarize", solarize, "weight of the threshold of the inversion");
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the two hidden layers of each predictor", .min = 1, .max = 65536});
  }
};

// A colour jitter of strength s draws its factors from 1 - s .. 1 + s, at least 0.
double factor_range(double strength) {
  return strength + std::min(strength, 1.0);
}

JitterRanges jitter_ranges(const RecipeConfig& recipe) {
  const auto strength = [&recipe](std::string_view field) {
    return largest_setting(recipe, "color_jitter", field).value_or(0.0);
  };
  return {.brightness = factor_range(strength("brightness")),
          .contrast = factor_range(strength("contrast")),
          .saturation = factor_range(strength("saturation")),
          .hue = 2.0 * strength("hue")};
}

// One kind of difference, with what predicts it.
struct Part {
  std::string name;
  double weight = 0.0;
  std::shared_ptr<Mlp> predictor = nullptr;
  std::function<at::Tensor(const ViewBatch&)> target;
  bool is_flag = false;  // a probability, else values in [-1, 1]
};

class AugSelf final : public Extension {
 public:
  AugSelf(const AugSelfConfig& config, const ExtensionContext& context) {
    if (context.recipe == nullptr) {
      throw ContractViolation("aug_self is built without the recipe of the views");
    }
    const RecipeConfig& recipe = *context.recipe;
    const std::int64_t in = 2 * context.method.encoder().feature_dim();
    const auto add = [&](Part part, double weight, std::string_view op, std::int64_t out) {
      if (weight == 0.0) {
        return;
      }
      if (!has_operation(recipe, op) || largest_setting(recipe, op, "probability") == 0.0) {
        throw UsageError(
            fmt::format("aug_self is to tell {} apart, and the views are made without "
                        "{} (set method.aug_self.{} to 0 or take another recipe)",
                        part.name, op, part.name));
      }
      part.weight = weight;
      part.predictor = std::make_shared<Mlp>(
          MlpSpec{.in = in, .widths = {config.hidden_dim, config.hidden_dim, out}});
      predictors_->register_module(part.name, part.predictor);
      parts_.push_back(std::move(part));
    };
    add({.name = "crop", .target = crop_differences}, config.crop, "random_resized_crop", 4);
    add({.name = "color",
         .target =
             [ranges = jitter_ranges(recipe)](const ViewBatch& batch) {
               auto applied = ranges;
               if (batch.groups.front().size(1) != 3) {  // drawn, and not applied
                 applied.saturation = 0.0;
                 applied.hue = 0.0;
               }
               return color_differences(batch, applied);
             }},
        config.color, "color_jitter", 4);
    add({.name = "flip", .target = equal_flips, .is_flag = true}, config.flip, "horizontal_flip",
        1);
    const double sigma = largest_setting(recipe, "gaussian_blur", "sigma_max").value_or(1.0);
    add({.name = "blur",
         .target = [sigma](const ViewBatch& batch) { return blur_differences(batch, sigma); }},
        config.blur, "gaussian_blur", 1);
    const double threshold = largest_setting(recipe, "solarize", "threshold").value_or(1.0);
    add({.name = "solarize",
         .target = [threshold](
                       const ViewBatch& batch) { return solarize_differences(batch, threshold); }},
        config.solarize, "solarize", 1);
  }

  void extend(MethodStep& step, const ViewBatch& batch, const StepContext& /*context*/) override {
    if (step.features.size() != 2) {
      throw UsageError("aug_self needs the features of two views, and this method tells none");
    }
    // Both orders, as the authors' code.
    const auto& y = step.features;
    const auto pairs = at::cat({at::cat({y[0], y[1]}, 1), at::cat({y[1], y[0]}, 1)});  // [2N, 2D]
    for (const auto& part : parts_) {
      const auto loss = loss_of(part, pairs, batch);
      step.output.scalars.emplace_back(part.name + "_loss", loss.item<double>());
      step.output.loss = step.output.loss.add(loss.mul(part.weight));
    }
  }

  std::shared_ptr<torch::nn::Module> module() override { return predictors_; }

  // What the predictors lose when features tell nothing is not known.
  [[nodiscard]] std::optional<double> at_standstill(double /*own*/, double so_far) const override {
    return parts_.empty() ? std::optional(so_far) : std::nullopt;
  }

 private:
  static at::Tensor loss_of(const Part& part, const at::Tensor& pairs, const ViewBatch& batch) {
    const auto predicted = part.predictor->forward(pairs);  // [2N, d]
    const FullPrecision full_precision;
    const auto wide = predicted.scalar_type() == at::kDouble ? predicted : predicted.to(at::kFloat);
    const auto target = part.target(batch).to(wide.scalar_type());
    return part.is_flag ? at::binary_cross_entropy_with_logits(wide, target)
                        : at::mse_loss(wide.tanh(), target);
  }

  std::shared_ptr<torch::nn::Module> predictors_ = std::make_shared<torch::nn::Module>();
  std::vector<Part> parts_;
};

}  // namespace

ExtensionEntry aug_self_entry() {
  return extension_entry<AugSelf, AugSelfConfig>(
      {.name = "aug_self",
       .paper = "arXiv:2111.09613",
       .summary = "features of two views tell how differently the views were made"});
}

}  // namespace viewfold::extensions
