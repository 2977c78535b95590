// Named view recipes: ordered lists of operations with their settings, and the plan of views a
// method wants.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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

/// Views of one size within a recipe: view i of the group is made by pipelines[i %
/// pipelines.size()].
struct RecipeGroup {
  std::string name;        // "" where the recipe has only one group
  std::int64_t views = 0;  // 0: as many as the method wants
  std::vector<std::vector<PipelineStep>> pipelines;
};

/// A recipe with its settings. A symmetric group has one pipeline for all views (keys
/// "<op>.<field>"); an asymmetric one has one per view (keys "view1.<op>.<field>",
/// "view2.<op>.<field>"). In a multi-crop recipe the name of the group stands before them
/// ("small.<op>.<field>"), and "<group>.views" is the number of its views.
class RecipeConfig final : public Config {
 public:
  /// The recipe called `name` (see recipe_table()) at its defaults for views of size x size pixels.
  /// "name+op+op" adds operations of augmentation_table() at the end of all its pipelines, with
  /// their own defaults. Throws UsageError with the nearest known name.
  RecipeConfig(std::string_view name, std::int64_t view_size);

  void visit(FieldVisitor& v) override;

  [[nodiscard]] const std::vector<RecipeGroup>& groups() const { return groups_; }

 private:
  std::vector<RecipeGroup> groups_;
};

/// Whether a pipeline of the recipe has the operation `op`.
[[nodiscard]] bool has_operation(const RecipeConfig& recipe, std::string_view op);

/// The largest value that a setting (of type number) of an operation has in any pipeline of the
/// recipe; nothing where no pipeline has it.
[[nodiscard]] std::optional<double> largest_setting(const RecipeConfig& recipe,
                                                    std::string_view op,
                                                    std::string_view field);

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

  /// The same into memory of the caller: one record per operation.
  void sample(RngKey key, ImageSize size, std::span<OpRecord> records) const;

  /// Applies drawn parameters to the current picture of `canvas`, in order.
  void apply(std::span<const OpRecord> records, Canvas& canvas) const;

  [[nodiscard]] std::span<const std::string> op_names() const { return names_; }
  [[nodiscard]] std::span<const std::unique_ptr<Augmentation>> ops() const { return ops_; }

 private:
  std::vector<std::string> names_;
  std::vector<std::uint16_t> ids_;  // op fields of the keys
  std::vector<std::unique_ptr<Augmentation>> ops_;
};

/// Views of one size within a plan: view i of the group is made by pipelines[i %
/// pipelines.size()].
struct ViewGroup {
  std::int64_t views = 2;  // of each sample
  std::int64_t size = 32;  // height and width of a view in pixels
  std::vector<Pipeline> pipelines;
};

/// States which views of a sample are made: those of the first group, then those of the second, ...
struct ViewPlan {
  std::vector<ViewGroup> groups;

  [[nodiscard]] std::int64_t views_per_sample() const;

  /// What makes view `view` of a sample. Throws ContractViolation when there is no such view.
  [[nodiscard]] const Pipeline& pipeline_of(std::int64_t view) const;

  /// Height and width of view `view` of a sample. Throws ContractViolation when there is none.
  [[nodiscard]] std::int64_t size_of(std::int64_t view) const;

  /// Operations of the longest pipeline: room for the records of any view.
  [[nodiscard]] std::size_t ops_per_view() const;
};

/// The plan of `views_per_sample` views made by `recipe`; 0 takes as many as the recipe makes, and
/// 2 where it leaves that open. Throws UsageError when a multi-crop recipe makes another number,
/// when the views of the first group are not of view_size x view_size pixels, or when those of one
/// group differ in size.
[[nodiscard]] ViewPlan make_view_plan(const RecipeConfig& recipe,
                                      std::int64_t views_per_sample,
                                      std::int64_t view_size);

/// Draws the parameters of view `key.view` of a picture of this size (seed, stream, epoch, sample
/// and view come from `key`): plan.ops_per_view() of them, or as many as its pipeline needs. Those
/// that it does not need have no values.
void draw_view(const ViewPlan& plan,
               const RngKey& key,
               ImageSize size,
               std::span<OpRecord> records);

/// Draws the parameters of all views of a sample, in the order of the views: room for
/// plan.ops_per_view() of each. `key.view` is 0.
void draw_views(const ViewPlan& plan, RngKey key, ImageSize size, std::span<OpRecord> records);

/// How many times smaller (1, 2, 4 or 8) than `size` the picture may be that apply_view() makes
/// this view of, because it is shrunk anyway.
[[nodiscard]] int view_reduction(const ViewPlan& plan,
                                 std::int64_t view,
                                 ImageSize size,
                                 std::span<const OpRecord> records);

/// Makes view `view` of `source` the current picture of `canvas`, as it was drawn. Allocates
/// nothing once `canvas` has made views of this size.
void apply_view(const ViewPlan& plan,
                std::int64_t view,
                std::span<const OpRecord> records,
                const Image& source,
                Canvas& canvas);

/// One finished view with the parameters that made it.
struct View {
  Image image;
  std::vector<OpRecord> records;
  bool is_learned = false;  // made of another image than its sample's own
};

/// Makes view `key.view` of `source` (seed, stream, epoch, sample and view come from `key`).
[[nodiscard]] View make_view(const ViewPlan& plan, const Image& source, const RngKey& key);

/// The same without memory of its own: draw_view() and apply_view().
void make_view(const ViewPlan& plan,
               const Image& source,
               const RngKey& key,
               Canvas& canvas,
               std::span<OpRecord> records);

}  // namespace viewfold
