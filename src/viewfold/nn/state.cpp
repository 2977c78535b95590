// Implements the strict exchange of module state.
#include "viewfold/nn/state.hpp"

#include <map>
#include <string>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"

namespace viewfold {

std::vector<NamedTensor> module_state(const torch::nn::Module& module) {
  std::vector<NamedTensor> state;
  for (const auto& item : module.named_parameters()) {
    state.push_back({item.key(), item.value().detach()});
  }
  for (const auto& item : module.named_buffers()) {
    state.push_back({item.key(), item.value().detach()});
  }
  return state;
}

void load_module_state(torch::nn::Module& module, const SafetensorsFile& file) {
  std::map<std::string, at::Tensor> targets;
  for (auto& item : module_state(module)) {
    targets.emplace(item.name, item.tensor);
  }
  for (const auto& item : file.tensors) {
    const auto target = targets.find(item.name);
    if (target == targets.end()) {
      throw DataError(
          fmt::format("{}: tensor '{}' has no place in this network", file.origin, item.name));
    }
    if (target->second.sizes() != item.tensor.sizes()) {
      throw DataError(fmt::format("{}: tensor '{}' is [{}], this network needs [{}]", file.origin,
                                  item.name, fmt::join(item.tensor.sizes(), ", "),
                                  fmt::join(target->second.sizes(), ", ")));
    }
  }
  if (file.tensors.size() != targets.size()) {
    for (const auto& [name, tensor] : targets) {
      (void)file.at(name);
    }
  }
  const at::NoGradGuard no_grad;
  for (const auto& item : file.tensors) {
    targets.at(item.name).copy_(item.tensor);
  }
}

void use_channels_last(torch::nn::Module& module) {
  for (auto& parameter : module.parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
}

}  // namespace viewfold
