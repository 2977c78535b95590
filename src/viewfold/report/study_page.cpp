// Implements the pages of a study.
#include "viewfold/report/study_page.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/report/study_numbers.hpp"
#include "viewfold/report/study_tables.hpp"
#include "viewfold/report/template.hpp"
#include "viewfold/report/web_assets.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

// Figures first, then how they came about.
std::vector<StudyTable> further_tables(const StudyResults& results) {
  std::vector<StudyTable> tables;
  for (const auto& evaluation : results.plan.evaluations) {
    tables.push_back(run_table(results, evaluation));
  }
  for (const auto& audit : results.plan.audits) {
    for (auto& table : audit_tables(results, audit)) {
      tables.push_back(std::move(table));
    }
  }
  tables.push_back(time_table(results));
  tables.push_back(arm_table(results));
  return tables;
}

// ---- Markdown ----

// Text that stays within its cell and is no markup.
std::string cell(const std::string& text) {
  constexpr std::string_view kMarkup = "\\`*_[]<>#|~";
  std::string escaped;
  for (const char c : text) {
    if (kMarkup.find(c) != std::string_view::npos) {
      escaped += '\\';
    }
    escaped += c == '\n' || c == '\r' ? ' ' : c;
  }
  return escaped;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const auto& text : cells) {
    line += fmt::format(" {} |", cell(text));
  }
  return line + "\n";
}

std::string markdown_table(const StudyTable& table) {
  std::string text = fmt::format("\n## {}\n\n{}|---|", cell(table.title), markdown_row(table.head));
  for (std::size_t i = 1; i < table.head.size(); ++i) {
    text += table.holds_text ? "---|" : "--:|";
  }
  text += "\n";
  for (const auto& row : table.rows) {
    text += markdown_row(row);
  }
  return table.note.empty() ? text : text + fmt::format("\n{}\n", cell(table.note));
}

// ---- HTML ----

json bar(const std::string& label, double share, bool is_control) {
  return {{"label", label},
          {"value", fmt::format("{:.2f}", 100.0 * share)},
          {"width", fmt::format("{:.4g}", std::clamp(100.0 * share, 0.0, 100.0))},
          {"is_control", is_control}};
}

// Arms, then what the reference has to beat.
json bars_of(const StudyResults& results, const std::string& evaluation) {
  json bars = json::array();
  json controls = json::array();
  for (const auto& arm : results.arms) {
    if (const auto accuracy = accuracy_of(arm, evaluation)) {
      bars.push_back(bar(arm.arm.name, accuracy->mean, false));
    }
    for (const auto& name : controls_of(results, evaluation)) {
      const auto control = control_of(arm, evaluation, name);
      if (control && arm.arm.name == results.plan.reference) {
        controls.push_back(bar(name, control->mean, true));
      }
    }
  }
  bars.insert(bars.end(), controls.begin(), controls.end());
  return bars;
}

// Where on a line from `low` to `high` a number is, in percent.
struct Line {
  double low = 0.0;
  double high = 0.0;

  [[nodiscard]] std::string place(double number) const {
    return fmt::format("{:.4g}", 100.0 * (number - low) / (high - low));
  }
  [[nodiscard]] std::string length(double number) const {
    return fmt::format("{:.4g}", 100.0 * number / (high - low));
  }
};

Interval reach_of(const PairedDifference& difference) {
  const double mean = difference.summary.mean;
  return difference.interval.value_or(Interval{.low = mean, .high = mean});
}

Line line_for(const std::vector<std::pair<std::string, PairedDifference>>& differences) {
  Line line;
  for (const auto& [name, difference] : differences) {
    const Interval reach = reach_of(difference);
    line.low = std::min(line.low, reach.low);
    line.high = std::max(line.high, reach.high);
  }
  constexpr double kLeast = 0.001;  // a tenth of a point, when all are equal
  constexpr double kMargin = 0.05;  // of the line
  const double margin = std::max(kLeast, kMargin * (line.high - line.low));
  return {.low = line.low - margin, .high = line.high + margin};
}

json ranges_of(const StudyResults& results, const std::string& evaluation) {
  std::vector<std::pair<std::string, PairedDifference>> differences;
  for (const auto& arm : results.arms) {
    if (auto difference = difference_of(results, arm, evaluation)) {
      differences.emplace_back(arm.arm.name, std::move(*difference));
    }
  }
  const Line line = line_for(differences);
  json ranges = json::array();
  for (const auto& [name, difference] : differences) {
    const Interval reach = reach_of(difference);
    const std::string interval =
        difference.interval ? fmt::format("{} .. {}", points(reach.low), points(reach.high))
                            : "one seed";
    ranges.push_back({{"label", name},
                      {"value", fmt::format("{} ({})", points(difference.summary.mean), interval)},
                      {"zero", line.place(0.0)},
                      {"left", line.place(reach.low)},
                      {"width", line.length(reach.high - reach.low)},
                      {"mean", line.place(difference.summary.mean)}});
  }
  return ranges;
}

json table_model(const StudyTable& table) {
  const auto cells_of = [&table](const std::vector<std::string>& texts) {
    json cells = json::array();
    for (const auto& text : texts) {
      cells.push_back({{"text", text}, {"is_figure", !cells.empty() && !table.holds_text}});
    }
    return cells;
  };
  json rows = json::array();
  for (const auto& texts : table.rows) {
    json cells = cells_of(texts);
    cells.erase(0);
    rows.push_back({{"name", texts.front()}, {"cells", std::move(cells)}});
  }
  return {{"title", table.title},    {"note", table.note},    {"head", cells_of(table.head)},
          {"rows", std::move(rows)}, {"bars", json::array()}, {"ranges", json::array()}};
}

json tables_model(const StudyResults& results) {
  json tables = json::array();
  for (const auto& evaluation : results.plan.evaluations) {
    tables.push_back(table_model(evaluation_table(results, evaluation)));
    tables.back()["bars"] = bars_of(results, evaluation);
    tables.back()["ranges"] = ranges_of(results, evaluation);
  }
  for (const auto& table : further_tables(results)) {
    tables.push_back(table_model(table));
  }
  for (std::size_t i = 0; i < tables.size(); ++i) {
    tables[i]["number"] = i + 1;
    tables[i]["has_bars"] = !tables[i]["bars"].empty();
    tables[i]["has_ranges"] = !tables[i]["ranges"].empty();
  }
  return tables;
}

}  // namespace

std::string study_markdown(const StudyResults& results) {
  std::string text = fmt::format("# {}\n", cell(results.plan.title));
  if (!results.plan.question.empty()) {
    text += fmt::format("\n{}\n", cell(results.plan.question));
  }
  text += "\n";
  for (const auto& sentence : study_sentences(results)) {
    text += fmt::format("{}\n", cell(sentence));
  }
  const auto missing = missing_runs(results);
  text += missing.empty() ? "" : "\nMissing:\n\n";
  for (const auto& line : missing) {
    text += fmt::format("- {}\n", cell(line));
  }
  for (const auto& evaluation : results.plan.evaluations) {
    text += markdown_table(evaluation_table(results, evaluation));
  }
  for (const auto& table : further_tables(results)) {
    text += markdown_table(table);
  }
  return text;
}

std::string study_html(const StudyResults& results) {
  const WebAssets& assets = web_assets();
  const auto missing = missing_runs(results);
  const json model{{"title", results.plan.title},
                   {"question", results.plan.question},
                   {"sentences", study_sentences(results)},
                   {"reference", results.plan.reference},
                   {"missing", missing},
                   {"has_missing", !missing.empty()},
                   {"tables", tables_model(results)},
                   {"style", fmt::format("{}{}", assets.style, assets.study_style)}};
  return render_template(assets.study_page, model);
}

}  // namespace viewfold::report
