// The verb that compares: several ways to train, several seeds of each, and tables of the results.
#include "viewfold/report/study.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/app/audit_parts.hpp"
#include "viewfold/app/commands.hpp"
#include "viewfold/app/run_config.hpp"
#include "viewfold/app/study_runner.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/report/study_numbers.hpp"
#include "viewfold/report/study_tables.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

// Which part of a study to run.
struct Selection {
  std::set<std::string> arms;
  std::set<std::int64_t> seeds;
};

// only, seeds  names and numbers between commas; nothing takes them all
Selection select(const StudyPlan& plan,
                 const std::optional<std::string>& only,
                 const std::optional<std::string>& seeds) {
  Selection chosen;
  for (const auto& arm : plan.arms) {
    if (!only) {
      chosen.arms.insert(arm.name);
    }
  }
  for (const auto& name : names_in(only.value_or(""))) {
    chosen.arms.insert(plan.arm(name).name);
  }
  for (const auto seed : plan.seeds) {
    if (!seeds) {
      chosen.seeds.insert(seed);
    }
  }
  for (const auto& word : names_in(seeds.value_or(""))) {
    const auto found =
        std::find_if(plan.seeds.begin(), plan.seeds.end(),
                     [&word](std::int64_t seed) { return fmt::format("{}", seed) == word; });
    if (found == plan.seeds.end()) {
      throw UsageError(fmt::format("--seeds: {} is no seed of the study (see study.seeds)", word));
    }
    chosen.seeds.insert(*found);
  }
  return chosen;
}

// What `viewfold pretrain` will read.
RunConfig config_of(const StudyRunPlace& place) {
  constexpr std::int64_t kAnySize = 32;
  ConfigSource source;
  for (const auto& [key, raw] : settings_of_run(place)) {
    source.set(key, setting_text(raw), raw.origin);
  }
  try {
    return read_run_config(source, kAnySize);
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("arm {}: {}", place.arm.name, error.what()));
  }
}

// A mistake in the last arm is told before the first one trains. Gives the settings that may change
// while a run is unfinished.
std::set<std::string> check_arms(const StudyPlan& plan, const fs::path& dir) {
  std::set<std::string> may_change;
  for (const auto& name : plan.evaluations) {
    (void)find_evaluation(name);
  }
  (void)find_audit_parts(plan.audits);
  for (const auto& arm : plan.arms) {
    const StudyRunPlace place{plan, arm, dir, plan.seeds.front()};
    if (!arm.command.empty()) {
      const auto words = command_of_run(place);
      (void)options_of(words.empty() ? "" : words.front());
      continue;
    }
    RunConfig config = config_of(place);
    for (const auto& field : describe_config(config)) {
      if (field.resume == Resume::kMayChange) {
        may_change.insert(field.key);
      }
    }
  }
  return may_change;
}

// Calls work(place) for every run, those that others need before them.
template <class Work>
void for_each_run(const StudyPlan& plan, const fs::path& dir, const Work& work) {
  const auto order = order_of_arms(plan);
  for (const auto seed : plan.seeds) {
    for (const auto* arm : order) {
      work(StudyRunPlace{plan, *arm, dir, seed});
    }
  }
}

void check_unchanged(const StudyRunPlace& place, const std::set<std::string>& may_change) {
  const auto record = read_study_record(place);
  if (progress_of(place, record) == StudyProgress::kAbsent) {
    return;
  }
  if (!record && !place.arm.command.empty()) {
    return;  // the verb knows what to do with what is there
  }
  if (!record) {
    throw UsageError(fmt::format("{}: holds a run that no study has begun (choose another --out)",
                                 place.run().string()));
  }
  const auto changes = changed_settings(record->asked, asked_settings(place), may_change);
  if (!changes.empty()) {
    throw UsageError(fmt::format(
        "{}: arm {} ran with other settings, {} (choose another --out; or remove this folder and "
        "{} to run it again)",
        place.run().string(), place.arm.name, fmt::join(changes, ", "),
        study_record_path(place).filename().string()));
  }
}

void check_needs(const StudyRunPlace& place, const Selection& chosen) {
  for (const auto& name : place.arm.after) {
    const StudyRunPlace needed{place.plan, place.plan.arm(name), place.dir, place.seed};
    if (!chosen.arms.contains(name) &&
        progress_of(needed, read_study_record(needed)) != StudyProgress::kDone) {
      throw UsageError(fmt::format("arm {} needs {}, which is not finished (add {} to --only)",
                                   place.arm.name, needed.name(), name));
    }
  }
}

void print_results(const StudyResults& results, const fs::path& dir) {
  for (const auto& evaluation : results.plan.evaluations) {
    const auto table = report::evaluation_table(results, evaluation);
    std::vector<std::vector<std::string>> rows{table.head};
    rows.insert(rows.end(), table.rows.begin(), table.rows.end());
    fmt::print("\n{}, percent\n\n{}", table.title, text_table(rows));
  }
  for (const auto& audit : results.plan.audits) {
    for (const auto& table : report::audit_tables(results, audit)) {
      std::vector<std::vector<std::string>> rows{table.head};
      rows.insert(rows.end(), table.rows.begin(), table.rows.end());
      fmt::print("\n{}\n\n{}", table.title, text_table(rows));
    }
  }
  const auto missing = report::missing_runs(results);
  fmt::print("{}", missing.empty() ? "" : "\nmissing:\n");
  for (const auto& line : missing) {
    fmt::print("  {}\n", line);
  }
  fmt::print("\nresults: {}\n", (dir / "study.html").string());
}

// The study has run as far as it could; what failed is told last.
void throw_failure(const std::vector<StudyFailure>& failures) {
  if (failures.empty()) {
    return;
  }
  const StudyFailure& first = failures.front();
  const std::string text = fmt::format(
      "{} of the runs failed: {}{} ({})", failures.size(), first.run,
      failures.size() > 1 ? fmt::format(" to {}", failures.back().run) : "", first.message);
  switch (first.code) {
    case 2:
      throw UsageError(text);
    case 4:
      throw DivergedError(text);
    default:
      throw DataError(text);
  }
}

}  // namespace

void study_command(Arguments arguments) {
  const std::string recipe = arguments.take_positional("RECIPE.toml (a study)");
  const fs::path dir = arguments.take("out").value_or("runs/" + fs::path(recipe).stem().string());
  const auto only = arguments.take("only");
  const auto seeds = arguments.take("seeds");
  ConfigSource changes;
  arguments.move_settings(changes);
  arguments.expect_empty({});
  const StudyPlan plan = read_study_plan(recipe, changes);
  const Selection chosen = select(plan, only, seeds);
  const auto may_change = check_arms(plan, dir);
  for_each_run(plan, dir, [&](const StudyRunPlace& place) { check_unchanged(place, may_change); });
  const auto is_chosen = [&chosen](const StudyRunPlace& place) {
    return chosen.arms.contains(place.arm.name) && chosen.seeds.contains(place.seed);
  };
  for_each_run(plan, dir, [&](const StudyRunPlace& place) {
    if (is_chosen(place)) {
      check_needs(place, chosen);
    }
  });
  if (fs::exists(dir / "run.json")) {
    throw UsageError(fmt::format("{}: holds a run (choose another --out)", dir.string()));
  }
  create_folder(dir);

  catch_stop_signals();
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  StudyRunner runner(
      plan,
      {.dir = dir,
       .resume_hint = fmt::format("viewfold study {} --out {}", recipe, dir.string()),
       .may_change = may_change},
      log);
  for_each_run(plan, dir, [&](const StudyRunPlace& place) {
    if (is_chosen(place)) {
      runner.advance(place);
      write_study(read_study_results(plan, dir), dir);
    }
  });
  print_results(read_study_results(plan, dir), dir);
  throw_failure(runner.failures());
}

}  // namespace viewfold
