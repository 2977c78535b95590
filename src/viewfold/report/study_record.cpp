// Implements what a study remembers of its runs.
#include "viewfold/report/study_record.hpp"

#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/report/run_files.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path beside(const StudyRunPlace& place, const char* ending) {
  return fs::path(place.run()) += ending;
}

void add_asked(const StudyRunPlace& place,
               const StudyArm& arm,
               const std::string& prefix,
               std::map<std::string, std::string>& asked) {
  if (!arm.command.empty()) {
    asked[prefix + "command"] = arm.command;
  }
  for (const auto& [key, raw] : arm.settings) {
    asked[prefix + key] = setting_text(raw);
  }
  for (const auto& name : arm.after) {
    add_asked(place, place.plan.arm(name), name + ": ", asked);
  }
}

}  // namespace

fs::path study_record_path(const StudyRunPlace& place) {
  return beside(place, ".json");
}

fs::path study_log_path(const StudyRunPlace& place) {
  return beside(place, ".log");
}

fs::path study_settings_path(const StudyRunPlace& place) {
  return beside(place, ".toml");
}

std::optional<StudyRecord> read_study_record(const StudyRunPlace& place) {
  const fs::path path = study_record_path(place);
  if (!fs::exists(path)) {
    return std::nullopt;
  }
  const json object = report::read_object(path);
  StudyRecord record{
      .asked = {},
      .machine = report::text_at(object, "machine").value_or(""),
      .seconds = report::number_at(object, "seconds").value_or(0.0),
      .evaluate_seconds = report::number_at(object, "evaluate_seconds").value_or(0.0),
      .evaluated = report::text_at(object, "evaluated").value_or(""),
      .audited = report::text_at(object, "audited").value_or(""),
      .is_done = object.value("is_done", json()) == json(true),
      .failure = report::text_at(object, "failure").value_or("")};
  const json asked = object.value("settings", json());
  if (!asked.is_object()) {
    throw DataError(fmt::format("{}: has no \"settings\"", path.string()));
  }
  for (const auto& [key, value] : asked.items()) {
    if (!value.is_string()) {
      throw DataError(fmt::format("{}: \"settings\" must hold texts", path.string()));
    }
    record.asked[key] = value.get<std::string>();
  }
  return record;
}

void write_study_record(const StudyRunPlace& place, const StudyRecord& record) {
  const nlohmann::ordered_json object{{"schema", 1},
                                      {"machine", record.machine},
                                      {"seconds", record.seconds},
                                      {"evaluate_seconds", record.evaluate_seconds},
                                      {"evaluated", record.evaluated},
                                      {"audited", record.audited},
                                      {"is_done", record.is_done},
                                      {"failure", record.failure},
                                      {"settings", record.asked}};
  const std::string text = object.dump(2, ' ', false, json::error_handler_t::replace);
  write_file_atomically(study_record_path(place), text + "\n");
}

StudyProgress progress_of(const StudyRunPlace& place, const std::optional<StudyRecord>& record) {
  if (!place.arm.command.empty()) {
    if (record && record->is_done) {
      return StudyProgress::kDone;
    }
    return fs::exists(place.run()) ? StudyProgress::kUnfinished : StudyProgress::kAbsent;
  }
  if (!fs::exists(place.run() / "run.json")) {
    return StudyProgress::kAbsent;
  }
  const RunDir run = RunDir::open(place.run());
  switch (run.info().status) {
    case RunStatus::kFinished:
      return fs::exists(run.encoder()) ? StudyProgress::kDone : StudyProgress::kUnfinished;
    case RunStatus::kDiverged:
      return StudyProgress::kDiverged;
    default:
      return StudyProgress::kUnfinished;
  }
}

std::map<std::string, std::string> asked_settings(const StudyRunPlace& place) {
  std::map<std::string, std::string> asked;
  add_asked(place, place.arm, "", asked);
  return asked;
}

std::vector<std::string> changed_settings(const std::map<std::string, std::string>& before,
                                          const std::map<std::string, std::string>& after,
                                          const std::set<std::string>& may_change) {
  auto keys = before;
  keys.insert(after.begin(), after.end());
  const auto text_or_none = [](const auto& texts, const std::string& key) {
    const auto found = texts.find(key);
    return found == texts.end() ? std::string("(none)") : found->second;
  };
  std::vector<std::string> changes;
  for (const auto& [key, unused] : keys) {
    const auto colon = key.find(": ");
    const std::string own = colon == std::string::npos ? key : key.substr(colon + 2);
    const std::string from = text_or_none(before, key);
    const std::string to = text_or_none(after, key);
    if (from != to && !may_change.contains(own)) {
      changes.push_back(fmt::format("{}: {} -> {}", key, from, to));
    }
  }
  return changes;
}

bool has_encoder(const StudyRunPlace& place, StudyProgress progress) {
  return progress == StudyProgress::kDone &&
         (place.arm.command.empty() || (fs::exists(place.run() / "run.json") &&
                                        fs::exists(RunDir::open(place.run()).encoder())));
}

std::vector<std::string> evaluation_words(const StudyPlan& plan) {
  std::vector<std::string> words{fmt::format("--on={}", fmt::join(plan.evaluations, ","))};
  for (const auto& [key, raw] : plan.evaluate) {
    words.push_back(fmt::format("--{}={}", key, setting_text(raw)));
  }
  return words;
}

std::string evaluation_text(const StudyPlan& plan) {
  return fmt::format("{}", fmt::join(evaluation_words(plan), " "));
}

std::vector<std::string> audit_words(const StudyPlan& plan) {
  if (plan.audits.empty()) {
    return {};
  }
  std::vector<std::string> words{fmt::format("--on={}", fmt::join(plan.audits, ",")),
                                 fmt::format("--minutes={}", plan.audit_minutes)};
  for (const char* shared : {"data", "threads"}) {
    const auto found = plan.evaluate.find(shared);
    if (found != plan.evaluate.end()) {
      words.push_back(fmt::format("--{}={}", shared, setting_text(found->second)));
    }
  }
  return words;
}

std::string audit_text(const StudyPlan& plan) {
  return fmt::format("{}", fmt::join(audit_words(plan), " "));
}

}  // namespace viewfold
