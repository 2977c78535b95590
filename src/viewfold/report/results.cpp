// Implements the presentation of evaluations.
#include "viewfold/report/results.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/report/text.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

// Beyond this a cell is smaller than a pixel on a phone, and the page grows by megabytes.
constexpr std::size_t kMaxDrawnClasses = 200;
constexpr std::size_t kWorstConfusions = 5;

struct Control {
  std::string name;
  json numbers;
};

std::string title_of(const json& evaluation) {
  return evaluation_title(evaluation["evaluation"]);
}

std::vector<Control> controls_of(const json& evaluation) {
  std::vector<Control> controls;
  const auto found = evaluation.find("controls");
  if (found != evaluation.end() && found->is_object()) {
    for (const auto& [name, numbers] : found->items()) {
      controls.push_back({name, numbers});
    }
  }
  return controls;
}

std::string worded(const std::string& key, double value) {
  const bool is_share = key.find("accuracy") != std::string::npos && value >= 0.0 && value <= 1.0;
  return is_share ? percent(value) : readable(value);
}

std::string worded_or(const json& numbers, const std::string& key, const std::string& otherwise) {
  const auto value = number_at(numbers, key);
  return value ? worded(key, *value) : otherwise;
}

json bar(const std::string& label, double accuracy, bool is_control) {
  return {{"label", label},
          {"value", percent(accuracy)},
          {"width", std::clamp(100.0 * accuracy, 0.0, 100.0)},
          {"is_control", is_control}};
}

// Nothing when the encoder beats every control, or when there is none.
std::optional<std::string> verdict(const json& evaluation) {
  const auto accuracy = number_at(evaluation["numbers"], "accuracy");
  std::vector<std::string> better;
  for (const auto& control : controls_of(evaluation)) {
    const auto reference = number_at(control.numbers, "accuracy");
    if (accuracy && reference && *reference >= *accuracy) {
      better.push_back(control.name);
    }
  }
  if (better.empty()) {
    return std::nullopt;
  }
  return fmt::format("This does not beat the control: {}.", fmt::join(better, ", "));
}

using Matrix = std::vector<std::vector<std::int64_t>>;

// Below 2^40, so that sums stay exact here and in the page.
bool is_count(const json& value) {
  return value.is_number_integer() && value >= 0 && value < (std::int64_t{1} << 40U);
}

bool is_list(const json& value, std::size_t size, bool (*is_right)(const json&)) {
  return value.is_array() && value.size() == size &&
         std::all_of(value.begin(), value.end(), is_right);
}

Matrix matrix_of(const json& confusion, const std::string& place) {
  const json classes = confusion.is_object() ? confusion.value("classes", json()) : json();
  const json rows = confusion.is_object() ? confusion.value("matrix", json()) : json();
  const std::size_t size = classes.size();
  const bool is_right = is_list(classes, size, [](const json& name) { return name.is_string(); }) &&
                        is_list(rows, size, [](const json& row) { return row.is_array(); }) &&
                        std::all_of(rows.begin(), rows.end(), [size](const json& row) {
                          return is_list(row, size, is_count);
                        });
  if (!is_right) {
    throw DataError(fmt::format(
        "{}: \"confusion\" must hold \"classes\", n names, and \"matrix\", n rows of n counts",
        place));
  }
  return rows.get<Matrix>();
}

json worst_confusions(const Matrix& matrix, const json& classes) {
  struct Mistake {
    std::int64_t count;
    std::size_t truth;
    std::size_t guess;
  };
  std::vector<Mistake> mistakes;
  std::vector<std::int64_t> totals(matrix.size(), 0);
  for (std::size_t truth = 0; truth < matrix.size(); ++truth) {
    for (std::size_t guess = 0; guess < matrix.size(); ++guess) {
      totals[truth] += matrix[truth][guess];
      if (truth != guess && matrix[truth][guess] > 0) {
        mistakes.push_back({matrix[truth][guess], truth, guess});
      }
    }
  }
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.count > b.count; });
  mistakes.resize(std::min(mistakes.size(), kWorstConfusions));
  json worst = json::array();
  for (const auto& [count, truth, guess] : mistakes) {
    const double share = static_cast<double>(count) / static_cast<double>(totals[truth]);
    worst.push_back({{"truth", classes[truth]},
                     {"guess", classes[guess]},
                     {"count", grouped(count)},
                     {"share", percent(share)}});
  }
  return worst;
}

}  // namespace

std::string evaluation_subject(const json& evaluation) {
  std::vector<std::string> parts;
  if (const auto dataset = text_at(evaluation, "dataset")) {
    parts.push_back(last_part(*dataset));
  }
  const std::string split = text_at(evaluation, "split").value_or("");
  if (!split.empty()) {
    parts.push_back(split);
  }
  if (const auto count = number_at(evaluation.value("counts", json::object()), split)) {
    parts.push_back(readable(*count) + " images");
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string evaluation_title(const std::string& name) {
  static const std::map<std::string, std::string> titles{{"knn", "Nearest neighbours"},
                                                         {"linear", "Linear probe"},
                                                         {"few_labels", "Probe with few labels"},
                                                         {"clustering", "Clustering"},
                                                         {"retrieval", "Retrieval"},
                                                         {"spectrum", "Spread of features"},
                                                         {"robustness", "Robustness"},
                                                         {"invariance", "Invariance"},
                                                         {"alignment", "Alignment"},
                                                         {"sets", "Views of one thing"},
                                                         {"solids", "Rendered solids"},
                                                         {"map", "Map"},
                                                         {"duplicates", "Near duplicates"},
                                                         {"adversarial", "Attacks"},
                                                         {"fine_tuning", "Fine-tuning"}};
  const auto found = titles.find(name);
  return found == titles.end() ? name : found->second;
}

json result_cards(const std::vector<EvaluationFile>& evaluations) {
  json cards = json::array();
  for (const auto& [path, content] : evaluations) {
    const auto accuracy = number_at(content["numbers"], "accuracy");
    if (!accuracy) {
      continue;
    }
    json bars = json::array({bar("this encoder", *accuracy, false)});
    for (const auto& control : controls_of(content)) {
      if (const auto reference = number_at(control.numbers, "accuracy")) {
        bars.push_back(bar(control.name, *reference, true));
      }
    }
    const auto protocol = text_at(content, "protocol");
    const auto remark = verdict(content);
    cards.push_back({{"title", title_of(content)},
                     {"subject", evaluation_subject(content)},
                     {"value", percent(*accuracy)},
                     {"protocol", protocol ? json(*protocol) : json()},
                     {"bars", std::move(bars)},
                     {"verdict", remark ? json(*remark) : json()}});
  }
  return cards;
}

json result_table(const std::vector<EvaluationFile>& evaluations) {
  std::vector<std::string> names;
  for (const auto& evaluation : evaluations) {
    for (const auto& control : controls_of(evaluation.content)) {
      if (std::find(names.begin(), names.end(), control.name) == names.end()) {
        names.push_back(control.name);
      }
    }
  }
  json rows = json::array();
  for (const auto& [path, content] : evaluations) {
    for (const auto& [key, value] : content["numbers"].items()) {
      json cells = json::array();
      for (const auto& name : names) {
        const json controls = content.value("controls", json::object());
        cells.push_back(controls.contains(name) ? worded_or(controls[name], key, "") : "");
      }
      rows.push_back({{"evaluation", title_of(content)},
                      {"subject", evaluation_subject(content)},
                      {"number", key},
                      {"value", worded_or(content["numbers"], key, "not a number")},
                      {"cells", std::move(cells)}});
    }
  }
  if (rows.empty()) {
    return {};
  }
  constexpr std::size_t kShort = 24;  // more are in the way of what comes below
  return {{"controls", names},
          {"count", rows.size()},
          {"open", rows.size() <= kShort ? "open" : ""},
          {"rows", std::move(rows)}};
}

json confusions_model(const std::vector<EvaluationFile>& evaluations) {
  json confusions = json::array();
  for (const auto& [path, content] : evaluations) {
    if (!content.contains("confusion")) {
      continue;
    }
    const json& confusion = content["confusion"];
    const auto matrix = matrix_of(confusion, path.string());
    const bool is_drawn = matrix.size() <= kMaxDrawnClasses;
    confusions.push_back({{"title", title_of(content)},
                          {"classes", is_drawn ? confusion["classes"] : json::array()},
                          {"matrix", is_drawn ? json(matrix) : json::array()},
                          {"is_drawn", is_drawn},
                          {"worst", worst_confusions(matrix, confusion["classes"])}});
  }
  return confusions;
}

std::vector<std::string> result_sentences(const std::vector<EvaluationFile>& evaluations) {
  // Of an audit, which has many, those that people ask for first.
  static const std::set<std::string> asked{"knn", "linear", "fine_tuning"};
  constexpr std::size_t kFew = 4;
  std::vector<std::string> sentences;
  for (const auto& evaluation : evaluations) {
    const json& content = evaluation.content;
    const auto accuracy = number_at(content["numbers"], "accuracy");
    if (!accuracy || (evaluations.size() > kFew &&
                      !asked.contains(text_at(content, "evaluation").value_or("")))) {
      continue;
    }
    std::vector<std::string> controls;
    for (const auto& control : controls_of(content)) {
      controls.push_back(fmt::format("{} for {}", worded_or(control.numbers, "accuracy", "nothing"),
                                     control.name));
    }
    std::string sentence = fmt::format("{}: {} accuracy", title_of(content), percent(*accuracy));
    if (const std::string subject = evaluation_subject(content); !subject.empty()) {
      sentence += fmt::format(" on {}", subject);
    }
    if (!controls.empty()) {
      sentence += fmt::format(", against {}", fmt::join(controls, " and "));
    }
    sentence += ".";
    if (const auto remark = verdict(content)) {
      sentence += " " + *remark;
    }
    sentences.push_back(std::move(sentence));
  }
  return sentences;
}

}  // namespace viewfold::report
