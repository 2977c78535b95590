// Assembles the page of a run.
#include "viewfold/report/report.hpp"

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/files.hpp"
#include "viewfold/report/audit_charts.hpp"
#include "viewfold/report/curves.hpp"
#include "viewfold/report/results.hpp"
#include "viewfold/report/run_files.hpp"
#include "viewfold/report/summary.hpp"
#include "viewfold/report/template.hpp"
#include "viewfold/report/text.hpp"
#include "viewfold/report/web_assets.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

json figures_model(const RunFiles& files) {
  json figures = json::array();
  for (const auto& evaluation : files.evaluations) {
    for (const json& figure : evaluation.content.value("figures", json::array())) {
      const auto file = text_at(figure, "file");
      json picture =
          file ? picture_model(files.dir, *file, text_at(figure, "title").value_or(*file)) : json();
      if (!picture.is_null()) {
        figures.push_back(std::move(picture));
      }
    }
  }
  return figures;
}

// Nested objects as dotted names, everything else as it would stand in the file.
void add_rows(const json& object, const std::string& prefix, json& rows) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object()) {
      add_rows(value, prefix + key + ".", rows);
    } else {
      rows.push_back({{"name", prefix + key},
                      {"value", value.is_string() ? value.get<std::string>() : value.dump()}});
    }
  }
}

json card_model(const json& card) {
  json rows = json::array();
  if (card.is_object()) {
    add_rows(card, "", rows);
  }
  return rows;
}

// What the page lacks, and what would produce it.
json missing_model(const json& page) {
  constexpr std::pair<std::string_view, std::string_view> kProducers[]{
      {"curves", "Curves of training: `viewfold pretrain` records them while it runs."},
      {"table", "Accuracies and controls: `viewfold evaluate` measures them."},
      {"confusions", "Confusion of classes: `viewfold evaluate` counts it."},
      {"views",
       "Contact sheet of views: `viewfold pretrain` draws figures/views.png when it starts."},
      {"neighbours",
       "Nearest neighbours in pictures: `viewfold pretrain` draws figures/neighbours.png when it "
       "ends."},
      {"settings", "Settings: `viewfold pretrain` writes them to resolved.toml."},
      {"card", "Card of the encoder: written beside the encoder when training ends."}};
  constexpr std::pair<std::string_view, std::string_view> kAudited[]{
      {"invariance", "invariance"},
      {"robustness", "robustness"},
      {"map", "map of embeddings"},
      {"duplicates", "near duplicates"}};
  const auto is_missing = [&page](std::string_view part) {
    const json& value = page[std::string(part)];
    // NOLINTNEXTLINE(readability-container-size-empty): a text is never empty() to this library
    return value.empty() || value == "";
  };
  json missing = json::array();
  for (const auto& [part, sentence] : kProducers) {
    if (is_missing(part)) {
      missing.push_back(sentence);
    }
  }
  std::vector<std::string_view> audited;
  for (const auto& [part, name] : kAudited) {
    if (is_missing(part)) {
      audited.push_back(name);
    }
  }
  if (!audited.empty()) {
    missing.push_back(
        fmt::format("Of an audit: {}. `viewfold audit` measures them.", fmt::join(audited, ", ")));
  }
  return missing;
}

// What the scripts of the page draw; pictures stay out of it.
json data_model(const json& page) {
  json data;
  for (const char* part : {"curves", "alarms", "confusions"}) {
    data[part] = page[part];
  }
  const auto add = [&](const char* part, std::initializer_list<const char*> keys) {
    data[part] = nullptr;
    for (const char* key : keys) {
      if (!page[part].is_null()) {
        data[part][key] = page[part][key];
      }
    }
  };
  add("invariance", {"families", "curves", "ignores_from", "sees_below", "has_bars", "has_curves"});
  add("robustness", {"rows", "severities", "low", "high", "share", "is_drawn"});
  add("map", {"points", "classes", "is_drawn"});
  if (!page["map"].is_null() && !page["map"]["sprite"].is_null()) {
    data["map"]["tile"] = page["map"]["sprite"]["tile"];
    data["map"]["columns"] = page["map"]["sprite"]["columns"];
  }
  return data;
}

json page_model(const RunFiles& files) {
  json page = summary_model(files);
  page["results"] = result_cards(files.evaluations);
  page["table"] = result_table(files.evaluations);
  page["curves"] = curves_model(files.metrics);
  page["confusions"] = confusions_model(files.evaluations);
  page["manifold"] = picture_model(files.dir, "figures/manifold.png", "Local manifolds");
  page["views"] = picture_model(files.dir, "figures/views.png", "Views");
  page["neighbours"] = picture_model(files.dir, "figures/neighbours.png", "Neighbours");
  page["figures"] = figures_model(files);
  page["invariance"] = invariance_model(files.evaluations);
  page["robustness"] = robustness_model(files.evaluations);
  page["map"] = map_model(files.dir, files.evaluations);
  page["duplicates"] = duplicates_model(files.dir, files.evaluations);
  page["settings"] = files.settings;
  page["card"] = card_model(files.card);
  page["missing"] = missing_model(page);
  for (const char* part :
       {"results", "curves", "figures", "card", "confusions", "alarms", "missing"}) {
    page[std::string("has_") + part] = !page[part].empty();
  }
  page["data"] = script_json(data_model(page));
  return page;
}

}  // namespace
}  // namespace viewfold::report

void viewfold::write_report(const std::filesystem::path& run_dir,
                            const std::filesystem::path& output) {
  const report::WebAssets& assets = report::web_assets();
  auto page = report::page_model(report::read_run_files(run_dir));
  page["style"] = assets.style;
  page["script"] = assets.script;
  page["charts"] = assets.charts;
  page["licences"] = assets.licences;
  write_file_atomically(output, report::render_template(assets.page, page));
}
