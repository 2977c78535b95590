// Implements the tables of a study.
#include "viewfold/report/study_tables.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/report/results.hpp"
#include "viewfold/report/study_numbers.hpp"

namespace viewfold::report {
namespace {

constexpr const char* kNothing = "-";

std::string percent_of(const std::optional<Summary>& summary) {
  return summary ? fmt::format("{:.2f}", 100.0 * summary->mean) : kNothing;
}

std::string spread_of(const std::optional<Summary>& summary) {
  return summary && summary->sd ? fmt::format("{:.2f}", 100.0 * *summary->sd) : kNothing;
}

std::string minutes_of(const std::optional<Summary>& seconds) {
  return seconds ? fmt::format("{:.2f}", seconds->mean / 60.0) : kNothing;
}

void add_difference(const std::optional<PairedDifference>& difference,
                    std::vector<std::string>& row) {
  if (!difference) {
    row.insert(row.end(), {kNothing, kNothing, kNothing, kNothing});
    return;
  }
  row.push_back(points(difference->summary.mean));
  row.push_back(spread_of(difference->summary));
  row.push_back(difference->interval ? fmt::format("{} .. {}", points(difference->interval->low),
                                                   points(difference->interval->high))
                                     : "none: one seed");
  row.push_back(fmt::format("{}", difference->summary.n));
}

// A value for people: long ones by their beginning.
std::string short_value(const RawValue& raw) {
  constexpr std::size_t kMost = 80;
  std::string text = setting_text(raw);
  return text.size() > kMost ? text.substr(0, kMost) + " ..." : text;
}

// A command may leave an encoder, and most do not.
bool is_measured(const StudyArmResult& arm) {
  return arm.arm.command.empty() ||
         std::any_of(arm.runs.begin(), arm.runs.end(),
                     [](const auto& run) { return !run.scores.empty() || !run.audits.empty(); });
}

std::string number_text(const std::optional<Summary>& summary) {
  if (!summary) {
    return kNothing;
  }
  return summary->sd ? fmt::format("{:.3f} ± {:.3f}", summary->mean, *summary->sd)
                     : fmt::format("{:.3f}", summary->mean);
}

std::string number_text(const std::optional<PairedDifference>& difference) {
  if (!difference) {
    return kNothing;
  }
  return difference->interval
             ? fmt::format("{:+.3f} ({:+.3f} .. {:+.3f})", difference->summary.mean,
                           difference->interval->low, difference->interval->high)
             : fmt::format("{:+.3f} (one seed)", difference->summary.mean);
}

bool is_shared(const StudyResults& results, const std::string& key, const RawValue& raw) {
  return std::all_of(results.arms.begin(), results.arms.end(), [&](const StudyArmResult& other) {
    const auto found = other.arm.settings.find(key);
    return !other.arm.command.empty() ||
           (found != other.arm.settings.end() && setting_text(found->second) == setting_text(raw));
  });
}

std::string own_settings(const StudyResults& results, const StudyArm& arm) {
  if (!arm.command.empty()) {
    return fmt::format("viewfold {}", arm.command);
  }
  std::vector<std::string> words;
  for (const auto& [key, raw] : arm.settings) {
    if (!is_shared(results, key, raw)) {
      words.push_back(fmt::format("{} = {}", key, short_value(raw)));
    }
  }
  return words.empty() ? "as all others" : fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace

std::string points(double difference) {
  const std::string text = fmt::format("{:+.2f}", 100.0 * difference);
  return text == "-0.00" ? "+0.00" : text;
}

StudyTable evaluation_table(const StudyResults& results, const std::string& evaluation) {
  const std::string& reference = results.plan.reference;
  const auto controls = controls_of(results, evaluation);
  StudyTable table{.title = evaluation_title(evaluation),
                   .note = "",
                   .head = {"arm", "seeds"},
                   .rows = {},
                   .holds_text = false};
  table.head.insert(table.head.end(), controls.begin(), controls.end());
  table.head.insert(table.head.end(), {"accuracy", "sd", fmt::format("minus {}", reference), "sd",
                                       "95 % interval", "pairs"});
  for (const auto& arm : results.arms) {
    if (!is_measured(arm)) {
      continue;
    }
    const auto accuracy = accuracy_of(arm, evaluation);
    std::vector<std::string> row{arm.arm.name, fmt::format("{}", accuracy ? accuracy->n : 0)};
    for (const auto& control : controls) {
      row.push_back(percent_of(control_of(arm, evaluation, control)));
    }
    row.push_back(percent_of(accuracy));
    row.push_back(spread_of(accuracy));
    add_difference(difference_of(results, arm, evaluation), row);
    table.rows.push_back(std::move(row));
  }
  const auto protocol = results.protocols.find(evaluation);
  if (protocol != results.protocols.end() && !protocol->second.empty()) {
    table.note = fmt::format("{}. ", protocol->second);
  }
  table.note +=
      "Accuracy in percent, encoder of the last epoch: mean over the seeds and standard deviation. "
      "Differences are between runs of the same seed; the interval is Student's t.";
  return table;
}

StudyTable run_table(const StudyResults& results, const std::string& evaluation) {
  StudyTable table{.title = fmt::format("{}: every run", evaluation_title(evaluation)),
                   .note = "",
                   .head = {"arm"},
                   .rows = {},
                   .holds_text = false};
  for (const auto seed : results.plan.seeds) {
    table.head.push_back(fmt::format("seed {}", seed));
  }
  for (const auto& arm : results.arms) {
    if (!is_measured(arm)) {
      continue;
    }
    std::vector<std::string> row{arm.arm.name};
    for (const auto& run : arm.runs) {
      const auto accuracy = accuracy_at(run, evaluation);
      row.push_back(accuracy ? fmt::format("{:.2f}", 100.0 * *accuracy) : kNothing);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::vector<StudyTable> audit_tables(const StudyResults& results, const std::string& audit) {
  const std::string& reference = results.plan.reference;
  const auto protocol = results.protocols.find(audit);
  StudyTable means{.title = evaluation_title(audit),
                   .note = protocol == results.protocols.end() || protocol->second.empty()
                               ? ""
                               : fmt::format("{}. ", protocol->second),
                   .head = {"number"},
                   .rows = {},
                   .holds_text = false};
  means.note += "Mean over the seeds and standard deviation.";
  StudyTable differences{
      .title = fmt::format("{}, minus {}", evaluation_title(audit), reference),
      .note = "Mean difference between runs of the same seed, and its 95 % interval (Student's t).",
      .head = {"number"},
      .rows = {},
      .holds_text = false};
  std::vector<const StudyArmResult*> arms;
  for (const auto& arm : results.arms) {
    if (is_measured(arm)) {
      arms.push_back(&arm);
      means.head.push_back(arm.arm.name);
      if (arm.arm.name != reference) {
        differences.head.push_back(arm.arm.name);
      }
    }
  }
  for (const auto& number : audited_numbers(results, audit)) {
    std::vector<std::string> mean{number};
    std::vector<std::string> difference{number};
    for (const auto* arm : arms) {
      mean.push_back(number_text(audited_number(*arm, audit, number)));
      if (arm->arm.name != reference) {
        difference.push_back(number_text(audited_difference(results, *arm, audit, number)));
      }
    }
    means.rows.push_back(std::move(mean));
    differences.rows.push_back(std::move(difference));
  }
  return {std::move(means), std::move(differences)};
}

StudyTable time_table(const StudyResults& results) {
  StudyTable table{.title = "Wall time",
                   .note =
                       "Minutes of training, or of the command, without evaluation: mean over "
                       "the seeds that have finished; interruptions are not counted, what had "
                       "to be done again after them is.",
                   .head = {"arm", "seeds", "minutes", "sd", "with", "minutes in all"},
                   .rows = {},
                   .holds_text = false};
  for (const auto& arm : results.arms) {
    const auto own = seconds_of(arm);
    const auto others = fmt::format("{}", fmt::join(arm.arm.cost_of, ", "));
    table.rows.push_back({arm.arm.name, fmt::format("{}", own ? own->n : 0), minutes_of(own),
                          own && own->sd ? fmt::format("{:.2f}", *own->sd / 60.0) : kNothing,
                          others.empty() ? kNothing : others, minutes_of(total_seconds_of(arm))});
  }
  return table;
}

StudyTable arm_table(const StudyResults& results) {
  StudyTable table{.title = "Arms",
                   .note = "Settings that are not the same in all arms.",
                   .head = {"arm", "what is its own", "after"},
                   .rows = {},
                   .holds_text = true};
  for (const auto& arm : results.arms) {
    table.rows.push_back(
        {arm.arm.name, own_settings(results, arm.arm),
         arm.arm.after.empty() ? kNothing : fmt::format("{}", fmt::join(arm.arm.after, ", "))});
  }
  return table;
}

std::vector<std::string> study_sentences(const StudyResults& results) {
  const StudyPlan& plan = results.plan;
  std::vector<std::string> sentences;
  const std::size_t runs = results.arms.size() * plan.seeds.size();
  const std::size_t missing = missing_runs(results).size();
  sentences.push_back(fmt::format("{} arms with seeds {}: {} of {} runs are complete.",
                                  results.arms.size(), fmt::join(plan.seeds, ", "), runs - missing,
                                  runs));
  sentences.push_back(fmt::format("Arms are compared with {}.", plan.reference));
  if (!results.machines.empty()) {
    sentences.push_back(fmt::format("Made on: {}.", fmt::join(results.machines, "; ")));
  }
  return sentences;
}

}  // namespace viewfold::report
