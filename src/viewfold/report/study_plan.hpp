// The plan of a study: arms, seeds and what is measured, read from a TOML file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "viewfold/core/config.hpp"

namespace viewfold {

using StudySettings = std::map<std::string, RawValue>;  // by dotted key

/// One way to train an encoder, or something that others need before they can train.
struct StudyArm {
  std::string name;
  StudySettings settings;            // of its runs, with those that all arms share; not the seed
  std::string command;               // "": it trains; else the words of a verb that it runs
  std::vector<std::string> after;    // arms whose runs of the same seed it needs
  std::vector<std::string> cost_of;  // arms whose time is part of its total
};

struct StudyPlan {
  std::string title;
  std::string question;
  std::vector<std::int64_t> seeds;
  std::string reference;  // the arm that others are compared with
  std::vector<std::string> evaluations;
  StudySettings evaluate;           // options and settings of `viewfold evaluate`
  std::vector<std::string> audits;  // parts of `viewfold audit`
  std::int64_t audit_minutes = 0;   // of each run
  std::vector<StudyArm> arms;       // in the order of the file

  /// Throws UsageError with the nearest known name.
  [[nodiscard]] const StudyArm& arm(const std::string& name) const;
};

/// Reads a plan; `changes` (of the command line) win over the file, in every arm. Throws UsageError
/// that names the place: on what a plan cannot hold, unknown arms, arms that wait for each other,
/// and names in braces that stand for nothing.
[[nodiscard]] StudyPlan read_study_plan(const std::string& path, const ConfigSource& changes);

/// The arms, each behind those that it needs; otherwise in the order of the file.
[[nodiscard]] std::vector<const StudyArm*> order_of_arms(const StudyPlan& plan);

/// Where a run of a study lives, as an absolute path: DIR/ARM-seedN.
[[nodiscard]] std::filesystem::path study_run_path(const std::filesystem::path& dir,
                                                   const std::string& arm,
                                                   std::int64_t seed);

/// One run of a study.
struct StudyRunPlace {
  const StudyPlan& plan;
  const StudyArm& arm;
  std::filesystem::path dir;
  std::int64_t seed = 0;

  [[nodiscard]] std::filesystem::path run() const { return study_run_path(dir, arm.name, seed); }
  [[nodiscard]] std::string name() const { return run().filename().string(); }
};

/// The settings of a run: those of its arm, {seed} and the folders of other arms filled in, and the
/// seed.
[[nodiscard]] StudySettings settings_of_run(const StudyRunPlace& place);

/// The words of an arm with a command, filled in likewise; {self} is the folder of the run.
[[nodiscard]] std::vector<std::string> command_of_run(const StudyRunPlace& place);

/// The names between the commas of a text; none in an empty one.
[[nodiscard]] std::vector<std::string> names_in(const std::string& text);

/// A value as it would stand on the command line.
[[nodiscard]] std::string setting_text(const RawValue& raw);

/// What a file of settings holds: all but those of the command line, which have no type of their
/// own, one a line.
[[nodiscard]] std::string settings_file(const StudySettings& settings);

}  // namespace viewfold
