// Named view recipes: ordered lists of operations with their settings, and the plan of views a
// method wants.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "viewfold/augment/augmentation.hpp"
#include "viewfold/core/config.hpp"

namespace viewfold {

/// Which of a recipe's two variants is meant: the paper's own for photographs (224 px), or the one
/// for images of at most 64 px (no blur, CIFAR strengths).
enum class ImageScale { kSmall, kLarge };

/// Views of at most this many pixels a side use the small-image variants.
inline constexpr std::int64_t kSmallImageLimit = 64;

[[nodiscard]] ImageScale scale_of(std::int64_t view_size);

/// One operation of a pipeline: its name and its settings.
struct PipelineStep {
  std::string op;
  std::unique_ptr<Config> config;
};

/// A recipe with its settings. A symmetric recipe has one pipeline for all views (keys
/// "<op>.<field>"); an asymmetric one has one per view (keys "view1.<op>.<field>",
/// "view2.<op>.<field>").
class RecipeConfig final : public Config {
 public:
  /// The recipe called `name` ("simclr", "moco_v2", "byol", "simsiam", "none") at its defaults for
  /// views of size x size pixels. Throws UsageError with the nearest known name.
  RecipeConfig(std::string_view name, std::int64_t view_size);

  void visit(FieldVisitor& v) override;

  [[nodiscard]] const std::vector<std::vector<PipelineStep>>& pipelines() const {
    return pipelines_;
  }

 private:
  std::vector<std::vector<PipelineStep>> pipelines_;
};

/// Names and one-line summaries (with the source) of all recipes.
struct RecipeSummary {
  std::string_view name;
  std::string_view summary;
};
[[nodiscard]] std::span<const RecipeSummary> recipe_table();

/// An executable pipeline: the operations of one view in their order.
class Pipeline {
 public:
  explicit Pipeline(const std::vector<PipelineStep>& steps);

  /// The size of a view made from an image of this size.
  [[nodiscard]] ImageSize size_after(ImageSize size) const;

  /// Draws all parameters of one view. The op field of `key` is set by this function, so that
  /// adding an operation does not change what another one draws.
  [[nodiscard]] std::vector<OpRecord> sample(RngKey key, ImageSize size) const;

  /// Applies drawn parameters, in order.
  void apply(std::span<const OpRecord> records, Image& image) const;

  [[nodiscard]] std::span<const std::string> op_names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<Augmentation>> ops_;
};

/// States which views a method wants: view i of a sample is made by pipelines[i %
/// pipelines.size()].
struct ViewPlan {
  std::int64_t views_per_sample = 2;
  std::int64_t view_size = 32;  // height and width in pixels
  std::vector<Pipeline> pipelines;
};

/// The plan of `views_per_sample` views made by `recipe`. Throws UsageError when a pipeline makes
/// views of another size.
[[nodiscard]] ViewPlan make_view_plan(const RecipeConfig& recipe,
                                      std::int64_t views_per_sample,
                                      std::int64_t view_size);

/// One finished view with the parameters that made it.
struct View {
  Image image;
  std::vector<OpRecord> records;
};

/// Makes view `key.view` of `source` (seed, stream, epoch, sample and view come from `key`).
[[nodiscard]] View make_view(const ViewPlan& plan, const Image& source, const RngKey& key);

}  // namespace viewfold
