// Assembles the page of a run.
#include "viewfold/report/report.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "viewfold/core/files.hpp"
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

// Null when the run has no such picture.
json picture_model(const std::filesystem::path& dir, const std::string& file, std::string title) {
  const auto picture = read_picture(dir, file);
  if (!picture) {
    return {};
  }
  return {{"title", std::move(title)},
          {"base64", picture->base64},
          {"width", picture->width},
          {"height", picture->height}};
}

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
  json missing = json::array();
  for (const auto& [part, sentence] : kProducers) {
    const json& value = page[std::string(part)];
    // NOLINTNEXTLINE(readability-container-size-empty): a text is never empty() to this library
    if (value.empty() || value == "") {
      missing.push_back(sentence);
    }
  }
  return missing;
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
  page["settings"] = files.settings;
  page["card"] = card_model(files.card);
  page["missing"] = missing_model(page);
  for (const char* part :
       {"results", "curves", "figures", "card", "confusions", "alarms", "missing"}) {
    page[std::string("has_") + part] = !page[part].empty();
  }
  page["data"] = script_json(
      {{"curves", page["curves"]}, {"alarms", page["alarms"]}, {"confusions", page["confusions"]}});
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
