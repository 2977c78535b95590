// Implements the comparison of runs, its tables and its page.
#include "viewfold/report/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/report/results.hpp"
#include "viewfold/report/run_files.hpp"
#include "viewfold/report/study_tables.hpp"
#include "viewfold/report/summary.hpp"
#include "viewfold/report/template.hpp"
#include "viewfold/report/text.hpp"
#include "viewfold/report/web_assets.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

constexpr const char* kNothing = "-";
constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

// ---- Runs and settings ----

std::vector<ComparedRun> describe(const std::vector<RunFiles>& runs) {
  std::vector<ComparedRun> described;
  std::map<std::string, int> uses;
  for (const auto& files : runs) {
    const json summary = summary_model(files);
    described.push_back({summary["name"], summary["sentences"][0]});
    ++uses[described.back().name];
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (uses[described[i].name] > 1) {
      described[i].name = valid_utf8(runs[i].dir.string());
    }
  }
  return described;
}

std::vector<ComparedSetting> compare_settings(const std::vector<RunFiles>& runs) {
  std::set<std::string> keys;
  for (const auto& files : runs) {
    for (const auto& [key, unused] : files.values) {
      keys.insert(key);
    }
  }
  std::vector<ComparedSetting> settings;
  for (const auto& key : keys) {
    ComparedSetting setting{.key = key, .values = {}};
    std::set<std::optional<std::string>> known;  // a run without settings does not differ in all
    for (const auto& files : runs) {
      const auto found = files.values.find(key);
      setting.values.push_back(found == files.values.end() ? std::nullopt
                                                           : std::optional(found->second));
      if (!files.values.empty()) {
        known.insert(setting.values.back());
      }
    }
    if (known.size() > 1) {
      settings.push_back(std::move(setting));
    }
  }
  return settings;
}

// ---- Numbers ----

bool is_event(const json& line, const char* event) {
  return text_at(line, "event") == event;
}

std::optional<double> largest(const RunFiles& files, const char* key) {
  std::optional<double> most;
  for (const json& line : files.metrics) {
    if (const auto number = number_at(line, key)) {
      most = std::max(most.value_or(*number), *number);
    }
  }
  return most;
}

// NaN when the last line that holds `key` holds no number, as after a loss that is NaN.
std::optional<double> last_of(const RunFiles& files, const char* event, const char* key) {
  for (auto line = files.metrics.rbegin(); line != files.metrics.rend(); ++line) {
    if (is_event(*line, event) && line->contains(key)) {
      return number_at(*line, key).value_or(kNoNumber);
    }
  }
  return std::nullopt;
}

std::optional<double> epochs_of(const RunFiles& files) {
  const auto last = largest(files, "epoch");
  return last ? std::optional(*last + 1.0) : std::nullopt;
}

std::optional<double> steps_of(const RunFiles& files) {
  return largest(files, "step");
}

// A mean over the last epoch: the loss of one batch is noise to a large part.
std::optional<double> final_loss_of(const RunFiles& files) {
  const auto epoch = last_of(files, "train", "epoch");
  double sum = 0.0;
  std::int64_t count = 0;
  for (const json& line : files.metrics) {
    if (is_event(line, "train") && line.contains("loss") && number_at(line, "epoch") == epoch) {
      sum += number_at(line, "loss").value_or(kNoNumber);
      ++count;
    }
  }
  return count > 0 ? std::optional(sum / static_cast<double>(count)) : std::nullopt;
}

std::optional<double> online_knn_of(const RunFiles& files) {
  return last_of(files, "online", "knn");
}

std::optional<double> speed_of(const RunFiles& files) {
  return last_of(files, "train", "views_per_second");
}

// From the first record to the last; nothing else tells how long a run took.
std::optional<double> minutes_of(const RunFiles& files) {
  std::vector<double> times;
  for (const json& line : files.metrics) {
    if (const auto time = number_at(line, "time")) {
      times.push_back(*time);
    }
  }
  if (times.size() < 2) {
    return std::nullopt;
  }
  const auto [first, last] = std::minmax_element(times.begin(), times.end());
  return (*last - *first) / 60.0;
}

std::optional<double> alarms_of(const RunFiles& files) {
  if (files.metrics.empty()) {
    return std::nullopt;
  }
  return static_cast<double>(
      std::count_if(files.metrics.begin(), files.metrics.end(),
                    [](const json& line) { return is_event(line, "alarm"); }));
}

/// What metrics.jsonl tells of a training.
struct Measure {
  const char* name;
  const char* note;
  bool is_share;
  std::optional<double> (*of)(const RunFiles&);
};

constexpr Measure kMeasures[]{{"epochs", "", false, epochs_of},
                              {"steps", "", false, steps_of},
                              {"final loss", "last epoch", false, final_loss_of},
                              {"kNN while training", "last", true, online_knn_of},
                              {"views a second", "", false, speed_of},
                              {"minutes", "with interruptions", false, minutes_of},
                              {"alarms", "", false, alarms_of}};

bool is_recorded(const ComparedNumber& number) {
  return std::any_of(number.values.begin(), number.values.end(),
                     [](const auto& value) { return value.has_value(); });
}

std::vector<ComparedNumber> compare_training(const std::vector<RunFiles>& runs) {
  std::vector<ComparedNumber> numbers;
  for (const auto& measure : kMeasures) {
    ComparedNumber number{
        .name = measure.name, .note = measure.note, .is_share = measure.is_share, .values = {}};
    for (const auto& files : runs) {
      number.values.push_back(measure.of(files));
    }
    if (is_recorded(number)) {
      numbers.push_back(std::move(number));
    }
  }
  return numbers;
}

/// What makes numbers of two runs comparable: "Linear probe" of "cifar10, test".
struct Subject {
  std::string evaluation;
  std::string images;

  bool operator<(const Subject& other) const {
    return std::tie(evaluation, images) < std::tie(other.evaluation, other.images);
  }
};

Subject subject_of(const json& evaluation) {
  std::vector<std::string> parts;
  if (const auto dataset = text_at(evaluation, "dataset")) {
    parts.push_back(last_part(*dataset));
  }
  if (const auto split = text_at(evaluation, "split")) {
    parts.push_back(*split);
  }
  return {.evaluation = evaluation_title(evaluation["evaluation"]),
          .images = fmt::format("{}", fmt::join(parts, ", "))};
}

bool is_share(const std::string& key, const std::vector<std::optional<double>>& values) {
  return key.find("accuracy") != std::string::npos &&
         std::none_of(values.begin(), values.end(),
                      [](const auto& value) { return value && (*value < 0.0 || *value > 1.0); });
}

std::vector<ComparedNumber> compare_evaluations(const std::vector<RunFiles>& runs) {
  std::map<std::pair<Subject, std::string>, std::vector<std::optional<double>>> found;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (const auto& [path, content] : runs[i].evaluations) {
      for (const auto& [key, unused] : content["numbers"].items()) {
        auto& values = found[{subject_of(content), key}];
        values.resize(runs.size());
        values[i] = number_at(content["numbers"], key).value_or(kNoNumber);
      }
    }
  }
  std::vector<ComparedNumber> numbers;
  for (const auto& [place, values] : found) {
    const auto& [subject, key] = place;
    numbers.push_back({.name = fmt::format("{}: {}", subject.evaluation, key),
                       .note = subject.images,
                       .is_share = is_share(key, values),
                       .values = values});
  }
  return numbers;
}

std::vector<std::string> remarks_on(const std::vector<RunFiles>& runs,
                                    const std::vector<ComparedRun>& described) {
  std::vector<std::string> remarks;
  std::map<Subject, std::map<std::string, std::vector<std::string>>> protocols;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].values.empty()) {
      remarks.push_back(
          fmt::format("The settings of {} are not known: its resolved.toml is missing or empty.",
                      described[i].name));
    }
    for (const auto& [path, content] : runs[i].evaluations) {
      if (const auto protocol = text_at(content, "protocol")) {
        protocols[subject_of(content)][*protocol].push_back(described[i].name);
      }
    }
  }
  for (const auto& [subject, names_by_protocol] : protocols) {
    std::vector<std::string> ways;
    for (const auto& [protocol, names] : names_by_protocol) {
      ways.push_back(fmt::format("{} ({})", fmt::join(names, ", "), protocol));
    }
    if (ways.size() > 1) {
      remarks.push_back(
          fmt::format("{}: not comparable, for it was measured in different ways, {}.",
                      subject.evaluation, fmt::join(ways, "; ")));
    }
  }
  return remarks;
}

// ---- Curves ----

void add_measurements(const RunFiles& files, json& every) {
  for (const json& line : files.metrics) {
    for (const auto& [key, value] : line.items()) {
      if (value.is_number()) {
        every[key] = value;
      }
    }
  }
}

// A curve of one point for every measurement of any run: the order in which to show them.
json layout_of(const std::vector<RunFiles>& runs) {
  json every{{"event", "train"}};
  for (const auto& files : runs) {
    add_measurements(files, every);
  }
  return curves_model(std::vector<json>{every});
}

void add_line(const json& curves, std::size_t run, ComparedCurve& compared) {
  for (const json& curve : curves) {
    if (curve["title"] == compared.title) {
      compared.lines.push_back({.run = run,
                                .points = curve["points"].get<Points>(),
                                .first = curve["first"],
                                .last = curve["last"]});
    }
  }
}

std::vector<ComparedCurve> compare_curves(const std::vector<RunFiles>& runs) {
  std::vector<json> models;
  models.reserve(runs.size());
  for (const auto& files : runs) {
    models.push_back(curves_model(files.metrics));
  }
  std::vector<ComparedCurve> curves;
  for (const json& layout : layout_of(runs)) {
    ComparedCurve curve{.title = layout["title"],
                        .note = text_at(layout, "note").value_or(""),
                        .is_share = layout["format"] == "percent",
                        .is_wide = layout["wide"],
                        .lines = {}};
    for (std::size_t i = 0; i < models.size(); ++i) {
      add_line(models[i], i, curve);
    }
    if (!curve.lines.empty()) {
      curves.push_back(std::move(curve));
    }
  }
  return curves;
}

// ---- Cells ----

// "15,237" where readable() would say "1.524e+04".
std::string plain_text(double value) {
  return readable(std::abs(value) >= 1000.0 ? std::round(value) : value);
}

std::string value_text(const ComparedNumber& number, const std::optional<double>& value) {
  if (!value) {
    return kNothing;
  }
  if (std::isnan(*value)) {
    return "not a number";
  }
  return number.is_share ? fmt::format("{:.2f}%", 100.0 * *value) : plain_text(*value);
}

std::string difference_text(const ComparedNumber& number, const std::optional<double>& value) {
  const auto& reference = number.values.front();
  if (!value || !reference || std::isnan(*value) || std::isnan(*reference)) {
    return kNothing;
  }
  const double difference = *value - *reference;
  if (number.is_share) {
    return points(difference);
  }
  return fmt::format("{}{}", difference > 0.0 ? "+" : "", plain_text(difference));
}

// Each run's value, and behind all but the first its difference.
std::vector<std::string> cells_of(const ComparedNumber& number) {
  std::vector<std::string> cells;
  for (std::size_t i = 0; i < number.values.size(); ++i) {
    cells.push_back(value_text(number, number.values[i]));
    if (i > 0) {
      cells.push_back(difference_text(number, number.values[i]));
    }
  }
  return cells;
}

std::vector<std::string> number_heads(const Comparison& comparison) {
  std::vector<std::string> heads;
  for (const auto& run : comparison.runs) {
    heads.push_back(run.name);
    if (heads.size() > 1) {
      heads.push_back(fmt::format("minus {}", comparison.runs.front().name));
    }
  }
  return heads;
}

// ---- Drawing ----

constexpr int kColours = 8;       // as many as web/compare.css gives
constexpr int kDashes = 4;        // ditto
constexpr double kSide = 1000.0;  // of the drawing, which is stretched to its place

struct Axis {
  double low = 0.0;
  double high = 1.0;

  // Halved, because the whole may be more than a double holds.
  [[nodiscard]] double half() const { return high / 2.0 - low / 2.0; }
  [[nodiscard]] double share(double value) const { return (value / 2.0 - low / 2.0) / half(); }
};

// Has some length and some room at both ends.
Axis axis_for(double low, double high) {
  constexpr double kLeast = 1e-290;  // below it the places of ticks are no numbers
  constexpr double kRoom = 0.08;     // of half of it
  constexpr double kMost = std::numeric_limits<double>::max();
  double room = kRoom * Axis{.low = low, .high = high}.half();
  if (room < kLeast) {
    room = low == 0.0 ? 1.0 : std::max(kLeast, std::abs(low) / 2.0);
  }
  return {.low = std::max(low - room, -kMost), .high = std::min(high + room, kMost)};
}

// Round numbers, two to six of them.
std::vector<double> ticks_on(const Axis& axis) {
  const double rough = axis.half() / 2.5;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double digit = rough / power;
  const double step = power * (digit <= 1.0 ? 1.0 : digit <= 2.0 ? 2.0 : digit <= 5.0 ? 5.0 : 10.0);
  std::vector<double> ticks;
  for (double i = std::ceil(axis.low / step); i * step <= axis.high; ++i) {
    ticks.push_back(i * step + 0.0);  // no -0
  }
  return ticks;
}

// Short enough for small pictures: "20k".
std::string tick_text(double value, bool is_share) {
  const double size = std::abs(value);
  if (is_share) {
    return fmt::format("{:.6g}%", 100.0 * value);
  }
  if (size >= 1e3 && size < 1e9) {
    return size < 1e6 ? fmt::format("{:.7g}k", value / 1e3) : fmt::format("{:.7g}M", value / 1e6);
  }
  return fmt::format("{:.7g}", value);
}

// Places in percent from the start of the axis, or from its end.
json ticks_model(const Axis& axis, bool is_share, bool from_end) {
  json ticks = json::array();
  for (const double tick : ticks_on(axis)) {
    const double share = from_end ? 1.0 - axis.share(tick) : axis.share(tick);
    ticks.push_back(
        {{"place", fmt::format("{:.4g}", 100.0 * share)}, {"text", tick_text(tick, is_share)}});
  }
  return ticks;
}

std::string path_of(const Points& points, const Axis& across, const Axis& up) {
  std::string path;
  for (const auto& [step, value] : points) {
    path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "M" : "L", kSide * across.share(step),
                        kSide * (1.0 - up.share(value)));
  }
  return points.size() == 1 ? path + "h0" : path;  // a dot
}

Axis axis_of(const ComparedCurve& curve) {
  double low = std::numeric_limits<double>::max();
  double high = -low;
  for (const auto& line : curve.lines) {
    for (const auto& [step, value] : line.points) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  return axis_for(low, high);
}

Axis steps_axis(const std::vector<ComparedCurve>& curves) {
  Axis axis{.low = 0.0, .high = 1.0};
  for (const auto& curve : curves) {
    for (const auto& line : curve.lines) {
      for (const auto& [step, value] : line.points) {
        axis.low = std::min(axis.low, step);
        axis.high = std::max(axis.high, step);
      }
    }
  }
  return axis;
}

// How the lines of a run look; neighbours differ in more than their colour.
std::string look_of(std::size_t run) {
  return fmt::format("colour-{} dash-{}", run % kColours + 1, (run + run / kColours) % kDashes + 1);
}

json curve_model(const ComparedCurve& curve, const Axis& across, const Comparison& comparison) {
  const Axis up = axis_of(curve);
  json lines = json::array();
  std::vector<std::string> spans;
  for (const auto& line : curve.lines) {
    const std::string& name = comparison.runs[line.run].name;
    spans.push_back(fmt::format("{} from {} to {}", name, line.first, line.last));
    lines.push_back({{"name", name},
                     {"look", look_of(line.run)},
                     {"first", line.first},
                     {"last", line.last},
                     {"path", path_of(line.points, across, up)}});
  }
  return {{"title", curve.title},
          {"note", curve.note},
          {"wide", curve.is_wide},
          {"label", fmt::format("{}: {}", curve.title, fmt::join(spans, "; "))},
          {"across", ticks_model(across, false, false)},
          {"up", ticks_model(up, curve.is_share, true)},
          {"lines", std::move(lines)}};
}

// ---- Page ----

json settings_model(const Comparison& comparison) {
  json rows = json::array();
  for (const auto& setting : comparison.settings) {
    json cells = json::array();
    for (const auto& value : setting.values) {
      cells.push_back(value.value_or(kNothing));
    }
    rows.push_back({{"key", setting.key}, {"cells", std::move(cells)}});
  }
  return rows;
}

json numbers_model(const Comparison& comparison) {
  json rows = json::array();
  for (const auto& number : comparison.numbers) {
    json cells = json::array();
    for (const auto& text : cells_of(number)) {
      const bool is_difference = cells.size() >= 2 && cells.size() % 2 == 0;  // see cells_of()
      cells.push_back({{"text", text}, {"is_difference", is_difference}});
    }
    rows.push_back({{"name", number.name}, {"note", number.note}, {"cells", std::move(cells)}});
  }
  return rows;
}

json page_model(const Comparison& comparison) {
  json runs = json::array();
  std::vector<std::string> names;
  for (const auto& run : comparison.runs) {
    runs.push_back(
        {{"name", run.name}, {"sentence", run.sentence}, {"look", look_of(runs.size())}});
    names.push_back(run.name);
  }
  const Axis across = steps_axis(comparison.curves);
  json curves = json::array();
  for (const auto& curve : comparison.curves) {
    curves.push_back(curve_model(curve, across, comparison));
  }
  return {{"title", fmt::format("{}", fmt::join(names, ", "))},
          {"reference", names.front()},
          {"runs", std::move(runs)},
          {"remarks", comparison.remarks},
          {"settings", settings_model(comparison)},
          {"has_settings", !comparison.settings.empty()},
          {"number_heads", number_heads(comparison)},
          {"numbers", numbers_model(comparison)},
          {"has_numbers", !comparison.numbers.empty()},
          {"has_curves", !curves.empty()},
          {"curves", std::move(curves)}};
}

}  // namespace

Comparison compare_runs(const std::vector<std::filesystem::path>& dirs) {
  check(dirs.size() >= 2, "a comparison needs two runs or more");
  std::vector<RunFiles> runs;
  runs.reserve(dirs.size());
  for (const auto& dir : dirs) {
    runs.push_back(read_run_files(dir));
  }
  Comparison comparison{.runs = describe(runs),
                        .settings = compare_settings(runs),
                        .numbers = compare_training(runs),
                        .curves = compare_curves(runs),
                        .remarks = {}};
  for (auto& number : compare_evaluations(runs)) {
    comparison.numbers.push_back(std::move(number));
  }
  comparison.remarks = remarks_on(runs, comparison.runs);
  return comparison;
}

std::vector<std::vector<std::string>> settings_table(const Comparison& comparison) {
  std::vector<std::vector<std::string>> table{{"setting"}};
  for (const auto& run : comparison.runs) {
    table.front().push_back(run.name);
  }
  for (const auto& setting : comparison.settings) {
    std::vector<std::string> row{setting.key};
    for (const auto& value : setting.values) {
      row.push_back(value.value_or(kNothing));
    }
    table.push_back(std::move(row));
  }
  return table;
}

std::vector<std::vector<std::string>> numbers_table(const Comparison& comparison) {
  std::vector<std::vector<std::string>> table{{"number"}};
  const auto heads = number_heads(comparison);
  table.front().insert(table.front().end(), heads.begin(), heads.end());
  for (const auto& number : comparison.numbers) {
    std::vector<std::string> row{
        number.note.empty() ? number.name : fmt::format("{} ({})", number.name, number.note)};
    const auto cells = cells_of(number);
    row.insert(row.end(), cells.begin(), cells.end());
    table.push_back(std::move(row));
  }
  return table;
}

std::string comparison_html(const Comparison& comparison) {
  const WebAssets& assets = web_assets();
  json page = page_model(comparison);
  page["style"] = fmt::format("{}{}", assets.style, assets.compare_style);
  return render_template(assets.compare_page, page);
}

}  // namespace viewfold::report
