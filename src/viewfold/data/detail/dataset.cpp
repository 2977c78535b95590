// Implements the choice of the format that a data set is in, and reading with a number of bands.
#include "viewfold/data/dataset.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/config.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/input_file.hpp"
#include "viewfold/data/detail/paths.hpp"

namespace viewfold {
namespace {

std::string understood_forms() {
  std::vector<std::string_view> forms;
  for (const DatasetEntry& entry : dataset_table()) {
    forms.insert(forms.end(), entry.names.begin(), entry.names.end());
  }
  return fmt::format(
      "understood are {}, a folder of images, a .tar of images or shards, and a .txt that lists "
      "images",
      fmt::join(forms, ", "));
}

// The known name nearest to "fashon-mnist" or "cifar:DIR", with the folder that was given.
std::string nearest_spec(const std::string& spec) {
  const std::string word = spec.substr(0, spec.find(':'));
  std::vector<std::string> candidates;
  for (const DatasetEntry& entry : dataset_table()) {
    for (const std::string_view name : entry.names) {
      candidates.emplace_back(name.substr(0, name.find(':')));
    }
  }
  std::string nearest = nearest_name(word, candidates);
  for (const std::string& candidate : candidates) {
    // "cifar:DIR": too far for a typo, but a name cut short is no accident where a folder follows.
    if (nearest.empty() && !word.empty() && word != spec && candidate.starts_with(word)) {
      nearest = candidate;
    }
  }
  return nearest.empty() ? "" : nearest + spec.substr(word.size());
}

std::string what_is_there(const std::string& spec) {
  if (spec.empty()) {
    return "is empty";
  }
  try {
    return fmt::format("is a file of {} bytes in no known format", InputFile(spec).size());
  } catch (const DataError& error) {
    const std::string nearest = nearest_spec(spec);
    const std::string reason = std::string(error.what()).substr(spec.size() + 2);
    return nearest.empty() ? reason : fmt::format("{}; did you mean \"{}\"?", reason, nearest);
  }
}

const DatasetEntry& entry_of(const std::string& spec) {
  const DatasetEntry* best = nullptr;
  int best_score = 0;
  for (const DatasetEntry& entry : dataset_table()) {
    const int score = entry.recognises(spec);
    if (score > best_score) {
      best = &entry;
      best_score = score;
    }
  }
  if (best == nullptr) {
    throw DataError(fmt::format("data set \"{}\": {} ({})", data::printable(spec),
                                data::printable(what_is_there(spec)), understood_forms()));
  }
  return *best;
}

}  // namespace

const Image& read_with_bands(const Dataset& dataset,
                             std::size_t index,
                             int bands,
                             Image& buffer,
                             const ReductionChoice& choose) {
  const Image& source =
      choose ? dataset.read_reduced(index, buffer, choose) : dataset.read(index, buffer);
  if (bands == 0 || source.bands() == bands) {
    return source;
  }
  try {
    buffer = convert_bands(source, bands);
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", dataset.name(index), error.what()));
  }
  return buffer;
}

std::unique_ptr<Dataset> open_dataset(const DatasetRequest& request) {
  return entry_of(request.spec).open(request);
}

std::string absolute_spec(const std::string& spec) {
  std::string prefix;  // "cifar10:"
  for (const DatasetEntry& entry : dataset_table()) {
    for (const std::string_view name : entry.names) {
      if (spec == name) {
        return spec;
      }
      const std::string_view start = name.substr(0, name.find(':') + 1);  // "" of a name alone
      if (start.empty() || !spec.starts_with(start)) {
        continue;
      }
      if (!name.ends_with(":DIR")) {
        return spec;  // "solids:64" holds no path
      }
      prefix = start;
    }
  }
  const std::string path = spec.substr(prefix.size());
  return path.empty() ? spec : prefix + std::filesystem::absolute(path).lexically_normal().string();
}

std::vector<std::string> dataset_splits(const std::string& spec) {
  return entry_of(spec).splits(spec);
}

}  // namespace viewfold
