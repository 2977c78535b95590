// Implements the summary of a run.
#include "viewfold/report/summary.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/report/findings.hpp"
#include "viewfold/report/results.hpp"
#include "viewfold/report/text.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

/// How far training came, by its metrics.
struct Progress {
  std::int64_t step = 0;
  std::int64_t epoch = 0;  // counted from 1; 0 when unknown
};

std::string setting(const RunFiles& files, const char* key) {
  const auto found = files.values.find(key);
  return found == files.values.end() ? "" : found->second;
}

std::string folder_name(const std::filesystem::path& dir) {
  const auto path = std::filesystem::absolute(dir).lexically_normal();
  return valid_utf8((path.has_filename() ? path : path.parent_path()).filename().string());
}

// "simclr with resnet18 on cifar10", as much of it as is known.
std::string what_ran(const RunFiles& files) {
  const std::string method = setting(files, "method.name");
  const std::string encoder = setting(files, "encoder.name");
  const std::string data = setting(files, "data.source");
  std::string what = method.empty() ? "This run" : method;
  if (!encoder.empty()) {
    what += " with " + encoder;
  }
  if (!data.empty()) {
    what += " on " + last_part(data);
  }
  return what;
}

Progress progress_of(const std::vector<json>& metrics) {
  Progress progress;
  const auto count = [](double number) {
    constexpr double kLargest = 1e15;  // beyond it doubles skip integers
    return static_cast<std::int64_t>(std::clamp(number, 0.0, kLargest));
  };
  for (const json& line : metrics) {
    progress.step = std::max(progress.step, count(number_at(line, "step").value_or(0.0)));
    progress.epoch = std::max(progress.epoch, count(number_at(line, "epoch").value_or(-1.0) + 1.0));
  }
  return progress;
}

std::string epochs(std::int64_t count) {
  return count == 1 ? "1 epoch" : grouped(count) + " epochs";
}

std::string training_sentence(const RunFiles& files, const std::string& what) {
  const Progress progress = progress_of(files.metrics);
  const std::string status = text_at(files.run, "status").value_or("");
  if (progress.epoch == 0) {
    return fmt::format("{}: nothing has been recorded of its training.", what);
  }
  if (status == "finished") {
    return fmt::format("{} was trained for {} ({} steps).", what, epochs(progress.epoch),
                       grouped(progress.step));
  }
  const std::string planned = setting(files, "train.epochs");
  const std::string where =
      fmt::format("epoch {}{} (step {})", grouped(progress.epoch),
                  planned.empty() ? "" : " of " + planned, grouped(progress.step));
  if (status == "interrupted") {
    return fmt::format("{} was interrupted in {}; `viewfold resume` goes on from there.", what,
                       where);
  }
  if (status == "diverged") {
    return fmt::format("{} diverged in {}: its numbers can no longer be trusted.", what, where);
  }
  return fmt::format("{} has come to {} and has not finished.", what, where);
}

json alarms_model(const std::vector<json>& metrics) {
  json alarms = json::array();
  for (const json& line : metrics) {
    if (line["event"] != "alarm") {
      continue;
    }
    const double step = number_at(line, "step").value_or(0.0);
    alarms.push_back({{"step", step},
                      {"where", "Step " + readable(step)},
                      {"message", text_at(line, "message").value_or("no message")}});
  }
  return alarms;
}

}  // namespace

json summary_model(const RunFiles& files) {
  const std::string what = what_ran(files);
  std::vector<std::string> sentences{training_sentence(files, what)};
  for (auto& sentence : result_sentences(files.evaluations)) {
    sentences.push_back(std::move(sentence));
  }
  for (auto& sentence : finding_sentences(files.evaluations)) {
    sentences.push_back(std::move(sentence));
  }
  json alarms = alarms_model(files.metrics);
  if (!files.metrics.empty()) {
    sentences.push_back(alarms.empty() ? "No alarm was raised."
                        : alarms.size() == 1
                            ? "One alarm was raised; see Training."
                            : fmt::format("{} alarms were raised; see Training.", alarms.size()));
  }
  return {{"title", what},
          {"name", folder_name(files.dir)},
          {"status", text_at(files.run, "status").value_or("")},
          {"created", text_at(files.run, "created").value_or("")},
          {"version", text_at(files.run, "version").value_or("")},
          {"sentences", sentences},
          {"alarms", std::move(alarms)}};
}

}  // namespace viewfold::report
