// Implements the findings of an audit.
#include "viewfold/report/findings.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/report/results.hpp"
#include "viewfold/report/text.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

constexpr double kBroken = 0.5;
constexpr double kHeld = 0.9;

// The first severity, from 1, at which too little is left of `clean`; 0 where there is none.
std::size_t breaks_at(const std::vector<double>& accuracy, double clean, double chance) {
  const auto broken = std::find_if(accuracy.begin(), accuracy.end(), [&](double value) {
    return value - chance < kBroken * (clean - chance);
  });
  return broken == accuracy.end() ? 0 : static_cast<std::size_t>(broken - accuracy.begin()) + 1;
}

void add_robustness(const EvaluationFile& file, std::vector<std::string>& sentences) {
  const auto& numbers = file.content["numbers"];
  const auto clean = number_at(numbers, "clean_accuracy");
  if (!clean) {
    throw DataError(fmt::format("{}: \"numbers\" needs \"clean_accuracy\"", file.path.string()));
  }
  const double chance = number_at(file.content, "chance").value_or(0.0);
  // Below this, clean images are hardly told apart either: two standard errors, and five points.
  const auto counts = file.content.value("counts", json::object());
  const double images =
      number_at(counts, text_at(file.content, "split").value_or("")).value_or(0.0);
  const double error = images > 0.0 ? std::sqrt(*clean * (1.0 - *clean) / images) : 0.0;
  if (*clean - chance <= std::max(0.05, 2.0 * error)) {
    sentences.push_back(
        fmt::format("Clean images are told apart in {} of cases, no better than by guessing ({}): "
                    "corruptions say nothing.",
                    percent(*clean), percent(chance)));
    return;
  }
  std::vector<std::string> broken;
  std::vector<std::string> held;
  for (const auto& [name, accuracy] : lists_by_name(file, "accuracy_by_severity")) {
    if (const auto severity = breaks_at(accuracy, *clean, chance); severity > 0) {
      broken.push_back(fmt::format("{} (from severity {})", spoken(name), severity));
    } else if (accuracy.back() - chance >= kHeld * (*clean - chance)) {
      held.push_back(spoken(name));
    }
  }
  if (const auto mean = number_at(numbers, "accuracy")) {
    sentences.push_back(
        fmt::format("Corrupted images are told apart in {} of cases, clean ones in {}.",
                    percent(*mean), percent(*clean)));
  }
  if (!broken.empty()) {
    sentences.push_back(fmt::format("It breaks under {}.", fmt::join(broken, ", ")));
  }
  if (!held.empty()) {
    sentences.push_back(fmt::format("It holds under {}.", fmt::join(held, ", ")));
  }
}

void add_invariance(const EvaluationFile& file, std::vector<std::string>& sentences) {
  std::vector<std::pair<double, std::string>> ignored;
  std::vector<std::pair<double, std::string>> seen;
  for (const auto& [name, similarity] : lists_by_name(file, "similarity")) {
    if (similarity.front() >= kIgnoresFrom) {
      ignored.emplace_back(-similarity.front(), spoken(name));
    } else if (similarity.front() < kSeesBelow) {
      seen.emplace_back(similarity.front(), spoken(name));
    }
  }
  const auto add = [&sentences](const char* what, auto& list) {
    if (list.empty()) {
      return;
    }
    std::sort(list.begin(), list.end());  // the clearest first
    std::vector<std::string> names;
    names.reserve(list.size());
    for (const auto& [value, name] : list) {
      names.push_back(name);
    }
    sentences.push_back(fmt::format("It {} {}.", what, fmt::join(names, ", ")));
  };
  add("ignores", ignored);
  add("sees", seen);
}

void add_duplicates(const EvaluationFile& file, std::vector<std::string>& sentences) {
  const auto& numbers = file.content["numbers"];
  const auto images = number_at(numbers, "test_images_with_twin");
  if (!images || *images <= 0.0) {
    return;
  }
  const auto share = number_at(numbers, "test_twin_share");
  sentences.push_back(
      fmt::format("Test images with a near duplicate among the training images: {}{}. Accuracies "
                  "on them say less than they seem to.",
                  readable(*images), share ? fmt::format(" ({})", percent(*share)) : ""));
}

bool is_of_one_corruption(const std::string& evaluation, const std::string& number) {
  return evaluation == "robustness" && number.starts_with("accuracy_") &&
         !number.starts_with("accuracy_severity_");
}

std::string worded(const std::string& number, std::optional<double> value) {
  if (!value) {
    return "-";
  }
  const bool is_share =
      number.find("accuracy") != std::string::npos && *value >= 0.0 && *value <= 1.0;
  return is_share ? percent(*value) : readable(*value);
}

using Key = std::tuple<std::string, std::string, std::string>;  // evaluation, subject, number
using Numbers = std::map<Key, double>;

Numbers numbers_of(const std::vector<EvaluationFile>& files) {
  Numbers numbers;
  for (const auto& file : files) {
    const auto evaluation = text_at(file.content, "evaluation").value_or("");
    const auto subject = evaluation_subject(file.content);
    for (const auto& [name, unused] : file.content["numbers"].items()) {
      const auto value = number_at(file.content["numbers"], name);
      if (value && !is_of_one_corruption(evaluation, name)) {
        numbers[{evaluation, subject, name}] = *value;
      }
    }
  }
  return numbers;
}

}  // namespace

std::string spoken(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::map<std::string, std::vector<double>> lists_by_name(const EvaluationFile& file,
                                                         const std::string& key) {
  std::map<std::string, std::vector<double>> lists;
  const auto found = file.content.find(key);
  if (found == file.content.end() || !found->is_object()) {
    throw DataError(fmt::format("{}: needs \"{}\", an object", file.path.string(), key));
  }
  for (const auto& [name, value] : found->items()) {
    const json list = value.is_array() ? value : json::array({value});
    for (const json& number : list) {
      if (!number.is_number()) {
        throw DataError(
            fmt::format("{}: \"{}\" of \"{}\" must hold numbers", file.path.string(), name, key));
      }
      lists[name].push_back(number.get<double>());
    }
  }
  return lists;
}

std::vector<std::string> finding_sentences(const std::vector<EvaluationFile>& evaluations) {
  std::vector<std::string> sentences;
  if (const auto* file = evaluation_named(evaluations, "robustness")) {
    add_robustness(*file, sentences);
  }
  if (const auto* file = evaluation_named(evaluations, "invariance")) {
    add_invariance(*file, sentences);
  }
  if (const auto* file = evaluation_named(evaluations, "duplicates")) {
    add_duplicates(*file, sentences);
  }
  return sentences;
}

std::vector<std::vector<std::string>> audit_table(
    const std::vector<std::string>& names, const std::vector<std::vector<EvaluationFile>>& runs) {
  std::set<Key> keys;
  std::map<std::string, std::set<std::string>> subjects;  // of each evaluation
  std::vector<Numbers> numbers;
  for (const auto& files : runs) {
    numbers.push_back(numbers_of(files));
    for (const auto& [key, value] : numbers.back()) {
      keys.insert(key);
      subjects[std::get<0>(key)].insert(std::get<1>(key));
    }
  }
  std::vector<std::vector<std::string>> table{{"number"}};
  table.front().insert(table.front().end(), names.begin(), names.end());
  for (const auto& key : keys) {
    const auto& [evaluation, subject, number] = key;
    // Numbers of other images stand in rows of their own.
    const auto where = subjects[evaluation].size() > 1 ? fmt::format(" ({})", subject) : "";
    std::vector<std::string> row{
        fmt::format("{}, {}{}", evaluation_title(evaluation), spoken(number), where)};
    for (const auto& of_run : numbers) {
      const auto found = of_run.find(key);
      row.push_back(
          worded(number, found == of_run.end() ? std::nullopt : std::optional(found->second)));
    }
    table.push_back(std::move(row));
  }
  return table;
}

}  // namespace viewfold::report
