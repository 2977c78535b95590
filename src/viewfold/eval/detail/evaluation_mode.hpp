// Puts a module into evaluation mode for a while.
#pragma once

#include <utility>
#include <vector>

#include <torch/nn/module.h>

namespace viewfold {

/// Evaluation mode for as long as it lives; then every module within is in the mode it was in.
class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& module) {
    modes_.emplace_back(&module, module.is_training());
    for (const auto& part : module.modules(/*include_self=*/false)) {
      modes_.emplace_back(part.get(), part->is_training());
    }
    module.eval();
  }
  // train() also sets all modules within: these come later in the list.
  ~EvaluationMode() {
    for (const auto& [module, training] : modes_) {
      module->train(training);
    }
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  std::vector<std::pair<torch::nn::Module*, bool>> modes_;
};

}  // namespace viewfold
