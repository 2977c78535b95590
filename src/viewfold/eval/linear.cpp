// Linear probe: multinomial logistic regression on frozen features, fitted to its optimum.
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/eval/detail/blas_threads.hpp"
#include "viewfold/eval/detail/labels.hpp"
#include "viewfold/eval/detail/logistic_probe.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold::eval {
namespace {

/// The probe is convex and fitted in full batches by L-BFGS, as for CLIP (arXiv:2103.00020,
/// App. A.3): no learning rate, schedule or order of batches for the number to depend on.
struct LinearConfig final : Config {
  double l2 = 0.0;
  std::int64_t iterations = 500;

  void visit(FieldVisitor& v) override {
    v.field("l2", l2,
            {.doc = "strength of the penalty l2 / 2 |W|^2 beside the summed cross entropy (1 / C "
                    "of scikit-learn); 0 takes the best of 1, 10, 100 and 1000 on a tenth of the "
                    "training features held out",
             .min = 0,
             .max = 1e9});
    v.field("iterations", iterations,
            {.doc = "most iterations of L-BFGS; it stops when the gradient is small",
             .min = 1,
             .max = 100000});
  }
};

EvaluationResult run(const EvaluationInput& input, const Config& config) {
  const auto& settings = dynamic_cast<const LinearConfig&>(config);
  const auto classes = check_labelled(input);
  const at::NoGradGuard no_grad;
  const SingleThreadedBlas one_thread;
  const Standardization standardize(input.train.features);
  const ProbeData data{
      .x = standardize(input.train.features), .labels = input.train.labels, .classes = classes};
  const bool chooses = settings.l2 == 0.0;
  const double l2 = chooses ? choose_probe_l2(data, input.seed) : settings.l2;
  const auto fitted = fit_probe(data, l2, settings.iterations);
  const auto predicted = fitted.probe.predict(standardize(input.test.features));
  auto result = compare_labels(input.test.labels, predicted, classes);
  result.numbers["train_accuracy"] =
      label_accuracy(input.train.labels, fitted.probe.predict(data.x));
  result.numbers["l2"] = l2;
  result.numbers["loss_evaluations"] = static_cast<double>(fitted.evaluations);
  result.numbers["largest_gradient"] = fitted.gradient;
  result.protocol = fmt::format(
      "linear probe on frozen features: standardised per dimension by training statistics, "
      "multinomial logistic regression, l2 {} beside the summed cross entropy (bias free), "
      "full-batch L-BFGS from zero; {} training images, {} test images",
      chooses ? "of 1, 10, 100, 1000 the best on training features held out"
              : fmt::format("= {:g}", l2),
      data.x.size(0), input.test.features.size(0));
  return result;
}

}  // namespace

EvaluationEntry linear_entry() {
  return {.name = "linear",
          .summary =
              "linear probe: logistic regression on standardised features by L-BFGS (CLIP, "
              "arXiv:2103.00020, App. A.3)",
          .config = []() -> std::unique_ptr<Config> { return std::make_unique<LinearConfig>(); },
          .run = run};
}

}  // namespace viewfold::eval
