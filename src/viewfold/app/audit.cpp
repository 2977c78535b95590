// The verb that audits encoders: what they know, what they ignore, and where they break.
#include <chrono>
#include <cstdio>
#include <optional>

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "viewfold/app/audit_parts.hpp"
#include "viewfold/app/audited_run.hpp"
#include "viewfold/app/commands.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/report/findings.hpp"
#include "viewfold/report/report.hpp"
#include "viewfold/report/run_files.hpp"

namespace viewfold {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

std::string source_of(const AuditPart& part, const AuditedRun& run) {
  return part.needs_images ? run.all().source : rendered_source(run);
}

// What the file of a part holds; null where there is none, or it is no result.
nlohmann::json earlier(const AuditPart& part, const AuditedRun& run) {
  std::error_code none;
  const auto file = run.run().eval(part.name);
  if (!std::filesystem::exists(file, none)) {
    return {};
  }
  auto json = nlohmann::json::parse(read_text_file(file), nullptr, false);
  const auto is_text = [&json](const char* key) {
    return !json.contains(key) || json[key].is_string();
  };
  const bool is_result = json.is_object() && json.contains("counts") &&
                         json["counts"].is_object() && is_text("dataset") && is_text("settings");
  return is_result ? json : nlohmann::json();
}

// Whether `before` is of the same images and settings, and of about as many.
bool is_done(const AuditPart& part, const AuditedRun& run, const nlohmann::json& before) {
  if (!before.is_object() || before.value("dataset", "") != source_of(part, run) ||
      before.value("settings", "") != part.settings) {
    return false;
  }
  // The speed of an encoder is never measured twice alike.
  constexpr double kAlike = 0.8;
  const auto has = [&before](const std::string& key, std::int64_t wanted) {
    const auto found = before["counts"].find(key);
    return found != before["counts"].end() && found->is_number() &&
           found->get<double>() >= kAlike * static_cast<double>(wanted);
  };
  const auto wanted = part.wanted(run);
  return has("train", wanted.train) && has(run.all().test_split, wanted.test);
}

// Measures a part, unless that has been done. Throws UsageError and DataError where the images do
// not allow it.
void measure(const AuditPart& part, AuditedRun& run, bool again) {
  const auto before = earlier(part, run);
  if (!again && is_done(part, run, before)) {
    run.log().info(
        fmt::format("  {}: kept from {}", part.name, run.run().eval(part.name).string()));
    return;
  }
  const auto start = Clock::now();
  Json json = part.measure(run);
  json["settings"] = part.settings;
  if (before.is_object() && before.value("dataset", "") == json["dataset"] &&
      before.value("counts", nlohmann::json()) == json["counts"]) {
    json["controls"] = before.value("controls", nlohmann::json::object());
  }
  create_folder(run.run().eval(part.name).parent_path());
  // Names of images may hold any bytes, JSON may not.
  write_file_atomically(run.run().eval(part.name),
                        json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  run.log().info(
      fmt::format("  {}: {}", part.name,
                  duration_text(std::chrono::duration<double>(Clock::now() - start).count())));
}

// What was measured now and before, of all runs.
void print_findings(const std::vector<AuditedRun>& audits) {
  std::vector<std::string> names;
  std::vector<std::vector<report::EvaluationFile>> files;
  for (const auto& audit : audits) {
    names.push_back(audit.run().path().lexically_normal().string());
    files.push_back(report::read_run_files(audit.run().path()).evaluations);
  }
  fmt::print("\n{}", text_table(report::audit_table(names, files)));
  for (std::size_t i = 0; i < audits.size(); ++i) {
    fmt::print("\n{}\n", names[i]);
    for (const auto& sentence : report::finding_sentences(files[i])) {
      fmt::print("  {}\n", sentence);
    }
    fmt::print("  report: {}\n", audits[i].run().report().string());
  }
}

double seconds_of(Arguments& arguments) {
  constexpr std::int64_t kDefault = 10;
  const auto minutes = arguments.take_integer("minutes", kDefault);
  if (minutes < 1) {
    throw UsageError("--minutes is 1 or more");
  }
  return 60.0 * static_cast<double>(minutes);
}

// Opens all runs on images that are chosen alike, and lets all take as many as the slowest can.
std::vector<AuditedRun> open_audits(const std::vector<RunDir>& runs,
                                    const std::optional<std::string>& source,
                                    double seconds,
                                    LogSink& log) {
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                           std::chrono::duration<double>(seconds));
  std::vector<AuditedRun> audits;
  AuditSizes sizes;
  for (const auto& run : runs) {
    RunConfig config = reopen_config(run);
    config.train.threads = at::get_num_threads();
    config.seed = AuditedRun::kSeed;  // what is held out where there is no test split
    audits.emplace_back(run, open_images(config, source, log), deadline, log);
    sizes = AuditSizes::least_of(
        sizes, audits.back().sizes_for(seconds / static_cast<double>(runs.size())));
  }
  for (auto& audit : audits) {
    audit.take(sizes);
  }
  log.info(
      fmt::format("at most {} training and {} test images, {} of them corrupted, {} transformed, "
                  "{} attacked",
                  sizes.train, sizes.test, sizes.corrupted, sizes.transformed, sizes.attacked));
  return audits;
}

// Whether an error says that the images do not allow a part, and the others may go on.
bool is_of_images(const Error& error) {
  return dynamic_cast<const UsageError*>(&error) != nullptr ||
         (dynamic_cast<const DataError*>(&error) != nullptr &&
          dynamic_cast<const WriteError*>(&error) == nullptr);
}

}  // namespace

void audit_command(Arguments arguments) {
  std::vector<RunDir> runs{RunDir::open(arguments.take_positional("RUN (a run directory)"))};
  while (arguments.has_positional()) {
    runs.push_back(RunDir::open(arguments.take_positional("RUN")));
  }
  const auto chosen = arguments.take("on");
  const auto parts = chosen ? find_audit_parts(split_list(*chosen)) : audit_parts();
  const double seconds = seconds_of(arguments);
  const auto source = arguments.take("data");
  const bool again = arguments.take_flag("again");
  at::set_num_threads(thread_count(arguments.take_integer("threads", 0)));
  arguments.expect_empty({"on", "minutes", "data", "again", "threads"});
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  auto audits = open_audits(runs, source, seconds, log);
  for (auto& audit : audits) {
    log.info(audit.run().path().string());
    for (const auto& part : parts) {
      if (audit.seconds_left() < 0.0) {
        log.warning(fmt::format("{} is left out: the time is over (raise --minutes)", part.name));
        continue;
      }
      try {
        measure(part, audit, again);
      } catch (const Error& error) {
        if (chosen || !is_of_images(error)) {
          throw;
        }
        log.warning(fmt::format("{} is left out: {}", part.name, error.what()));
      }
    }
    write_report(audit.run().path(), audit.run().report());
  }
  print_findings(audits);
}

}  // namespace viewfold
