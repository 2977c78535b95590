// Implements checkpoints.
#include "viewfold/train/checkpoint.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

constexpr std::string_view kModulePrefix = "module.";
constexpr std::string_view kOptimizerPrefix = "optimizer.";
constexpr std::string_view kAlarmSigns = "alarm.signs";
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

void check_finite(const std::vector<NamedTensor>& tensors, std::int64_t step) {
  for (const auto& item : tensors) {
    if (item.tensor.is_floating_point() && !item.tensor.isfinite().all().item<bool>()) {
      throw DivergedError(
          fmt::format("{} is not finite after step {}; {}", item.name, step, kDivergenceRemedy));
    }
  }
}

std::int64_t parse_step(const std::string& text, const std::filesystem::path& path) {
  std::int64_t step = 0;
  const auto* end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, step);
  if (failure != std::errc() || rest != end || step < 0) {
    throw DataError(fmt::format("{}: '{}' is no number of steps", path.string(), text));
  }
  return step;
}

// What a process that was killed has left of a file that it had not finished.
void remove_torn_files(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (const auto& item : std::filesystem::directory_iterator(folder, ignored)) {
    const auto name = item.path().filename().string();
    if (name.starts_with(".step-") && name.ends_with(".tmp")) {
      std::filesystem::remove(item.path(), ignored);
    }
  }
}

// Newer files were passed over as unreadable, or they would have been gone on from.
void remove_all_but(const std::filesystem::path& current, std::size_t kept) {
  std::size_t older = 0;
  for (const auto& path : list_checkpoints(current.parent_path())) {
    const bool is_older = path < current && ++older < kept;
    if (path != current && !is_older) {
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
    }
  }
}

// Names the file in what optimiser and alarm have to say.
void load_rest(Optimizer& optimizer, CollapseAlarm& alarm, const SafetensorsFile& file) {
  const at::Tensor& signs = file.at(kAlarmSigns);
  try {
    optimizer.load_state(with_prefix(file.tensors, kOptimizerPrefix));
    alarm.load_state(signs);
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", file.origin, error.what()));
  }
}

std::int64_t restore(const std::filesystem::path& path,
                     Task& task,
                     Optimizer& optimizer,
                     CollapseAlarm& alarm) {
  const auto file = read_safetensors(path);
  const auto step = file.metadata.find("step");
  if (step == file.metadata.end()) {
    throw DataError(fmt::format("{}: is no checkpoint (its metadata has no step)", path.string()));
  }
  const auto done = parse_step(step->second, path);
  load_module_state(task.module(), {with_prefix(file.tensors, kModulePrefix), {}, path.string()});
  load_rest(optimizer, alarm, file);
  return done;
}

}  // namespace

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
                     const Optimizer& optimizer,
                     const CollapseAlarm& alarm) {
  std::vector<NamedTensor> tensors;
  append_with_prefix(tensors, module_state(task.module()), kModulePrefix);
  append_with_prefix(tensors, optimizer.state(), kOptimizerPrefix);
  tensors.push_back({std::string(kAlarmSigns), alarm.state()});
  check_finite(tensors, step);
  create_folder(folder);
  remove_torn_files(folder);
  const auto bytes = write_safetensors(tensors, {{"step", std::to_string(step)}});
  // Zero-padded so that names sort as numbers do.
  const auto path = folder / fmt::format("step-{:012d}.safetensors", step);
  write_file_atomically(path, bytes);
  remove_all_but(path, kKept);
}

std::optional<LoadedCheckpoint> load_latest_checkpoint(const std::filesystem::path& folder,
                                                       Task& task,
                                                       Optimizer& optimizer,
                                                       CollapseAlarm& alarm) {
  LoadedCheckpoint loaded;
  for (const auto& path : list_checkpoints(folder)) {
    try {
      loaded.step = restore(path, task, optimizer, alarm);
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
