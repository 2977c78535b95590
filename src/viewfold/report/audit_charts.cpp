// Implements the models of an audit.
#include "viewfold/report/audit_charts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/report/findings.hpp"
#include "viewfold/report/results.hpp"
#include "viewfold/report/text.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

// Beyond these a chart is no longer read, and the page grows by megabytes.
constexpr std::size_t kMaxRows = 100;  // bars, curves, corruptions
constexpr std::size_t kMaxStrengths = 200;
constexpr double kMaxStrength = 1e6;
constexpr std::size_t kMaxSeverities = 20;
constexpr std::size_t kMaxPoints = 20000;
constexpr std::size_t kMaxLegend = 200;
constexpr std::size_t kMaxPairs = 20;

constexpr double kMapSide = 100000.0;  // finer than the pixels of a map that is zoomed in
constexpr double kSlack = 1e-6;        // of cosines and shares that were computed in float32

[[noreturn]] void refuse(const EvaluationFile& file, const std::string& problem) {
  throw DataError(fmt::format("{}: {}", file.path.string(), problem));
}

// Four digits are more than a chart shows.
double shortened(double value) {
  return std::round(value * 1e4) / 1e4;
}

std::string two_digits(double value) {
  const std::string text = fmt::format("{:.2f}", value);
  return text == "-0.00" ? "0.00" : text;
}

json or_null(const std::optional<std::string>& text) {
  return text ? json(*text) : json();
}

// What the sections of all evaluations begin with.
json section_of(const EvaluationFile& file) {
  return {{"subject", evaluation_subject(file.content)},
          {"protocol", or_null(text_at(file.content, "protocol"))}};
}

// An integer of 64 bits, or nothing.
std::optional<std::int64_t> integer_at(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end() || !found->is_number_integer() ||
      (found->is_number_unsigned() && found->get<std::uint64_t>() > INT64_MAX)) {
    return std::nullopt;
  }
  return found->get<std::int64_t>();
}

// The list at `key`, empty when there is no such key. Throws DataError when it is no list.
json list_at(const EvaluationFile& file, const char* key) {
  const auto found = file.content.find(key);
  if (found == file.content.end()) {
    return json::array();
  }
  if (!found->is_array()) {
    refuse(file, fmt::format("\"{}\" must be a list", key));
  }
  return *found;
}

json facts_of(const EvaluationFile& file) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kNames{
      {{"pairs_train", "pairs within training images"},
       {"pairs_test", "pairs within test images"},
       {"pairs_across", "pairs across training and test images"},
       {"other_label_pairs", "pairs under different labels"},
       {"test_images_with_twin", "test images with a twin in training"},
       {"test_twin_share", "of all test images"}}};
  const auto worded = [](const std::string& key, double value) {
    return key.ends_with("share") && value >= 0.0 && value <= 1.0 ? percent(value)
                                                                  : readable(value);
  };
  json facts = json::array();
  for (const auto& [key, value] : file.content["numbers"].items()) {
    const auto* const known = std::find_if(
        kNames.begin(), kNames.end(), [&key = key](const auto& name) { return name.first == key; });
    facts.push_back(
        {{"name", known == kNames.end() ? spoken(key) : std::string(known->second)},
         {"value", value.is_number() ? worded(key, value.get<double>()) : "not a number"}});
  }
  return facts;
}

// Invariance.

std::string verdict_on(double similarity) {
  return similarity >= kIgnoresFrom ? "ignores" : similarity < kSeesBelow ? "sees" : "";
}

json families_of(const EvaluationFile& file) {
  std::vector<std::pair<double, std::string>> sorted;
  for (const auto& [name, values] : lists_by_name(file, "similarity")) {
    if (values.size() != 1 || std::abs(values.front()) > 1.0 + kSlack) {
      refuse(file, fmt::format("\"{}\" of \"similarity\" must be a number from -1 to 1", name));
    }
    sorted.emplace_back(-values.front(), spoken(name));
  }
  std::sort(sorted.begin(), sorted.end());
  json families = json::array();
  for (const auto& [negative, title] : sorted) {
    families.push_back({{"title", title},
                        {"value", shortened(-negative)},
                        {"text", two_digits(-negative)},
                        {"verdict", verdict_on(-negative)}});
  }
  return families;
}

struct Response {
  double strength = 0.0;
  std::optional<double> similarity;  // nothing where no image had one
};

// By strength.
std::vector<Response> responses_of(const json& curve, const EvaluationFile& file, std::size_t at) {
  const json strengths = curve.value("strengths", json());
  const json similarity = curve.value("similarity", json());
  const auto is_cosine = [](const json& value) {
    return value.is_null() || (value.is_number() && std::abs(value.get<double>()) <= 1.0 + kSlack);
  };
  const auto is_strength = [](const json& value) {
    return value.is_number() && std::abs(value.get<double>()) <= kMaxStrength;
  };
  const bool is_right = strengths.is_array() && similarity.is_array() &&
                        strengths.size() == similarity.size() && !strengths.empty() &&
                        strengths.size() <= kMaxStrengths &&
                        std::all_of(strengths.begin(), strengths.end(), is_strength) &&
                        std::all_of(similarity.begin(), similarity.end(), is_cosine);
  if (!is_right) {
    refuse(file, fmt::format("curve {} of \"curves\" needs \"strengths\", up to {} numbers of at "
                             "most {} in size, and "
                             "\"similarity\", as many from -1 to 1",
                             at, kMaxStrengths, kMaxStrength));
  }
  std::vector<Response> responses;
  for (std::size_t i = 0; i < strengths.size(); ++i) {
    responses.push_back({.strength = strengths[i].get<double>(), .similarity = {}});
    if (similarity[i].is_number()) {
      responses.back().similarity = similarity[i].get<double>();
    }
  }
  std::stable_sort(responses.begin(), responses.end(),
                   [](const Response& a, const Response& b) { return a.strength < b.strength; });
  return responses;
}

// "at 30 degrees"; a factor stands alone.
std::string place_text(double strength, const std::string& unit) {
  if (unit == "applied") {
    return strength == 0.0 ? "where it is not applied" : "where it is applied";
  }
  return unit.empty() || unit == "factor" ? fmt::format("at {}", readable(strength))
                                          : fmt::format("at {} {}", readable(strength), unit);
}

json response_model(const json& curve, const EvaluationFile& file, std::size_t at) {
  const auto family = text_at(curve, "family");
  const auto identity = number_at(curve, "identity");
  if (!family || !identity || std::abs(*identity) > kMaxStrength) {
    refuse(file, fmt::format("curve {} of \"curves\" needs \"family\", a text, and \"identity\", a "
                             "number of at most {} in size",
                             at, kMaxStrength));
  }
  const auto responses = responses_of(curve, file, at);
  const std::string unit = text_at(curve, "unit").value_or("");
  json points = json::array();
  const Response* lowest = nullptr;
  for (const auto& response : responses) {
    points.push_back(
        {response.strength, response.similarity ? json(shortened(*response.similarity)) : json()});
    if (response.similarity && (lowest == nullptr || *response.similarity < *lowest->similarity)) {
      lowest = &response;
    }
  }
  const std::string title = spoken(*family);
  return {{"title", title},
          {"unit", unit},
          {"identity", *identity},
          // Factors are spaced by ratios on both sides of 1.
          {"is_ratio", unit == "factor" && responses.front().strength > 0.0 && *identity > 0.0},
          {"lowest", lowest == nullptr ? "-" : two_digits(*lowest->similarity)},
          {"label", lowest == nullptr ? fmt::format("{}: no similarity was measured", title)
                                      : fmt::format("{}: the similarity is lowest, {}, {}", title,
                                                    two_digits(*lowest->similarity),
                                                    place_text(lowest->strength, unit))},
          {"points", std::move(points)}};
}

// Robustness.

double share_of(const EvaluationFile& file, std::optional<double> value, const std::string& name) {
  if (!value || *value < -kSlack || *value > 1.0 + kSlack) {
    refuse(file, fmt::format("{} must be a number from 0 to 1", name));
  }
  return *value;
}

struct Corruption {
  std::string name;
  std::vector<double> accuracy;  // by severity
  double mean = 0.0;
};

// The most harmful first.
std::vector<Corruption> corruptions_of(const EvaluationFile& file) {
  std::vector<Corruption> corruptions;
  for (const auto& [name, accuracy] : lists_by_name(file, "accuracy_by_severity")) {
    for (const double value : accuracy) {
      (void)share_of(file, value, fmt::format("\"{}\" of \"accuracy_by_severity\"", name));
    }
    corruptions.push_back({.name = spoken(name),
                           .accuracy = accuracy,
                           .mean = std::accumulate(accuracy.begin(), accuracy.end(), 0.0) /
                                   static_cast<double>(accuracy.size())});
  }
  std::stable_sort(corruptions.begin(), corruptions.end(),
                   [](const Corruption& a, const Corruption& b) { return a.mean < b.mean; });
  return corruptions;
}

json corruption_rows(const std::vector<Corruption>& corruptions, std::size_t severities) {
  json rows = json::array();
  for (const auto& corruption : corruptions) {
    json values = json::array();
    json cells = json::array();
    for (std::size_t i = 0; i < severities; ++i) {
      const bool is_there = i < corruption.accuracy.size();
      values.push_back(is_there ? json(shortened(corruption.accuracy[i])) : json());
      cells.push_back(is_there ? percent(corruption.accuracy[i]) : "-");
    }
    rows.push_back(
        {{"title", corruption.name}, {"values", std::move(values)}, {"cells", std::move(cells)}});
  }
  return rows;
}

// The map.

struct MapPoint {
  double x = 0.0;
  double y = 0.0;
  std::int64_t label = -1;
  std::string name;
};

std::vector<std::string> class_names(const EvaluationFile& file) {
  std::vector<std::string> names;
  for (const json& name : list_at(file, "classes")) {
    if (!name.is_string()) {
      refuse(file, "\"classes\" must hold names");
    }
    names.push_back(name.get<std::string>());
  }
  return names;
}

std::vector<MapPoint> map_points(const EvaluationFile& file, std::size_t classes) {
  std::vector<MapPoint> points;
  for (const json& point : list_at(file, "points")) {
    const auto x = number_at(point, "x");
    const auto y = number_at(point, "y");
    const auto label = integer_at(point, "label");
    if (!x || !y || !label || *label < -1 || *label >= static_cast<std::int64_t>(classes)) {
      refuse(file, fmt::format("point {} of \"points\" needs \"x\" and \"y\", numbers, and "
                               "\"label\", -1 or the number of one of {} \"classes\"",
                               points.size(), classes));
    }
    points.push_back(
        {.x = *x, .y = *y, .label = *label, .name = text_at(point, "name").value_or("")});
  }
  return points;
}

// Where the points lie on a square of kMapSide, one scale for both directions.
json scaled(std::span<const MapPoint> points, double MapPoint::*axis, double span) {
  const auto by_axis = [axis](const MapPoint& a, const MapPoint& b) { return a.*axis < b.*axis; };
  const double lowest = (*std::min_element(points.begin(), points.end(), by_axis)).*axis;
  json places = json::array();
  for (const auto& point : points) {
    // Halves, because the difference of two numbers may be none.
    const double half = point.*axis / 2.0 - lowest / 2.0;
    places.push_back(span > 0.0 ? static_cast<int>(std::round(kMapSide * (half / span))) : 0);
  }
  return places;
}

// Half of the longer side.
double half_span(std::span<const MapPoint> points) {
  const auto [left, right] = std::minmax_element(
      points.begin(), points.end(), [](const MapPoint& a, const MapPoint& b) { return a.x < b.x; });
  const auto [low, high] = std::minmax_element(
      points.begin(), points.end(), [](const MapPoint& a, const MapPoint& b) { return a.y < b.y; });
  return std::max(right->x / 2.0 - left->x / 2.0, high->y / 2.0 - low->y / 2.0);
}

json places_model(std::span<const MapPoint> points, std::span<const std::int64_t> shown_class) {
  json labels = json::array();
  json names = json::array();
  for (const auto& point : points) {
    labels.push_back(point.label < 0 ? -1 : shown_class[static_cast<std::size_t>(point.label)]);
    names.push_back(point.name);
  }
  const double span = half_span(points);
  return {{"x", scaled(points, &MapPoint::x, span)},
          {"y", scaled(points, &MapPoint::y, span)},
          {"class", std::move(labels)},
          {"name", std::move(names)}};
}

// Points, and the classes that have some of them, in the order of the file.
void add_places(const EvaluationFile& file, std::span<const MapPoint> points, json& map) {
  const auto names = class_names(file);
  std::vector<std::size_t> counts(names.size() + 1, 0);  // the last is of no class
  for (const auto& point : points) {
    ++counts[point.label < 0 ? names.size() : static_cast<std::size_t>(point.label)];
  }
  std::vector<std::int64_t> shown_class(names.size(), -1);
  json shown = json::array();
  json legend = json::array();
  for (std::size_t i = 0; i <= names.size(); ++i) {
    if (counts[i] == 0) {
      continue;
    }
    const bool is_class = i < names.size();
    const auto index = is_class ? static_cast<std::int64_t>(shown.size()) : -1;
    if (is_class) {
      shown_class[i] = index;
      shown.push_back(names[i]);
    }
    legend.push_back({{"index", index},
                      {"name", is_class ? names[i] : "no class"},
                      {"count", grouped(static_cast<std::int64_t>(counts[i]))}});
  }
  map["more"] =
      legend.size() <= kMaxLegend
          ? json()
          : json(fmt::format("and {} classes more",
                             grouped(static_cast<std::int64_t>(legend.size() - kMaxLegend))));
  legend.erase(legend.begin() + static_cast<std::ptrdiff_t>(std::min(kMaxLegend, legend.size())),
               legend.end());
  map["points"] = places_model(points, shown_class);
  map["classes"] = std::move(shown);
  map["legend"] = std::move(legend);
}

// The sheet of thumbnails; null when the run has none.
json sprite_model(const std::filesystem::path& dir, const EvaluationFile& file, std::size_t count) {
  if (!file.content.contains("sprite") || file.content["sprite"].is_null()) {
    return {};
  }
  constexpr std::int64_t kMaxTile = 512;
  constexpr std::int64_t kMaxColumns = 65535;  // of a JPEG (ISO/IEC 10918-1, table B.2)
  const json& sprite = file.content["sprite"];
  const auto picture = text_at(sprite, "file");
  const auto tile = integer_at(sprite, "tile").value_or(0);
  const auto columns = integer_at(sprite, "columns").value_or(0);
  if (!picture || tile < 1 || tile > kMaxTile || columns < 1 || columns > kMaxColumns) {
    refuse(file, fmt::format("\"sprite\" needs \"file\", a text, \"tile\", 1 to {}, and "
                             "\"columns\", 1 to {}",
                             kMaxTile, kMaxColumns));
  }
  json model = picture_model(dir, *picture, "Thumbnails");
  if (model.is_null()) {
    return model;
  }
  const auto tiles = static_cast<std::int64_t>(count);
  const auto rows = (tiles + columns - 1) / columns;
  if (model["width"] < std::min(tiles, columns) * tile || model["height"] < rows * tile) {
    refuse(file, fmt::format("\"sprite\" must hold {} tiles of {} pixels in {} columns, but {} has "
                             "{} x {} pixels",
                             tiles, tile, columns, *picture, model["width"].dump(),
                             model["height"].dump()));
  }
  model["tile"] = tile;
  model["columns"] = columns;
  return model;
}

// Near duplicates.

std::string kind_text(const EvaluationFile& file, const json& pair, std::size_t at) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kKinds{
      {{"across", "training and test"}, {"train", "both training"}, {"test", "both test"}}};
  const auto kind = text_at(pair, "kind").value_or("");
  const auto* const found = std::find_if(
      kKinds.begin(), kKinds.end(), [&kind](const auto& known) { return known.first == kind; });
  if (found == kKinds.end()) {
    refuse(file,
           fmt::format("pair {} of \"pairs\" needs \"kind\", one of across, train, test", at));
  }
  std::string text(found->second);
  for (const char* how : {"identical", "mirrored"}) {
    if (pair.value(how, json()) == true) {
      text += fmt::format(", {}", how);
    }
  }
  return text;
}

std::string labels_text(const EvaluationFile& file, const json& pair, std::size_t at) {
  const auto same = pair.find("same_label");
  if (same == pair.end() || same->is_null()) {
    return "-";
  }
  if (!same->is_boolean()) {
    refuse(file, fmt::format("\"same_label\" of pair {} of \"pairs\" must be true or false", at));
  }
  return same->get<bool>() ? "same" : "different";
}

// Four digits behind the point, where what differs stands.
std::string similarity_text(double similarity) {
  return std::abs(similarity) <= 1.0 + kSlack ? fmt::format("{:.4f}", similarity)
                                              : readable(similarity);
}

json pairs_of(const EvaluationFile& file, const json& list) {
  json pairs = json::array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto a = text_at(list[i], "a");
    const auto b = text_at(list[i], "b");
    const auto similarity = number_at(list[i], "similarity");
    if (!a || !b || !similarity) {
      refuse(file, fmt::format("pair {} of \"pairs\" needs \"a\" and \"b\", names of images, and "
                               "\"similarity\", a number",
                               i));
    }
    json row{{"a", *a},
             {"b", *b},
             {"kind", kind_text(file, list[i], i)},
             {"similarity", similarity_text(*similarity)},
             {"labels", labels_text(file, list[i], i)}};
    if (i < kMaxPairs) {
      pairs.push_back(std::move(row));
    }
  }
  return pairs;
}

}  // namespace

json invariance_model(const std::vector<EvaluationFile>& evaluations) {
  const auto* file = evaluation_named(evaluations, "invariance");
  if (file == nullptr) {
    return {};
  }
  json model = section_of(*file);
  model["families"] = families_of(*file);
  model["ignores_from"] = kIgnoresFrom;
  model["sees_below"] = kSeesBelow;
  model["curves"] = json::array();
  for (const json& curve : list_at(*file, "curves")) {
    model["curves"].push_back(response_model(curve, *file, model["curves"].size()));
  }
  model["has_bars"] = !model["families"].empty() && model["families"].size() <= kMaxRows;
  model["has_curves"] = !model["curves"].empty() && model["curves"].size() <= kMaxRows;
  return model;
}

json robustness_model(const std::vector<EvaluationFile>& evaluations) {
  const auto* file = evaluation_named(evaluations, "robustness");
  if (file == nullptr) {
    return {};
  }
  const double clean = share_of(*file, number_at(file->content["numbers"], "clean_accuracy"),
                                "\"clean_accuracy\" of \"numbers\"");
  const bool has_chance = file->content.contains("chance");
  const double chance =
      has_chance ? share_of(*file, number_at(file->content, "chance"), "\"chance\"") : 0.0;
  const auto corruptions = corruptions_of(*file);
  std::size_t severities = 0;
  double low = std::min(chance, clean);
  double high = std::max(chance, clean);
  for (const auto& corruption : corruptions) {
    const auto& accuracy = corruption.accuracy;
    severities = std::max(severities, accuracy.size());
    low = std::min(low, *std::min_element(accuracy.begin(), accuracy.end()));
    high = std::max(high, *std::max_element(accuracy.begin(), accuracy.end()));
  }
  const bool is_drawn =
      severities > 0 && severities <= kMaxSeverities && corruptions.size() <= kMaxRows;
  std::vector<std::size_t> numbers(is_drawn ? severities : 0);
  std::iota(numbers.begin(), numbers.end(), std::size_t{1});
  json model = section_of(*file);
  model.update(
      {{"clean", percent(clean)},
       {"chance", has_chance ? json(percent(chance)) : json()},
       {"low", shortened(low)},
       {"high", shortened(high)},
       {"low_text", percent(low)},
       {"high_text", percent(high)},
       {"share", clean > chance + kSlack ? json{{"clean", clean}, {"chance", chance}} : json()},
       {"severities", numbers},
       {"rows", is_drawn ? corruption_rows(corruptions, severities) : json::array()},
       {"is_drawn", is_drawn}});
  return model;
}

json map_model(const std::filesystem::path& dir, const std::vector<EvaluationFile>& evaluations) {
  const auto* file = evaluation_named(evaluations, "map");
  if (file == nullptr) {
    return {};
  }
  const auto points = map_points(*file, class_names(*file).size());
  if (points.empty()) {
    return {};
  }
  json model = section_of(*file);
  model["facts"] = facts_of(*file);
  model["count"] = grouped(static_cast<std::int64_t>(points.size()));
  model["is_drawn"] = points.size() <= kMaxPoints;
  for (const char* key : {"sprite", "more", "points", "classes"}) {
    model[key] = nullptr;
  }
  model["legend"] = json::array();
  if (model["is_drawn"]) {
    model["sprite"] = sprite_model(dir, *file, points.size());
    add_places(*file, points, model);
  }
  return model;
}

json duplicates_model(const std::filesystem::path& dir,
                      const std::vector<EvaluationFile>& evaluations) {
  const auto* file = evaluation_named(evaluations, "duplicates");
  if (file == nullptr) {
    return {};
  }
  const json list = list_at(*file, "pairs");
  json model = section_of(*file);
  model["facts"] = facts_of(*file);
  model["pairs"] = pairs_of(*file, list);
  model["has_pairs"] = !list.empty();
  model["more"] = list.size() <= kMaxPairs
                      ? json()
                      : json(fmt::format("The first {} of {} in eval/{}.", kMaxPairs,
                                         grouped(static_cast<std::int64_t>(list.size())),
                                         file->path.filename().string()));
  model["sheet"] = nullptr;
  if (file->content.contains("sheet") && !file->content["sheet"].is_null()) {
    const auto sheet = text_at(file->content, "sheet");
    if (!sheet) {
      refuse(*file, "\"sheet\" must be the name of a picture");
    }
    model["sheet"] = picture_model(dir, *sheet, "Near duplicates");
  }
  return model;
}

json picture_model(const std::filesystem::path& dir,
                   const std::filesystem::path& file,
                   const std::string& title) {
  const auto picture = read_picture(dir, file);
  if (!picture) {
    return {};
  }
  return {{"title", title},
          {"type", picture->type},
          {"base64", picture->base64},
          {"width", picture->width},
          {"height", picture->height}};
}

}  // namespace viewfold::report
