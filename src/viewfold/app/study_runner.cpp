// Implements the running of a study.
#include "viewfold/app/study_runner.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <sys/file.h>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "viewfold/app/child_process.hpp"
#include "viewfold/app/machine.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/progress.hpp"
#include "viewfold/core/run_dir.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{50};  // ours: between looks at a process
constexpr double kKeep = 10.0;                  // seconds between keeping the time; ours

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The kernel gives the lock back when the file is closed, even after a crash.
FileHandle lock_log(const StudyRunPlace& place) {
  const fs::path path = study_log_path(place);
  FileHandle file = open_file(path, O_RDWR | O_CREAT);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    throw UsageError(fmt::format(
        "{}: another process is at work on this run (wait for it, or leave it out with --only and "
        "--seeds)",
        place.run().string()));
  }
  return file;
}

bool has_results(const StudyRunPlace& place, const std::vector<std::string>& names) {
  const RunDir run = RunDir::open(place.run());
  return std::all_of(names.begin(), names.end(),
                     [&run](const auto& name) { return fs::exists(run.eval(name)); });
}

void add_setting(const std::string& key, const RawValue& raw, std::vector<std::string>& words) {
  words.push_back(fmt::format("--{}={}", key, setting_text(raw)));
}

std::vector<std::string> pretrain_words(const StudyRunPlace& place) {
  const StudySettings settings = settings_of_run(place);
  const fs::path file = study_settings_path(place);
  write_file_atomically(file, settings_file(settings));
  std::vector<std::string> words{"pretrain", "--config", file.string(), "--out",
                                 place.run().string()};
  for (const auto& [key, raw] : settings) {
    if (raw.from_text) {
      add_setting(key, raw, words);
    }
  }
  return words;
}

}  // namespace

// One run that is being made.
struct StudyRunner::Work {
  StudyRunPlace place;
  StudyRecord record;
  StudyProgress progress = StudyProgress::kAbsent;
  std::map<std::string, std::string> asked_before;  // when an unfinished run began
};

std::vector<std::string> StudyRunner::words_for(const Work& work) const {
  const StudyRunPlace& place = work.place;
  if (!place.arm.command.empty()) {
    return command_of_run(place);
  }
  if (work.progress == StudyProgress::kAbsent) {
    return pretrain_words(place);
  }
  if (!fs::exists(RunDir::open(place.run()).config())) {  // ended before it began
    auto words = pretrain_words(place);
    words.emplace_back("--overwrite");
    return words;
  }
  std::vector<std::string> words{"resume", place.run().string()};
  for (const auto& [key, raw] : settings_of_run(place)) {
    const auto before = work.asked_before.find(key);
    const auto now = work.record.asked.find(key);
    if (options_.may_change.contains(key) && now != work.record.asked.end() &&
        (before == work.asked_before.end() || before->second != now->second)) {
      add_setting(key, raw, words);
    }
  }
  return words;
}

// Whether the process ended without a failure.
bool StudyRunner::run(Work& work, const std::vector<std::string>& words, double& seconds) {
  const StudyRunPlace& place = work.place;
  if (stop_requested()) {
    throw Interrupted(fmt::format("stopped; go on with: {}", options_.resume_hint));
  }
  write_study_record(place, work.record);
  const fs::path log = study_log_path(place);
  const double before = seconds;
  const auto start = Clock::now();
  const pid_t child = start_program(words, log);
  std::optional<int> code;
  bool is_asked = false;
  for (double kept = 0.0; !code; code = end_of(child)) {
    std::this_thread::sleep_for(kLook);
    if (stop_requested() && !is_asked) {
      ::kill(child, SIGTERM);
      is_asked = true;
    }
    seconds = before + seconds_since(start);
    if (seconds - before > kept + kKeep) {  // so that a crash of the machine loses little of it
      kept = seconds - before;
      write_study_record(place, work.record);
    }
  }
  seconds = before + seconds_since(start);
  if (*code != 0 && is_asked) {
    write_study_record(place, work.record);
    throw Interrupted(
        fmt::format("{} is stopped; go on with: {}", place.name(), options_.resume_hint));
  }
  if (*code != 0) {
    work.record.failure = fmt::format("code {}: {}", *code, last_line(log));
    failures_.push_back({place.name(), *code, work.record.failure});
    log_.warning(
        fmt::format("{} failed with {} (see {})", place.name(), work.record.failure, log.string()));
  }
  write_study_record(place, work.record);
  return *code == 0;
}

void StudyRunner::make(Work& work) {
  const StudyRunPlace& place = work.place;
  StudyRecord& record = work.record;
  if (work.progress == StudyProgress::kAbsent) {
    record = {};
  }
  work.asked_before = std::exchange(record.asked, asked_settings(place));
  record.machine = machine_line();
  record.failure.clear();
  const auto words = words_for(work);
  log_.info(fmt::format("{}: viewfold {} (log: {})", place.name(), words.front(),
                        study_log_path(place).string()));
  if (!run(work, words, record.seconds)) {
    return;
  }
  record.is_done = true;
  work.progress = StudyProgress::kDone;
  write_study_record(place, record);
  log_.info(fmt::format("{}: done in {}", place.name(), duration_text(record.seconds)));
}

void StudyRunner::evaluate(Work& work) {
  const StudyRunPlace& place = work.place;
  if (work.record.evaluated == evaluation_text(plan_) && has_results(place, plan_.evaluations)) {
    return;
  }
  std::vector<std::string> words{"evaluate", place.run().string()};
  const auto more = evaluation_words(plan_);
  words.insert(words.end(), more.begin(), more.end());
  work.record.evaluated.clear();
  work.record.failure.clear();
  work.record.evaluate_seconds = 0.0;
  log_.info(fmt::format("{}: viewfold evaluate", place.name()));
  if (run(work, words, work.record.evaluate_seconds)) {
    work.record.evaluated = evaluation_text(plan_);
    write_study_record(place, work.record);
  }
}

void StudyRunner::audit(Work& work) {
  const StudyRunPlace& place = work.place;
  if (work.record.audited == audit_text(plan_) && has_results(place, plan_.audits)) {
    return;
  }
  std::vector<std::string> words{"audit", place.run().string()};
  const auto more = audit_words(plan_);
  words.insert(words.end(), more.begin(), more.end());
  work.record.audited.clear();
  work.record.failure.clear();
  double seconds = 0.0;
  log_.info(fmt::format("{}: viewfold audit", place.name()));
  if (run(work, words, seconds)) {
    work.record.audited = audit_text(plan_);
    write_study_record(place, work.record);
  }
}

bool StudyRunner::has_what_it_needs(const StudyRunPlace& place) {
  for (const auto& name : place.arm.after) {
    const StudyRunPlace needed{place.plan, plan_.arm(name), place.dir, place.seed};
    if (progress_of(needed, read_study_record(needed)) != StudyProgress::kDone) {
      log_.warning(fmt::format("{} waits for {}", place.name(), needed.name()));
      return false;
    }
  }
  return true;
}

void StudyRunner::advance(const StudyRunPlace& place) {
  const FileHandle lock = lock_log(place);
  const auto record = read_study_record(place);
  Work work{.place = place,
            .record = record.value_or(StudyRecord{}),
            .progress = progress_of(place, record),
            .asked_before = {}};
  if (work.progress == StudyProgress::kDiverged) {
    failures_.push_back({place.name(), 4, "diverged"});
    log_.warning(fmt::format("{} has diverged before, and would again", place.name()));
    return;
  }
  if (work.progress != StudyProgress::kDone) {
    if (!has_what_it_needs(place)) {
      return;
    }
    make(work);
  }
  if (has_encoder(place, work.progress)) {
    evaluate(work);
    audit(work);
  }
}

}  // namespace viewfold
