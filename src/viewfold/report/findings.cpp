// Implements the findings of an audit.
#include "viewfold/report/findings.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>
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

// What is ignored and what is seen among whitened cosines by name, the clearest first.
void add_similarities(const std::map<std::string, double>& similarities,
                      const std::string& subject,
                      std::vector<std::string>& sentences) {
  std::vector<std::pair<double, std::string>> ignored;
  std::vector<std::pair<double, std::string>> seen;
  for (const auto& [name, similarity] : similarities) {
    if (similarity >= kIgnoresFrom) {
      ignored.emplace_back(-similarity, spoken(name));
    } else if (similarity < kSeesBelow) {
      seen.emplace_back(similarity, spoken(name));
    }
  }
  const auto add = [&](const char* what, auto& list) {
    if (list.empty()) {
      return;
    }
    std::sort(list.begin(), list.end());
    std::vector<std::string> names;
    names.reserve(list.size());
    for (const auto& [value, name] : list) {
      names.push_back(name);
    }
    sentences.push_back(fmt::format("{} {} {}.", subject, what, fmt::join(names, ", ")));
  };
  add("ignores", ignored);
  add("sees", seen);
}

void add_invariance(const EvaluationFile& file, std::vector<std::string>& sentences) {
  std::map<std::string, double> similarities;
  for (const auto& [name, similarity] : lists_by_name(file, "similarity")) {
    similarities[name] = similarity.front();
  }
  add_similarities(similarities, "It", sentences);
}

void add_solids(const EvaluationFile& file, std::vector<std::string>& sentences) {
  constexpr std::string_view kPrefix = "invariance_";
  std::map<std::string, double> similarities;
  for (const auto& [name, unused] : file.content["numbers"].items()) {
    const auto value = number_at(file.content["numbers"], name);
    if (value && name.starts_with(kPrefix)) {
      similarities[name.substr(kPrefix.size())] = *value;
    }
  }
  add_similarities(similarities, "Of rendered solids it", sentences);
}

void add_adversarial(const EvaluationFile& file, std::vector<std::string>& sentences) {
  const auto& numbers = file.content["numbers"];
  const auto clean = number_at(numbers, "clean_accuracy");
  const auto attacked = number_at(numbers, "accuracy_pgd_4");
  if (clean && attacked) {
    sentences.push_back(
        fmt::format("The worst changes of 4/255 that were found take accuracy from {} to {}.",
                    percent(*clean), percent(*attacked)));
  }
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

// What is too much for a table: single corruptions, and what attacks are only compared with.
bool is_detail(const std::string& evaluation, const std::string& number) {
  const auto holds = [&number](std::string_view word) {
    return number.find(word) != std::string::npos;
  };
  return (evaluation == "robustness" && number.starts_with("accuracy_") &&
          !number.starts_with("accuracy_severity_")) ||
         (evaluation == "adversarial" && (holds("_fgsm_") || holds("_noise_")));
}

// The mean over the fifteen corruptions of the summed errors beside those of the reference
// (Hendrycks and Dietterich, arXiv:1903.12261, Sec. 4.3, whose reference is AlexNet); nothing where
// one has not been measured, or the reference makes no error.
std::optional<double> corruption_error(const std::vector<EvaluationFile>& files,
                                       const std::vector<EvaluationFile>& reference) {
  static const std::set<std::string> extra{"speckle_noise", "gaussian_blur", "spatter", "saturate"};
  const auto* file = evaluation_named(files, "robustness");
  const auto* beside = evaluation_named(reference, "robustness");
  if (file == nullptr || beside == nullptr ||
      evaluation_subject(file->content) != evaluation_subject(beside->content)) {
    return std::nullopt;
  }
  const auto errors = [](const std::vector<double>& accuracies) {
    double sum = 0.0;
    for (const double accuracy : accuracies) {
      sum += 1.0 - accuracy;
    }
    return sum;
  };
  const auto others = lists_by_name(*beside, "accuracy_by_severity");
  double sum = 0.0;
  int count = 0;
  for (const auto& [name, accuracies] : lists_by_name(*file, "accuracy_by_severity")) {
    const auto other = others.find(name);
    if (extra.contains(name)) {
      continue;
    }
    if (other == others.end() || !(errors(other->second) > 0.0)) {
      return std::nullopt;
    }
    sum += errors(accuracies) / errors(other->second);
    ++count;
  }
  return count > 0 ? std::optional(sum / count) : std::nullopt;
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
      if (value && !is_detail(evaluation, name)) {
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
  if (const auto* file = evaluation_named(evaluations, "solids")) {
    add_solids(*file, sentences);
  }
  if (const auto* file = evaluation_named(evaluations, "adversarial")) {
    add_adversarial(*file, sentences);
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
  std::vector<std::string> errors{"Robustness, mCE beside the first"};
  std::size_t known = 0;
  for (const auto& files : runs) {
    const auto error = corruption_error(files, runs.front());
    errors.push_back(error ? percent(*error) : "-");
    known += error ? 1 : 0;
  }
  if (known > 1) {
    table.push_back(std::move(errors));
  }
  return table;
}

}  // namespace viewfold::report
