// The interface of everything that learns.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "viewfold/tensor/communicator.hpp"
#include "viewfold/tensor/view_batch.hpp"

namespace viewfold {

/// Where in the run a step is, and who takes it.
struct StepContext {
  std::int64_t step = 0;
  std::int64_t total_steps = 0;
  Communicator communicator = {};  // the processes that have the other parts of the batch

  /// In [0, 1).
  [[nodiscard]] double progress() const {
    return static_cast<double>(step) / static_cast<double>(total_steps);
  }
};

/// What a step gives to the loop.
struct StepOutput {
  /// [] float32: the mean over the batch of this process. With a graph, or, of a task that finds
  /// its parameters by itself, without.
  at::Tensor loss;
  at::Tensor embedding;  // [N, D], detached: what collapse is looked for in
  std::vector<std::pair<std::string, double>> scalars = {};  // further metrics
};

/// A value at which the loss stands when the task has stopped to learn.
struct KnownConstant {
  std::string name;  // "ln(2N-1)"
  double value = 0.0;
  std::string cause;  // what a loss at this value means, and what to try
};

/// Anything that learns: turns a ViewBatch into losses, owns its parameters and what happens after
/// a step.
class Task {
 public:
  virtual ~Task() = default;

  /// Computes the loss of one batch, or of the part of it that this process has. Layers of batch
  /// normalisation share their batch already (nn/batch_norm.hpp); what else looks at more than one
  /// sample asks context.communicator for those of the others, so that loss and gradient are those
  /// of the whole batch. May update state that belongs before the gradient (momentum encoder).
  virtual StepOutput training_step(const ViewBatch& batch, const StepContext& context) = 0;

  /// Called after the optimiser has changed the parameters: queue, centre, momentum.
  virtual void after_optimizer_step(const StepContext& /*context*/) {}

  /// Everything a checkpoint must hold. Parameters that require gradients are optimised.
  [[nodiscard]] virtual torch::nn::Module& module() = 0;

  /// Parameters whose learning rate stays at its peak (SimSiam's predictor).
  [[nodiscard]] virtual bool has_fixed_lr(const std::string& /*parameter*/) const { return false; }

  /// Values of the loss that mean collapse or no learning, for batches of `batch_size` images.
  [[nodiscard]] virtual std::vector<KnownConstant> known_constants(
      std::int64_t /*batch_size*/) const {
    return {};
  }
};

}  // namespace viewfold
