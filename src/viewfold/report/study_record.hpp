// What a study remembers of one run, in a file beside its folder: DIR/ARM-seedN.json.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "viewfold/report/study_plan.hpp"

namespace viewfold {

struct StudyRecord {
  std::map<std::string, std::string> asked;  // asked_settings() when it began
  std::string machine;
  double seconds = 0.0;           // of training or command, over all attempts
  double evaluate_seconds = 0.0;  // of the last evaluation
  std::string evaluated;          // evaluation_words() of the numbers in its folder, joined
  std::string audited;            // audit_words() likewise
  bool is_done = false;           // the command ended without a failure
  std::string failure;            // how the last attempt ended, when it failed
};

/// The files of a run beside its folder.
[[nodiscard]] std::filesystem::path study_record_path(const StudyRunPlace& place);
[[nodiscard]] std::filesystem::path study_log_path(const StudyRunPlace& place);
[[nodiscard]] std::filesystem::path study_settings_path(const StudyRunPlace& place);

/// Nothing when there is no such file. Throws DataError when it is broken.
[[nodiscard]] std::optional<StudyRecord> read_study_record(const StudyRunPlace& place);
void write_study_record(const StudyRunPlace& place, const StudyRecord& record);

/// How far training or command have come.
enum class StudyProgress { kAbsent, kUnfinished, kDiverged, kDone };
[[nodiscard]] StudyProgress progress_of(const StudyRunPlace& place,
                                        const std::optional<StudyRecord>& record);

/// What the result of a run depends on, as texts, names in braces not filled in: its settings or
/// command, and behind "ARM: " those of the arms that it needs.
[[nodiscard]] std::map<std::string, std::string> asked_settings(const StudyRunPlace& place);

/// Keys of `before` and `after` with other texts, as "key: old -> new", except those that may
/// change.
[[nodiscard]] std::vector<std::string> changed_settings(
    const std::map<std::string, std::string>& before,
    const std::map<std::string, std::string>& after,
    const std::set<std::string>& may_change);

/// Whether the run has ended and left an encoder, which is then measured: a run that trained has,
/// and a command may have.
[[nodiscard]] bool has_encoder(const StudyRunPlace& place, StudyProgress progress);

/// What stands behind `viewfold evaluate RUN`.
[[nodiscard]] std::vector<std::string> evaluation_words(const StudyPlan& plan);

/// The same as one text, by which a record knows what it has.
[[nodiscard]] std::string evaluation_text(const StudyPlan& plan);

/// The same for `viewfold audit RUN`; none and "" when nothing is audited.
[[nodiscard]] std::vector<std::string> audit_words(const StudyPlan& plan);
[[nodiscard]] std::string audit_text(const StudyPlan& plan);

}  // namespace viewfold
