// Weighted k-nearest-neighbour classification of frozen features.
#include <algorithm>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/eval/detail/labels.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/index/neighbours.hpp"

namespace viewfold::eval {
namespace {

/// Constants of the kNN monitor in the CIFAR demo of facebookresearch/moco.
struct KnnConfig final : Config {
  std::int64_t k = 200;
  double temperature = 0.1;

  void visit(FieldVisitor& v) override {
    v.field("k", k, {.doc = "neighbours that vote", .min = 1, .max = 100000});
    v.field(
        "temperature", temperature,
        {.doc = "a neighbour's vote weighs exp(cosine / temperature)", .min = 0.01, .max = 100});
  }
};

// score_c = sum over the k nearest j of exp(cos_j / T) [y_j = c]; returns the best class, [Q]
// int64.
at::Tensor vote(const Neighbours& found,
                const at::Tensor& labels,
                std::int64_t classes,
                double temperature) {
  const auto label = labels.index({found.index});  // [Q, k]
  // Double, and relative to the nearest: exp(1 / 0.01) is beyond float, and so are small
  // differences.
  const auto cosine = found.similarity.to(at::kDouble);
  const auto weight = cosine.sub(cosine.narrow(1, 0, 1)).div_(temperature).exp_();
  const auto score = at::zeros({label.size(0), classes}, cosine.options())
                         .scatter_add_(1, label, weight);  // [Q, C]
  return score.argmax(1);
}

EvaluationResult run(const EvaluationInput& input, const Config& config) {
  const auto& settings = dynamic_cast<const KnnConfig&>(config);
  const auto classes = check_labelled(input);
  const std::int64_t bank = input.train.features.size(0);
  const std::int64_t k = std::min(settings.k, bank);
  const auto found = nearest_by_cosine(input.train.features, input.test.features, k);
  const auto predicted = vote(found, input.train.labels, classes, settings.temperature);
  auto result = compare_labels(input.test.labels, predicted, classes);
  result.protocol = fmt::format(
      "kNN on frozen features: cosine, k = {}{}, votes weighted exp(cos / {}), bank of {} training "
      "images, {} test images",
      k, k < settings.k ? fmt::format(" (the whole bank; {} asked for)", settings.k) : "",
      settings.temperature, bank, input.test.features.size(0));
  return result;
}

}  // namespace

EvaluationEntry knn_entry() {
  return {.name = "knn",
          .summary =
              "weighted k-nearest-neighbour accuracy, k 200, T 0.1 (CIFAR demo of MoCo, "
              "facebookresearch/moco)",
          .config = []() -> std::unique_ptr<Config> { return std::make_unique<KnnConfig>(); },
          .run = run};
}

}  // namespace viewfold::eval
