// Implements the optimisers.
#include "viewfold/train/optimizer.hpp"

#include <cmath>
#include <map>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {

Optimizer::Optimizer(Task& task, const TrainConfig& config) : config_(config) {
  for (const auto& item : task.module().named_parameters()) {
    if (!item.value().requires_grad()) {
      continue;
    }
    Slot slot;
    slot.name = item.key();
    slot.parameter = item.value();
    slot.momentum = torch::zeros_like(item.value());
    if (config.optimizer == "adamw") {
      slot.variance = torch::zeros_like(item.value());
    }
    // Biases, batch-norm scales and shifts are the vectors of a network.
    slot.decays = config.decay_norm_and_bias || item.value().dim() > 1;
    slot.fixed_lr = task.has_fixed_lr(item.key());
    slots_.push_back(std::move(slot));
  }
}

void Optimizer::zero_grad() {
  for (auto& slot : slots_) {
    slot.parameter.mutable_grad().reset();
  }
}

void Optimizer::step(double lr, double fixed_lr) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  for (auto& slot : slots_) {
    if (!slot.parameter.grad().defined()) {
      continue;
    }
    const double rate = slot.fixed_lr ? fixed_lr : lr;
    if (config_.optimizer == "sgd") {
      step_sgd(slot, rate);
    } else if (config_.optimizer == "lars") {
      step_lars(slot, rate);
    } else {
      step_adamw(slot, rate);
    }
  }
}

void Optimizer::step_sgd(Slot& slot, double lr) {
  slot.momentum.mul_(config_.momentum).add_(slot.parameter.grad());
  if (slot.decays && config_.weight_decay > 0.0) {
    slot.momentum.add_(slot.parameter, config_.weight_decay);
  }
  slot.parameter.add_(slot.momentum, -lr);
}

void Optimizer::step_lars(Slot& slot, double lr) {
  if (!slot.decays) {
    slot.momentum.mul_(config_.momentum).add_(slot.parameter.grad(), lr);
    slot.parameter.sub_(slot.momentum);
    return;
  }
  const auto gradient = slot.parameter.grad().add(slot.parameter, config_.weight_decay);
  const double weight_norm = slot.parameter.norm().item<double>();
  const double gradient_norm = gradient.norm().item<double>();
  const double trust = weight_norm > 0.0 && gradient_norm > 0.0
                           ? config_.lars_trust * weight_norm / gradient_norm
                           : 1.0;
  slot.momentum.mul_(config_.momentum).add_(gradient, lr * trust);
  slot.parameter.sub_(slot.momentum);
}

void Optimizer::step_adamw(Slot& slot, double lr) {
  constexpr double kEpsilon = 1e-8;  // Kingma and Ba, arXiv:1412.6980, Alg. 1
  const double beta2 = config_.beta2;
  const auto& gradient = slot.parameter.grad();
  if (slot.decays) {
    slot.parameter.mul_(1.0 - lr * config_.weight_decay);
  }
  slot.momentum.mul_(config_.momentum).add_(gradient, 1.0 - config_.momentum);
  slot.variance.mul_(beta2).addcmul_(gradient, gradient, 1.0 - beta2);
  const double correction1 = 1.0 - std::pow(config_.momentum, static_cast<double>(steps_));
  const double correction2 = 1.0 - std::pow(beta2, static_cast<double>(steps_));
  const auto denominator = slot.variance.div(correction2).sqrt_().add_(kEpsilon);
  slot.parameter.addcdiv_(slot.momentum, denominator, -lr / correction1);
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state{{"steps", torch::tensor(steps_, torch::kInt64)}};
  for (const auto& slot : slots_) {
    state.push_back({"momentum." + slot.name, slot.momentum});
    if (slot.variance.defined()) {
      state.push_back({"variance." + slot.name, slot.variance});
    }
  }
  return state;
}

void Optimizer::load_state(const std::vector<NamedTensor>& state) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> by_name;
  for (const auto& item : state) {
    by_name[item.name] = item.tensor;
  }
  const auto take = [&by_name](const std::string& name, at::Tensor& target) {
    const auto found = by_name.find(name);
    if (found == by_name.end() || found->second.sizes() != target.sizes()) {
      throw DataError(
          fmt::format("the optimiser state has no {} of shape {}", name, shape_text(target)));
    }
    target.copy_(found->second);
  };
  for (auto& slot : slots_) {
    take("momentum." + slot.name, slot.momentum);
    if (slot.variance.defined()) {
      take("variance." + slot.name, slot.variance);
    }
  }
  auto steps = torch::tensor(steps_, torch::kInt64);
  take("steps", steps);
  steps_ = steps.item<std::int64_t>();
  if (by_name.size() != this->state().size()) {
    throw DataError("the optimiser state is of other parameters or of another optimiser");
  }
}

}  // namespace viewfold
