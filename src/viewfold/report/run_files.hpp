// What a run directory holds, read from its files.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace viewfold::report {

/// eval/<name>.json: "evaluation" is text, "numbers" is an object; the rest is optional.
struct EvaluationFile {
  std::filesystem::path path;
  nlohmann::json content;
};

/// All texts are valid UTF-8.
// NOLINTNEXTLINE(bugprone-exception-escape): moving JSON throws only when it is damaged in memory
struct RunFiles {
  std::filesystem::path dir;
  nlohmann::json run;                         // run.json, an object
  std::string settings;                       // resolved.toml, "" when missing
  std::map<std::string, std::string> values;  // its values as text, by dotted key
  std::vector<nlohmann::json> metrics;        // objects with an "event"
  std::vector<EvaluationFile> evaluations;    // by file name
  nlohmann::json card;                        // card.json, an object; null when missing
};

/// Reads everything but pictures. Throws DataError that names the file when run.json is missing and
/// when a file is not what it should be; a torn last line of metrics.jsonl is what a killed run
/// leaves behind, and is dropped.
[[nodiscard]] RunFiles read_run_files(const std::filesystem::path& dir);

/// A JSON object with "schema" 1, its texts valid UTF-8. Throws DataError that names the file.
[[nodiscard]] nlohmann::json read_object(const std::filesystem::path& path);

/// Reads one eval/NAME.json. Throws DataError that names the file.
[[nodiscard]] EvaluationFile read_evaluation(const std::filesystem::path& path);

/// The first evaluation whose file says that it is `name`; null when there is none.
[[nodiscard]] const EvaluationFile* evaluation_named(const std::vector<EvaluationFile>& evaluations,
                                                     const std::string& name);

/// A PNG or JPEG file ready to be part of a page.
struct Picture {
  std::string base64 = {};
  std::string type = {};    // "image/png" or "image/jpeg"
  std::int64_t width = 0;   // pixels
  std::int64_t height = 0;  // pixels
};

/// Nothing when there is no such file. Throws DataError that names it when it is neither a PNG
/// nor a JPEG file, or when `file` (relative) leads out of `dir`.
[[nodiscard]] std::optional<Picture> read_picture(const std::filesystem::path& dir,
                                                  const std::filesystem::path& file);

/// The text at `key`, or nothing when it is missing or no text.
[[nodiscard]] std::optional<std::string> text_at(const nlohmann::json& object,
                                                 const std::string& key);

/// The number at `key`, or nothing when it is missing or no number (null stands for NaN).
[[nodiscard]] std::optional<double> number_at(const nlohmann::json& object, const std::string& key);

}  // namespace viewfold::report
