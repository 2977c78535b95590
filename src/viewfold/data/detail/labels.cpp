// Implements the reading of labels and splits from names and texts.
#include "viewfold/data/detail/labels.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"

namespace viewfold::data {
namespace {

// A number above this is no class: names for all numbers below it would be made up.
constexpr std::int32_t kMaxNumber = 99'999;

std::optional<std::int32_t> class_number(const std::string& text) {
  std::int32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  const bool whole = result.ec == std::errc() && result.ptr == end;
  return whole && number >= 0 && number <= kMaxNumber ? std::optional(number) : std::nullopt;
}

Labels numbered_labels(const std::vector<std::optional<std::int32_t>>& numbers) {
  const auto largest = std::max_element(numbers.begin(), numbers.end());
  Labels labels{.of_image = numbers, .class_names = {}};
  for (std::int32_t i = 0; i <= largest->value(); ++i) {
    labels.class_names.push_back(std::to_string(i));
  }
  return labels;
}

std::optional<std::int32_t> position_in(const std::vector<std::string>& sorted,
                                        std::string_view name) {
  const auto place = std::lower_bound(sorted.begin(), sorted.end(), name);
  return static_cast<std::int32_t>(place - sorted.begin());
}

}  // namespace

std::optional<std::int64_t> LabelledDataset::label(std::size_t index) const {
  check(index < size(), "index of an image is out of range");
  if (labels_.of_image.empty()) {
    return std::nullopt;
  }
  return labels_.of_image[index];
}

Labels labels_of_texts(const std::vector<std::optional<std::string>>& texts) {
  std::set<std::string> names;
  std::vector<std::optional<std::int32_t>> numbers;
  bool all_numbers = true;
  for (const auto& text : texts) {
    numbers.push_back(text ? class_number(*text) : std::nullopt);
    if (text) {
      names.insert(*text);
      all_numbers = all_numbers && numbers.back();
    }
  }
  if (names.empty()) {
    return {};
  }
  if (all_numbers) {
    return numbered_labels(numbers);
  }
  Labels labels{.of_image = {}, .class_names = {names.begin(), names.end()}};
  for (const auto& text : texts) {
    labels.of_image.push_back(text ? position_in(labels.class_names, *text) : std::nullopt);
  }
  return labels;
}

FolderLayout::FolderLayout(const std::vector<std::string>& paths) : paths_(paths) {
  if (!paths.empty()) {
    std::string_view shared = paths.front();
    for (const std::string& path : paths) {
      const auto differs = std::mismatch(shared.begin(), shared.end(), path.begin(), path.end());
      shared = shared.substr(0, static_cast<std::size_t>(differs.first - shared.begin()));
    }
    shared_ = shared.rfind('/') == std::string_view::npos ? 0 : shared.rfind('/') + 1;
  }
  std::set<std::string_view> folders;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const std::string_view rest = inside(i);
    if (rest.find('/') != std::string_view::npos) {
      folders.insert(rest.substr(0, rest.find('/')));
    }
  }
  splits_ = {"train"};
  if (folders.contains("train")) {
    has_test_folder_ = folders.contains("test");
    if (has_test_folder_ || folders.contains("val")) {
      splits_.emplace_back("test");
    }
    if (folders.contains("unlabeled")) {
      splits_.emplace_back("unlabeled");
    }
  }
}

std::string_view FolderLayout::inside(std::size_t position) const {
  return std::string_view(paths_[position]).substr(shared_);
}

std::string FolderLayout::folder_of(const std::string& split) const {
  if (splits_.size() == 1) {
    return "";
  }
  return split == "test" && !has_test_folder_ ? "val/" : split + "/";
}

std::vector<std::string> FolderLayout::find_classes() const {
  std::set<std::string> names;
  std::set<std::ptrdiff_t> depths;
  for (const std::string& split : splits_) {
    const std::string folder = folder_of(split);
    for (std::size_t i = 0; i < paths_.size() && split != "unlabeled"; ++i) {
      if (inside(i).starts_with(folder)) {
        const std::string_view rest = inside(i).substr(folder.size());
        depths.insert(std::count(rest.begin(), rest.end(), '/'));
        names.emplace(rest.substr(0, rest.find('/')));
      }
    }
  }
  if (depths.size() != 1 || *depths.begin() == 0 || names.size() < 2) {
    return {};
  }
  return {names.begin(), names.end()};
}

SplitMembers FolderLayout::members(const std::string& split) const {
  SplitMembers members;
  if (split != "unlabeled") {
    members.labels.class_names = find_classes();
  }
  const std::string folder = folder_of(split);
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (!inside(i).starts_with(folder)) {
      continue;
    }
    members.positions.push_back(i);
    if (!members.labels.class_names.empty()) {
      const std::string_view rest = inside(i).substr(folder.size());
      members.labels.of_image.push_back(
          position_in(members.labels.class_names, rest.substr(0, rest.find('/'))));
    }
  }
  return members;
}

void check_split(const std::string& spec,
                 const std::string& split,
                 const std::vector<std::string>& splits) {
  if (std::find(splits.begin(), splits.end(), split) == splits.end()) {
    throw DataError(
        fmt::format("{}: has no split \"{}\" (it has {})", spec, split, fmt::join(splits, ", ")));
  }
}

}  // namespace viewfold::data
