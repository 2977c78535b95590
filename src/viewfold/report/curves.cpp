// Implements the collection and thinning of curves.
#include "viewfold/report/curves.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/report/run_files.hpp"
#include "viewfold/report/text.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

/// How a measurement is shown.
struct CurveStyle {
  std::string_view key;
  std::string_view title;
  std::string_view note;
  std::string_view format = "number";
};

constexpr std::array<CurveStyle, 7> kKnownCurves{{
    {"loss", "Loss", "What training minimises. Its level says little across methods."},
    {"knn", "Nearest-neighbour accuracy",
     "Share of held-out images whose nearest neighbours in the features have the right label.",
     "percent"},
    {"std", "Spread of the embeddings",
     "About 1 when they fill the sphere; falls to 0 when they all become equal (collapse)."},
    {"rank", "Effective rank", "How many directions the embeddings use. A fall means collapse."},
    {"lr", "Learning rate", "The schedule that was followed."},
    {"views_per_second", "Speed", "Views per second through the whole of training."},
    {"data_wait", "Waiting for data", "Share of the time in which training waited for views.",
     "percent"},
}};

// What every line carries besides its measurements.
const std::set<std::string, std::less<>>& bookkeeping() {
  static const std::set<std::string, std::less<>> keys{"event", "step", "epoch", "time"};
  return keys;
}

// A chart 1000 pixels wide shows no more.
constexpr std::size_t kBuckets = 500;

// Events that carry measurements.
bool is_measured(std::string_view event) {
  return event == "train" || event == "online";
}

std::map<std::string, Points> collect(const std::vector<json>& metrics) {
  std::map<std::string, Points> collected;
  for (const json& line : metrics) {
    const auto step = number_at(line, "step");
    if (!step || !is_measured(text_at(line, "event").value_or(""))) {
      continue;
    }
    for (const auto& [key, value] : line.items()) {
      if (value.is_number() && !bookkeeping().contains(key) && std::isfinite(value.get<double>())) {
        collected[key].emplace_back(*step, value.get<double>());
      }
    }
  }
  return collected;
}

// Six digits are more than a chart shows, and half of the bytes of seventeen.
double shortened(double value) {
  return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr);
}

std::string worded(double value, std::string_view format) {
  return format == "percent" ? percent(value) : readable(value);
}

json curve_model(const CurveStyle& style, const Points& points) {
  json shown = json::array();
  for (const auto& [step, value] : thin_out(points, kBuckets)) {
    shown.push_back({step, shortened(value)});
  }
  return {{"title", style.title},
          {"note", style.note.empty() ? json() : json(style.note)},
          {"format", style.format},
          {"wide", style.key == "loss"},
          {"first", worded(points.front().second, style.format)},
          {"last", worded(points.back().second, style.format)},
          {"points", std::move(shown)}};
}

}  // namespace

Points thin_out(const Points& points, std::size_t buckets) {
  if (points.size() <= 2 * buckets) {
    return points;
  }
  Points kept;
  const auto by_value = [](const auto& a, const auto& b) { return a.second < b.second; };
  for (std::size_t i = 0; i < buckets; ++i) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(i * points.size() / buckets);
    const auto end =
        points.begin() + static_cast<std::ptrdiff_t>((i + 1) * points.size() / buckets);
    const auto [low, high] = std::minmax_element(begin, end, by_value);
    kept.push_back(*std::min(low, high));
    if (low != high) {
      kept.push_back(*std::max(low, high));
    }
  }
  return kept;
}

json curves_model(const std::vector<json>& metrics) {
  auto collected = collect(metrics);
  json curves = json::array();
  for (const auto& style : kKnownCurves) {
    const auto found = collected.find(std::string(style.key));
    if (found != collected.end()) {
      curves.push_back(curve_model(style, found->second));
      collected.erase(found);
    }
  }
  // What a method measures of itself.
  for (const auto& [key, points] : collected) {
    curves.push_back(curve_model({.key = key, .title = key, .note = ""}, points));
  }
  return curves;
}

}  // namespace viewfold::report
