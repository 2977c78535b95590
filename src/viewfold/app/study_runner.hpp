// Makes the runs of a study, one after the other, each in a process of its own.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "viewfold/core/log.hpp"
#include "viewfold/report/study_record.hpp"

namespace viewfold {

/// How a run failed: its process's exit code, or minus a signal, and what it said last.
struct StudyFailure {
  std::string run;  // "gan-seed2"
  int code = 0;
  std::string message;
};

/// What running needs to know beside the plan.
struct StudyRunOptions {
  std::filesystem::path dir;
  std::string resume_hint;           // how to go on after Ctrl-C
  std::set<std::string> may_change;  // settings that an unfinished run may change
};

class StudyRunner {
 public:
  /// `plan` must outlive this object.
  StudyRunner(const StudyPlan& plan, StudyRunOptions options, LogSink& log)
      : plan_(plan),
        options_(std::move(options)),
        log_(log) {}

  /// Brings a run to its end: trains it, or goes on with it, and evaluates it; or runs its command.
  /// Does nothing for what is done, and for a run that needs one that is not. Throws Interrupted
  /// when the user asks to stop, after the process of the run has saved its state; UsageError while
  /// another process is at work on the run.
  void advance(const StudyRunPlace& place);

  /// The runs that came to no end.
  [[nodiscard]] const std::vector<StudyFailure>& failures() const { return failures_; }

 private:
  struct Work;

  [[nodiscard]] bool has_what_it_needs(const StudyRunPlace& place);
  void make(Work& work);
  void evaluate(Work& work);
  void audit(Work& work);
  [[nodiscard]] bool run(Work& work, const std::vector<std::string>& words, double& seconds);
  [[nodiscard]] std::vector<std::string> words_for(const Work& work) const;

  const StudyPlan& plan_;
  StudyRunOptions options_;
  LogSink& log_;
  std::vector<StudyFailure> failures_;
};

}  // namespace viewfold
