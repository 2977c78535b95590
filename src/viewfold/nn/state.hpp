// Moves the whole state of a module (parameters and buffers) out of it and into it, by name, and
// lays it out for speed.
#pragma once

#include <vector>

#include <torch/nn/module.h>

#include "viewfold/nn/safetensors.hpp"

namespace viewfold {

/// Parameters and buffers of `module` under their dotted names, detached; they share the module's
/// memory.
[[nodiscard]] std::vector<NamedTensor> module_state(const torch::nn::Module& module);

/// Copies every tensor of `file` into the parameter or buffer of the same name. Throws DataError,
/// before anything is copied, unless names and shapes agree exactly.
void load_module_state(torch::nn::Module& module, const SafetensorsFile& file);

/// Lays the weights of all convolutions out channels-last, as the fused blocks and oneDNN like
/// them.
void use_channels_last(torch::nn::Module& module);

}  // namespace viewfold
