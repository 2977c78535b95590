// Implements alignment.
#include "viewfold/eval/alignment.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/data/subset.hpp"

namespace viewfold {
namespace {

constexpr const char* kRecipe = "simclr";

at::Tensor unit(const at::Tensor& rows) {
  return rows.div(at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, true).clamp_min(1e-12));
}

double mean_squared_distance(const at::Tensor& a, const at::Tensor& b) {
  return a.sub(b).square().sum(1).mean().item<double>();
}

}  // namespace

EvaluationResult measure_alignment(
    const std::function<at::Tensor(const Dataset& views)>& features_of,
    const std::shared_ptr<const Dataset>& images,
    const AlignmentSpec& spec) {
  check(images->size() >= 2, "alignment wants two images or more");
  const RecipeConfig recipe(kRecipe, spec.size);
  const auto plan = make_view_plan(recipe, 2, spec.size);
  const auto views = [&](std::uint16_t view) {
    const auto changed =
        make_changed(images, [&plan, &spec, view](const Image& image, std::size_t index) {
          return make_view(plan, image,
                           {.seed = spec.seed,
                            .stream = "alignment",
                            .sample = static_cast<std::uint32_t>(index),
                            .view = view})
              .image;
        });
    return unit(features_of(*changed).to(at::kDouble));
  };
  const auto first = views(0);
  const auto second = views(1);
  EvaluationResult result;
  result.numbers = {{"alignment", mean_squared_distance(first, second)},
                    {"distance_of_others", mean_squared_distance(first, second.roll(1, 0))}};
  result.protocol = fmt::format(
      "mean squared distance of the unit features of two views of each of {} test images "
      "(arXiv:2005.10242, alpha = 2), made by the recipe {} at {} px, and of views of different "
      "images",
      images->size(), kRecipe, spec.size);
  return result;
}

}  // namespace viewfold
