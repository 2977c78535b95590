// Implements the reading of plans.
#include "viewfold/report/study_plan.hpp"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/toml_text.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

// ---- names in braces ----

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

// `text` with each {name} replaced; other braces, as of shards {000..100}, stay.
std::string fill(const std::string& text,
                 const std::function<std::string(const std::string&)>& value_of) {
  std::string filled;
  for (std::size_t i = 0; i < text.size();) {
    const auto end = std::find_if_not(text.begin() + static_cast<std::ptrdiff_t>(i) + 1, text.end(),
                                      is_name_character) -
                     text.begin();
    const auto stop = static_cast<std::size_t>(end);
    if (text[i] == '{' && stop > i + 1 && stop < text.size() && text[stop] == '}') {
      filled += value_of(text.substr(i + 1, stop - i - 1));
      i = stop + 1;
    } else {
      filled += text[i++];
    }
  }
  return filled;
}

void add_needed(const StudyPlan& plan, const StudyArm& arm, std::set<std::string>& names) {
  for (const auto& name : arm.after) {
    if (names.insert(name).second) {
      add_needed(plan, plan.arm(name), names);
    }
  }
}

// The arms that have finished when `arm` begins.
std::set<std::string> needed_by(const StudyPlan& plan, const StudyArm& arm) {
  std::set<std::string> names;
  add_needed(plan, arm, names);
  return names;
}

void check_braces(const StudyPlan& plan, const StudyArm& arm, const std::string& path) {
  auto known = needed_by(plan, arm);
  known.insert({"seed", "self"});
  const auto check_text = [&](const std::string& text, const std::string& place) {
    (void)fill(text, [&](const std::string& name) {
      if (!known.contains(name)) {
        throw UsageError(fmt::format(
            "{}: {{{}}} stands for nothing in arm {} (it may be {{seed}}, {{self}}, or an arm that "
            "is named in its \"after\")",
            place, name, arm.name));
      }
      return std::string();
    });
  };
  for (const auto& [key, raw] : arm.settings) {
    if (const auto* text = std::get_if<std::string>(&raw.value)) {
      check_text(*text, fmt::format("{}: {}", raw.origin, key));
    }
  }
  check_text(arm.command, fmt::format("{}: arms.{}.command", path, arm.name));
}

std::string filled_in(const StudyRunPlace& place, const std::string& text) {
  return fill(text, [&place](const std::string& name) {
    if (name == "seed") {
      return fmt::format("{}", place.seed);
    }
    return study_run_path(place.dir, name == "self" ? place.arm.name : name, place.seed).string();
  });
}

// ---- the file ----

// What stands in [study].
struct Heading final : Config {
  std::string title;
  std::string question;
  std::vector<std::int64_t> seeds{1, 2, 3};
  std::string reference;
  std::string evaluations = "knn,linear";
  std::string audits;
  std::int64_t audit_minutes = 5;

  void visit(FieldVisitor& v) override {
    v.enter("study");
    v.field("title", title, {.doc = "what the study is called"});
    v.field("question", question, {.doc = "what it shall answer"});
    v.field("seeds", seeds, {.doc = "every arm runs once with each", .min = 0});
    v.field("reference", reference, {.doc = "arm that the others are compared with"});
    v.field("evaluations", evaluations, {.doc = "what `viewfold evaluate --on` measures"});
    v.field("audits", audits, {.doc = "what `viewfold audit --on` measures beside"});
    v.field("audit_minutes", audit_minutes,
            {.doc = "how long the audit of a run may take", .min = 1, .max = 100000});
    v.leave();
  }
};

// In the order of the file; an arm that changes nothing has no values, and is here all the same.
std::vector<std::string> arm_names(const std::string& text, const std::string& path) {
  const toml::table file = toml::parse(text);
  std::vector<std::pair<std::uint32_t, std::string>> lines;
  if (const auto* arms = file["arms"].as_table()) {
    for (const auto& [key, node] : *arms) {
      const std::uint32_t line = key.source().begin.line;
      if (!node.is_table()) {
        throw UsageError(
            fmt::format("{}:{}: arms.{} is no arm (write [arms.NAME], and its "
                        "settings below)",
                        path, line, std::string(key.str())));
      }
      lines.emplace_back(line, key.str());
    }
  }
  std::sort(lines.begin(), lines.end());
  std::vector<std::string> names;
  for (auto& [line, name] : lines) {
    if (name == "seed" || name == "self") {
      throw UsageError(fmt::format("{}:{}: an arm cannot be called {}", path, line, name));
    }
    names.push_back(std::move(name));
  }
  if (names.empty()) {
    throw UsageError(
        fmt::format("{}: has no arms (write [arms.NAME], and its settings below)", path));
  }
  return names;
}

// `values` below `prefix`, without it.
StudySettings below(const StudySettings& values, const std::string& prefix) {
  StudySettings part;
  for (auto found = values.lower_bound(prefix);
       found != values.end() && found->first.starts_with(prefix); ++found) {
    part.emplace(found->first.substr(prefix.size()), found->second);
  }
  return part;
}

bool is_of_run(const std::string& key) {
  return !key.starts_with("study.") && !key.starts_with("arms.") && !key.starts_with("evaluate.");
}

// Removes and returns a text that is no setting of a run.
std::string take_text(StudySettings& settings, const std::string& key) {
  const auto found = settings.find(key);
  if (found == settings.end()) {
    return "";
  }
  const RawValue raw = found->second;
  settings.erase(found);
  if (const auto* text = std::get_if<std::string>(&raw.value)) {
    return *text;
  }
  if (raw.value == decltype(raw.value)(RawValue::List{})) {
    return "";  // an empty list has no type
  }
  throw UsageError(
      fmt::format("{}: {}: expected a text, got {}", raw.origin, key, setting_text(raw)));
}

StudyArm make_arm(const std::string& name, const StudySettings& values) {
  StudyArm arm{.name = name,
               .settings = below(values, "arms." + name + "."),
               .command = "",
               .after = {},
               .cost_of = {}};
  arm.command = take_text(arm.settings, "command");
  arm.after = names_in(take_text(arm.settings, "after"));
  arm.cost_of = names_in(take_text(arm.settings, "cost_of"));
  if (!arm.command.empty()) {
    if (!arm.settings.empty()) {
      const auto& [key, raw] = *arm.settings.begin();
      throw UsageError(fmt::format("{}: {}: arm {} has a command, which takes no settings",
                                   raw.origin, key, name));
    }
    return arm;
  }
  for (const auto& [key, raw] : values) {
    if (is_of_run(key)) {
      const auto at = arm.settings.emplace(key, raw).first;
      at->second = raw.from_text ? raw : at->second;
    }
  }
  const auto seed = arm.settings.find("seed");
  if (seed != arm.settings.end()) {
    throw UsageError(
        fmt::format("{}: seed: the seeds of a study are in study.seeds", seed->second.origin));
  }
  return arm;
}

// ---- checks ----

void add_behind_needed(const StudyPlan& plan,
                       const StudyArm& arm,
                       std::vector<std::string>& waiting,
                       std::vector<const StudyArm*>& order) {
  if (std::find(order.begin(), order.end(), &arm) != order.end()) {
    return;
  }
  if (std::find(waiting.begin(), waiting.end(), arm.name) != waiting.end()) {
    throw UsageError(fmt::format("arm {} waits for itself (by way of \"after\" in arm {})",
                                 arm.name, waiting.back()));
  }
  waiting.push_back(arm.name);
  for (const auto& name : arm.after) {
    add_behind_needed(plan, plan.arm(name), waiting, order);
  }
  waiting.pop_back();
  order.push_back(&arm);
}

void check_plan(const StudyPlan& plan) {
  if (plan.seeds.empty()) {
    throw UsageError("study.seeds: is empty");
  }
  if (std::set(plan.seeds.begin(), plan.seeds.end()).size() != plan.seeds.size()) {
    throw UsageError("study.seeds: names a seed twice");
  }
  if (!plan.arm(plan.reference).command.empty()) {
    throw UsageError(
        fmt::format("study.reference: arm {} has a command, and no accuracy", plan.reference));
  }
  (void)order_of_arms(plan);
  for (const auto& arm : plan.arms) {
    for (const auto& name : arm.cost_of) {
      (void)plan.arm(name);
      if (name == arm.name) {
        throw UsageError(fmt::format("arm {}: \"cost_of\" names the arm itself", name));
      }
    }
  }
}

}  // namespace

const StudyArm& StudyPlan::arm(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& candidate : arms) {
    if (candidate.name == name) {
      return candidate;
    }
    names.push_back(candidate.name);
  }
  const std::string nearest = nearest_name(name, names);
  throw UsageError(fmt::format("there is no arm \"{}\"{}", name,
                               nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest)));
}

StudyPlan read_study_plan(const std::string& path, const ConfigSource& changes) {
  ConfigSource source;
  source.add_toml_file(path);
  for (const auto& [key, raw] : changes.values()) {
    source.set(key, setting_text(raw), raw.origin);
  }
  const auto names = arm_names(read_text_file(path), path);
  Heading heading;
  heading.title = fs::path(path).stem().string();
  heading.reference = names.front();
  read_config(heading, source.only("study."));
  StudyPlan plan{.title = heading.title,
                 .question = heading.question,
                 .seeds = heading.seeds,
                 .reference = heading.reference,
                 .evaluations = names_in(heading.evaluations),
                 .evaluate = below(source.values(), "evaluate."),
                 .audits = names_in(heading.audits),
                 .audit_minutes = heading.audit_minutes,
                 .arms = {}};
  for (const auto& name : names) {
    plan.arms.push_back(make_arm(name, source.values()));
  }
  try {
    check_plan(plan);
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("{}: {}", path, error.what()));
  }
  for (const auto& arm : plan.arms) {
    check_braces(plan, arm, path);
  }
  return plan;
}

std::vector<const StudyArm*> order_of_arms(const StudyPlan& plan) {
  std::vector<const StudyArm*> order;
  std::vector<std::string> waiting;
  for (const auto& arm : plan.arms) {
    add_behind_needed(plan, arm, waiting, order);
  }
  return order;
}

fs::path study_run_path(const fs::path& dir, const std::string& arm, std::int64_t seed) {
  return fs::absolute(dir) / fmt::format("{}-seed{}", arm, seed);
}

StudySettings settings_of_run(const StudyRunPlace& place) {
  StudySettings settings = place.arm.settings;
  for (auto& [key, raw] : settings) {
    if (auto* text = std::get_if<std::string>(&raw.value)) {
      *text = filled_in(place, *text);
    }
  }
  settings["seed"] = RawValue{.value = place.seed, .origin = "study.seeds"};
  return settings;
}

std::vector<std::string> command_of_run(const StudyRunPlace& place) {
  std::vector<std::string> words;
  const std::string& command = place.arm.command;
  for (std::size_t begin = 0; begin < command.size();) {
    const auto end = std::min(command.find(' ', begin), command.size());
    if (end > begin) {
      words.push_back(filled_in(place, command.substr(begin, end - begin)));
    }
    begin = end + 1;
  }
  return words;
}

std::vector<std::string> names_in(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    std::string name = text.substr(begin, end - begin);
    name.erase(0, std::min(name.find_first_not_of(' '), name.size()));
    name.erase(name.find_last_not_of(' ') + 1);
    names.push_back(std::move(name));
    begin = end + 1;
  }
  return names;
}

std::string setting_text(const RawValue& raw) {
  if (const auto* text = std::get_if<std::string>(&raw.value)) {
    return *text;
  }
  return std::visit([](const auto& value) { return to_toml(value); }, raw.value);
}

std::string settings_file(const StudySettings& settings) {
  std::string text;
  for (const auto& [key, raw] : settings) {
    if (!raw.from_text) {
      const auto value = std::visit([](const auto& v) { return to_toml(v); }, raw.value);
      text += fmt::format("{} = {}\n", key, value);
    }
  }
  return text;
}

}  // namespace viewfold
