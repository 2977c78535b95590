// SGD with momentum, LARS and AdamW over named parameters.
#pragma once

#include <string>
#include <vector>

#include <torch/torch.h>

#include "viewfold/nn/safetensors.hpp"
#include "viewfold/train/task.hpp"
#include "viewfold/train/train_config.hpp"

namespace viewfold {

/// Optimises the parameters of a task that require gradients.
///
/// sgd    v <- m v + (g + wd w);  w <- w - lr v
/// lars   g' = g + wd w;  v <- m v + lr eta |w| / |g'| g';  w <- w - v   (SimCLR's
/// lars_optimizer.py; the rate
///        enters the momentum buffer); parameters without decay get v <- m v + lr g
/// adamw  decoupled decay, epsilon = 1e-8 (Loshchilov and Hutter, arXiv:1711.05101)
class Optimizer {
 public:
  Optimizer(Task& task, const TrainConfig& config);

  /// Applies the gradients with rate `lr`; parameters with a fixed rate use `fixed_lr`. Parameters
  /// without a gradient are left alone.
  void step(double lr, double fixed_lr);

  void zero_grad();

  /// Momentum buffers and counters, by name.
  [[nodiscard]] std::vector<NamedTensor> state() const;

  /// Takes back what state() gave. Throws DataError when a name or shape does not fit.
  void load_state(const std::vector<NamedTensor>& state);

  /// The number of optimised parameters (tensors).
  [[nodiscard]] std::size_t size() const { return slots_.size(); }

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter;
    at::Tensor momentum;  // first moment
    at::Tensor variance;  // second moment, adamw only
    bool decays = true;
    bool fixed_lr = false;
  };
  void step_sgd(Slot& slot, double lr);
  void step_lars(Slot& slot, double lr);
  void step_adamw(Slot& slot, double lr);

  TrainConfig config_;
  std::vector<Slot> slots_;
  std::int64_t steps_ = 0;
};

}  // namespace viewfold
