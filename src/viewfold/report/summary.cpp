// Implements the summary of a run.
#include "viewfold/report/summary.hpp"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

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

// The first of `keys` that the settings or else the card give a text, or "".
std::string named(const RunFiles& files, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto found = files.values.find(key);
    if (found != files.values.end() && !found->second.empty()) {
      return found->second;
    }
  }
  for (const char* key : keys) {
    if (const auto text = text_at(files.card, key)) {
      return *text;
    }
  }
  return "";
}

std::string folder_name(const std::filesystem::path& dir) {
  const auto path = std::filesystem::absolute(dir).lexically_normal();
  return valid_utf8((path.has_filename() ? path : path.parent_path()).filename().string());
}

std::string data_name(const RunFiles& files) {
  const std::string name = named(files, {"data.name", "data.dataset", "data", "dataset"});
  if (!name.empty()) {
    return name;
  }
  const std::filesystem::path path = named(files, {"data.path", "data.root"});
  return path.empty() ? named(files, {"data.format"}) : folder_name(path);
}

// "simclr with resnet18 on cifar10", as much of it as is known.
std::string what_ran(const RunFiles& files) {
  const std::string method = named(files, {"method.name", "method"});
  const std::string encoder = named(files, {"encoder.name", "encoder", "architecture"});
  const std::string data = data_name(files);
  std::string what = method.empty() ? "This run" : method;
  if (!encoder.empty()) {
    what += " with " + encoder;
  }
  if (!data.empty()) {
    what += " on " + data;
  }
  return what;
}

Progress progress_of(const std::vector<json>& metrics) {
  Progress progress;
  for (const json& line : metrics) {
    const auto step = number_at(line, "step").value_or(0.0);
    const auto epoch = number_at(line, "epoch").value_or(-1.0) + 1.0;
    progress.step = std::max(progress.step, static_cast<std::int64_t>(step));
    progress.epoch = std::max(progress.epoch, static_cast<std::int64_t>(epoch));
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
  const auto planned = files.values.find("train.epochs");
  const std::string where = fmt::format(
      "epoch {}{} (step {})", grouped(progress.epoch),
      planned == files.values.end() ? "" : " of " + planned->second, grouped(progress.step));
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
