// Implements the writing of results for other programs.
#include "viewfold/report/study_json.hpp"

#include <nlohmann/json.hpp>

#include "viewfold/core/version.hpp"
#include "viewfold/report/study_numbers.hpp"

namespace viewfold::report {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const std::optional<Summary>& summary) {
  if (!summary) {
    return {};
  }
  ordered_json object{{"n", summary->n}, {"mean", summary->mean}, {"sd", nullptr}};
  if (summary->sd) {
    object["sd"] = *summary->sd;
  }
  return object;
}

ordered_json to_json(const std::optional<double>& number) {
  return number ? ordered_json(*number) : ordered_json();
}

ordered_json to_json(const PairedDifference& difference) {
  ordered_json object = to_json(std::optional(difference.summary));
  object["interval_95"] = nullptr;
  if (difference.interval) {
    object["interval_95"] = {difference.interval->low, difference.interval->high};
  }
  object["seeds"] = difference.seeds;
  return object;
}

ordered_json to_json(const StudySettings& settings) {
  ordered_json object = ordered_json::object();
  for (const auto& [key, raw] : settings) {
    object[key] = std::visit([](const auto& value) { return ordered_json(value); }, raw.value);
  }
  return object;
}

ordered_json to_json(const StudyRunResult& run) {
  ordered_json object{{"seed", run.seed},
                      {"missing", run.missing},
                      {"wall_seconds", to_json(run.seconds)},
                      {"total_wall_seconds", to_json(run.total_seconds)},
                      {"evaluations", ordered_json::object()},
                      {"audits", run.audits}};
  for (const auto& [name, score] : run.scores) {
    object["evaluations"][name] = {{"accuracy", score.accuracy}, {"controls", score.controls}};
  }
  return object;
}

// Summaries of all numbers of all audits, and how they differ from the reference's.
void add_audits(const StudyResults& results, const StudyArmResult& arm, ordered_json& object) {
  object["audits"] = ordered_json::object();
  object["audit_difference"] = ordered_json::object();
  for (const auto& audit : results.plan.audits) {
    for (const auto& number : audited_numbers(results, audit)) {
      if (const auto summary = audited_number(arm, audit, number)) {
        object["audits"][audit][number] = to_json(summary);
      }
      if (const auto difference = audited_difference(results, arm, audit, number)) {
        object["audit_difference"][audit][number] = to_json(*difference);
      }
    }
  }
}

ordered_json arm_json(const StudyResults& results, const StudyArmResult& arm) {
  ordered_json object{{"name", arm.arm.name},
                      {"command", arm.arm.command},
                      {"after", arm.arm.after},
                      {"cost_of", arm.arm.cost_of},
                      {"settings", to_json(arm.arm.settings)},
                      {"runs", ordered_json::array()},
                      {"accuracy", ordered_json::object()},
                      {"difference", ordered_json::object()},
                      {"wall_seconds", to_json(seconds_of(arm))},
                      {"total_wall_seconds", to_json(total_seconds_of(arm))}};
  for (const auto& run : arm.runs) {
    object["runs"].push_back(to_json(run));
  }
  for (const auto& evaluation : results.plan.evaluations) {
    if (const auto accuracy = accuracy_of(arm, evaluation)) {
      object["accuracy"][evaluation] = to_json(accuracy);
    }
    if (const auto difference = difference_of(results, arm, evaluation)) {
      object["difference"][evaluation] = to_json(*difference);
    }
  }
  add_audits(results, arm, object);
  return object;
}

}  // namespace

ordered_json study_json(const StudyResults& results) {
  const StudyPlan& plan = results.plan;
  ordered_json object{{"schema", 1},
                      {"version", version()},
                      {"title", plan.title},
                      {"question", plan.question},
                      {"machines", results.machines},
                      {"seeds", plan.seeds},
                      {"reference", plan.reference},
                      {"evaluations", plan.evaluations},
                      {"audits", plan.audits},
                      {"protocols", results.protocols},
                      {"evaluate", to_json(plan.evaluate)},
                      {"arms", ordered_json::array()},
                      {"missing", missing_runs(results)}};
  for (const auto& arm : results.arms) {
    object["arms"].push_back(arm_json(results, arm));
  }
  return object;
}

}  // namespace viewfold::report
