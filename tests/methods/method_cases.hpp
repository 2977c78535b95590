// Methods, settings and batches for the tests that run over whole tables.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/normal_tensor.hpp"

#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/config.hpp"
#include "viewfold/methods/extension.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/tensor/view_batch.hpp"

namespace viewfold::testing {

/// Every method, and every extension with the first method that it goes with.
inline std::vector<MethodEntry> all_methods() {
  std::vector<MethodEntry> entries;
  for (const auto& entry : method_table()) {
    entries.push_back(entry);
  }
  for (const auto& extension : extension_table()) {
    for (const auto& entry : method_table()) {
      const bool has_embeddings = entry.has_targets && entry.targets_are_embeddings;
      if (!entry.closed_form && (entry.has_targets || !extension.needs_targets) &&
          (has_embeddings || !extension.needs_embeddings)) {
        entries.push_back(find_method(entry.name + "+" + std::string(extension.name)));
        break;
      }
    }
  }
  for (const auto* name :
       {"moco_v2+un_mix", "simsiam+mixsiam", "moco_v2+aug_self", "simclr+un_mix+aug_self"}) {
    entries.push_back(find_method(name));
  }
  return entries;
}

/// Makes heads small: fields called ..._dim, prototypes and clusters are at most `kWidest`.
class HeadShrinker final : public FieldVisitor {
 public:
  void field(std::string_view /*name*/, bool& /*value*/, const FieldSpec& /*spec*/) override {}
  void field(std::string_view name, std::int64_t& value, const FieldSpec& /*spec*/) override {
    constexpr std::int64_t kWidest = 32;
    if (name.ends_with("_dim") || name == "prototypes") {
      value = std::min(value, kWidest);
    } else if (name == "clusters") {
      value = 4;
    }
  }
  void field(std::string_view /*name*/, double& /*value*/, const FieldSpec& /*spec*/) override {}
  void field(std::string_view /*name*/,
             std::string& /*value*/,
             const FieldSpec& /*spec*/) override {}
  void field(std::string_view /*name*/,
             std::vector<std::int64_t>& /*value*/,
             const FieldSpec& /*spec*/) override {}
  void enter(std::string_view /*group*/) override {}
  void leave() override {}
};

/// The settings of a method at a scale, with small heads.
inline std::unique_ptr<Config> small_config(const MethodEntry& entry, ImageScale scale) {
  auto config = entry.config(scale);
  HeadShrinker shrinker;
  config->visit(shrinker);
  return config;
}

/// Which part of which batch.
struct BatchSpec {
  std::int64_t samples = 8;  // of the whole batch
  std::int64_t size = 32;    // of the views, or of the large ones
  std::uint64_t seed = 1;
  at::ScalarType type = at::kFloat;
  int part = 0;  // of `parts` equal ones, in order
  int parts = 1;
};

/// Normal noise as the views of a method's own recipe, with drawn parameters.
inline ViewBatch noise_batch(const MethodEntry& entry, const BatchSpec& spec) {
  const RecipeConfig recipe(entry.recipe, spec.size);
  const ViewPlan plan = make_view_plan(recipe, entry.views, spec.size);
  const auto n = spec.samples / spec.parts;
  const auto first = spec.part * n;
  ViewBatch batch;
  batch.ops_per_view = plan.ops_per_view();
  std::uint16_t view = 0;
  for (const auto& group : plan.groups) {
    std::vector<at::Tensor> views;
    for (std::int64_t v = 0; v < group.views; ++v, ++view) {
      views.push_back(normal_tensor({spec.samples, 3, group.size, group.size},
                                    100 * spec.seed + view, spec.type)
                          .narrow(0, first, n));
      for (std::int64_t i = 0; i < n; ++i) {
        std::vector<OpRecord> records(plan.ops_per_view());
        draw_view(plan,
                  {.seed = spec.seed,
                   .stream = "view",
                   .sample = static_cast<std::uint32_t>(first + i),
                   .view = view},
                  {40, 48}, records);
        batch.records.insert(batch.records.end(), records.begin(), records.end());
      }
    }
    batch.groups.push_back(at::cat(views).contiguous(at::MemoryFormat::ChannelsLast));
  }
  for (std::int64_t i = 0; i < n; ++i) {
    batch.indices.push_back(static_cast<std::uint32_t>(first + i));
  }
  return batch;
}

/// What every method of these tests is built from besides its settings and encoder.
inline MethodContext test_context(const EncoderSpec& encoder,
                                  const RecipeConfig& recipe,
                                  std::uint64_t seed = 1) {
  constexpr std::int64_t kSamples = 64;
  constexpr std::int64_t kClasses = 3;
  return {.encoder = encoder,
          .seed = seed,
          .samples = kSamples,
          .recipe = &recipe,
          .labels = at::arange(kSamples, at::kLong).remainder(kClasses),
          .classes = kClasses};
}

}  // namespace viewfold::testing
