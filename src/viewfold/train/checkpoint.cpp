// Implements checkpoints.
#include "viewfold/train/checkpoint.hpp"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {
namespace {

constexpr std::string_view kModulePrefix = "module.";
constexpr std::string_view kOptimizerPrefix = "optimizer.";
constexpr std::size_t kKept = 2;

std::vector<NamedTensor> with_prefix(const std::vector<NamedTensor>& tensors,
                                     std::string_view prefix) {
  std::vector<NamedTensor> out;
  for (const auto& item : tensors) {
    if (item.name.starts_with(prefix)) {
      out.push_back({item.name.substr(prefix.size()), item.tensor});
    }
  }
  return out;
}

void append_with_prefix(std::vector<NamedTensor>& out,
                        const std::vector<NamedTensor>& tensors,
                        std::string_view prefix) {
  for (const auto& item : tensors) {
    out.push_back({std::string(prefix) + item.name, item.tensor});
  }
}

void check_finite(const std::vector<NamedTensor>& tensors) {
  for (const auto& item : tensors) {
    if (item.tensor.is_floating_point() && !item.tensor.isfinite().all().item<bool>()) {
      throw DivergedError(fmt::format("{} is not finite", item.name));
    }
  }
}

std::int64_t restore(const std::filesystem::path& path, Task& task, Optimizer& optimizer) {
  const auto file = read_safetensors(path);
  const auto step = file.metadata.find("step");
  if (step == file.metadata.end()) {
    throw DataError(fmt::format("{}: is no checkpoint (its metadata has no step)", path.string()));
  }
  load_module_tensors(task.module(), with_prefix(file.tensors, kModulePrefix));
  optimizer.load_state(with_prefix(file.tensors, kOptimizerPrefix));
  return std::stoll(step->second);
}

}  // namespace

std::vector<NamedTensor> module_tensors(const torch::nn::Module& module) {
  std::vector<NamedTensor> out;
  for (const auto& item : module.named_parameters()) {
    out.push_back({item.key(), item.value().detach()});
  }
  for (const auto& item : module.named_buffers()) {
    out.push_back({item.key(), item.value().detach()});
  }
  return out;
}

void load_module_tensors(torch::nn::Module& module, const std::vector<NamedTensor>& tensors) {
  std::map<std::string, at::Tensor> given;
  for (const auto& item : tensors) {
    given[item.name] = item.tensor;
  }
  auto targets = module_tensors(module);
  std::vector<std::string> problems;
  for (const auto& target : targets) {
    const auto found = given.find(target.name);
    if (found == given.end()) {
      problems.push_back(target.name + " is missing");
    } else if (found->second.sizes() != target.tensor.sizes()) {
      problems.push_back(fmt::format("{} has shape {} instead of {}", target.name,
                                     shape_text(found->second), shape_text(target.tensor)));
    }
  }
  for (const auto& [name, tensor] : given) {
    if (std::none_of(targets.begin(), targets.end(),
                     [&](const auto& t) { return t.name == name; })) {
      problems.push_back(name + " is left over");
    }
  }
  if (!problems.empty()) {
    const std::size_t shown = std::min<std::size_t>(problems.size(), 5);
    throw DataError(fmt::format("the weights do not fit this network ({} of {} tensors): {}{}",
                                problems.size(), targets.size(),
                                fmt::join(problems.begin(), problems.begin() + shown, "; "),
                                problems.size() > shown ? "; ..." : ""));
  }
  const torch::NoGradGuard no_grad;
  for (auto& target : targets) {
    target.tensor.copy_(given[target.name]);
  }
}

std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code ignored;
  for (const auto& item : std::filesystem::directory_iterator(folder, ignored)) {
    const auto name = item.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors")) {
      files.push_back(item.path());
    }
  }
  std::sort(files.rbegin(), files.rend());
  return files;
}

void save_checkpoint(const std::filesystem::path& folder,
                     std::int64_t step,
                     Task& task,
                     const Optimizer& optimizer) {
  std::vector<NamedTensor> tensors;
  append_with_prefix(tensors, module_tensors(task.module()), kModulePrefix);
  append_with_prefix(tensors, optimizer.state(), kOptimizerPrefix);
  check_finite(tensors);
  std::filesystem::create_directories(folder);
  const auto bytes = write_safetensors(tensors, {{"step", std::to_string(step)}});
  // Zero-padded so that names sort as numbers do.
  write_file_atomically(folder / fmt::format("step-{:012d}.safetensors", step), bytes);
  const auto files = list_checkpoints(folder);
  for (std::size_t i = kKept; i < files.size(); ++i) {
    std::error_code ignored;
    std::filesystem::remove(files[i], ignored);
  }
}

std::optional<LoadedCheckpoint> load_latest_checkpoint(const std::filesystem::path& folder,
                                                       Task& task,
                                                       Optimizer& optimizer) {
  LoadedCheckpoint loaded;
  for (const auto& path : list_checkpoints(folder)) {
    try {
      loaded.step = restore(path, task, optimizer);
      return loaded;
    } catch (const DataError& error) {
      loaded.unreadable.emplace_back(error.what());
    }
  }
  if (!loaded.unreadable.empty()) {
    throw DataError(fmt::format("{}: no checkpoint can be read: {}", folder.string(),
                                fmt::join(loaded.unreadable, "; ")));
  }
  return std::nullopt;
}

}  // namespace viewfold
