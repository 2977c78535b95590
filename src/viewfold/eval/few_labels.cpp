// Linear probe with few labels: logistic regression on a hundredth and a tenth of them.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/eval/detail/blas_threads.hpp"
#include "viewfold/eval/detail/labels.hpp"
#include "viewfold/eval/detail/logistic_probe.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold::eval {
namespace {

/// Shares of labels and their balance as in SimCLR (arXiv:2002.05709, semi-supervised learning);
/// the encoder stays frozen here. Three draws: ours.
struct FewLabelsConfig final : Config {
  double l2 = 0.0;
  std::int64_t iterations = 500;
  std::int64_t draws = 3;

  void visit(FieldVisitor& v) override {
    v.field("l2", l2,
            {.doc = "strength of the penalty l2 / 2 |W|^2 beside the summed cross entropy (1 / C "
                    "of scikit-learn); 0 takes for each draw the best of 1, 10, 100 and 1000 on a "
                    "tenth of its labels held out",
             .min = 0,
             .max = 1e9});
    v.field("iterations", iterations,
            {.doc = "most iterations of L-BFGS; it stops when the gradient is small",
             .min = 1,
             .max = 100000});
    v.field(
        "draws", draws,
        {.doc = "draws of labels that means and deviations are taken over", .min = 2, .max = 1000});
  }
};

/// What the draws of one quota gave.
struct Outcome {
  std::vector<double> accuracies = {};
  std::int64_t labels = 0;  // of one draw; the same for all
};

Outcome probe_draws(const ProbeData& train,
                    const ProbeData& test,
                    const LabelQuota& quota,
                    const FewLabelsConfig& settings,
                    std::uint64_t seed) {
  Outcome outcome;
  for (std::int64_t i = 0; i < settings.draws; ++i) {
    const RngKey draw{.seed = seed, .stream = "few_labels", .epoch = static_cast<std::uint32_t>(i)};
    const auto rows = draw_labels(train.labels, quota, train.classes, draw);
    const ProbeData few{.x = train.x.index_select(0, rows),
                        .labels = train.labels.index_select(0, rows),
                        .classes = train.classes};
    const double l2 = settings.l2 == 0.0 ? choose_probe_l2(few, derive_seed(draw)) : settings.l2;
    const auto fitted = fit_probe(few, l2, settings.iterations);
    outcome.accuracies.push_back(label_accuracy(test.labels, fitted.probe.predict(test.x)));
    outcome.labels = rows.size(0);
  }
  return outcome;
}

EvaluationResult run(const EvaluationInput& input, const Config& config) {
  const auto& settings = dynamic_cast<const FewLabelsConfig&>(config);
  const auto classes = check_labelled(input);
  const at::NoGradGuard no_grad;
  const SingleThreadedBlas one_thread;
  const Standardization standardize(input.train.features);
  const ProbeData train{
      .x = standardize(input.train.features), .labels = input.train.labels, .classes = classes};
  const ProbeData test{
      .x = standardize(input.test.features), .labels = input.test.labels, .classes = classes};
  const auto class_counts = at::bincount(train.labels, {}, classes);
  EvaluationResult result;
  std::string quotas;
  for (const std::int64_t percent : std::array<std::int64_t, 2>{1, 10}) {
    const auto quota = label_quota(percent, class_counts);
    const auto outcome = probe_draws(train, test, quota, settings, input.seed);
    result.numbers[fmt::format("accuracy_{}", percent)] = mean_of(outcome.accuracies);
    result.numbers[fmt::format("sd_{}", percent)] = deviation_of(outcome.accuracies);
    quotas += fmt::format("{}{} % is {} labels, up to {} of each class", quotas.empty() ? "" : "; ",
                          percent, outcome.labels, quota.per_class);
  }
  result.numbers["accuracy"] = result.numbers["accuracy_10"];
  result.protocol = fmt::format(
      "linear probe with few labels of {} training images: {}; mean and sd of {} draws; "
      "standardised per dimension by all training images without labels, multinomial logistic "
      "regression, l2 = {} beside the summed cross entropy (bias free), full-batch L-BFGS from "
      "zero, at most {} iterations; {} test images; accuracy is accuracy_10",
      train.x.size(0), quotas, settings.draws,
      settings.l2 == 0.0 ? "the best of 1, 10, 100, 1000 on a tenth of the drawn labels held out"
                         : fmt::format("{:g}", settings.l2),
      settings.iterations, test.x.size(0));
  return result;
}

}  // namespace

EvaluationEntry few_labels_entry() {
  return {
      .name = "few_labels",
      .summary =
          "linear probe on class-balanced draws of 1 % and 10 % of the training labels (shares of "
          "SimCLR, arXiv:2002.05709; probe as `linear`)",
      .config = []() -> std::unique_ptr<Config> { return std::make_unique<FewLabelsConfig>(); },
      .run = run};
}

}  // namespace viewfold::eval
