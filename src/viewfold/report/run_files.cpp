// Implements the reading of run directories.
#include "viewfold/report/run_files.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "viewfold/core/config.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/report/text.hpp"

namespace viewfold::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kSchema = 1;
constexpr int kMaxDepth = 100;  // writing JSON takes a stack frame per level

json parse_object(const std::string& text, const std::string& place) {
  const auto check_depth = [&place](int depth, json::parse_event_t, const json&) {
    if (depth > kMaxDepth) {
      throw DataError(fmt::format("{}: is nested deeper than {} levels", place, kMaxDepth));
    }
    return true;
  };
  json value;
  try {
    value = json::parse(valid_utf8(text), check_depth);
  } catch (const json::exception& problem) {
    throw DataError(fmt::format("{}: no valid JSON ({})", place, problem.what()));
  }
  if (!value.is_object()) {
    throw DataError(fmt::format("{}: is no JSON object", place));
  }
  return value;
}

void check_schema(const json& object, const std::string& place) {
  const auto schema = number_at(object, "schema");
  if (!schema) {
    throw DataError(fmt::format("{}: has no \"schema\" number", place));
  }
  if (*schema != kSchema) {
    throw DataError(
        fmt::format("{}: schema {} is unknown, this version of viewfold reads schema {}", place,
                    *schema, kSchema));
  }
}

// Whether there is something at `path`; a name that the system cannot look up is the run's fault.
bool is_there(const fs::path& path) {
  std::error_code problem;
  const bool found = fs::exists(path, problem);
  if (problem) {
    throw DataError(fmt::format("{}: {}", path.string(), problem.message()));
  }
  return found;
}

json read_run(const fs::path& dir) {
  const fs::path path = dir / "run.json";
  if (!is_there(path)) {
    throw DataError(fmt::format("{}: not found, so {} is no run directory of viewfold",
                                path.string(), dir.string()));
  }
  return read_object(path);
}

std::vector<json> read_metrics_lines(const fs::path& path) {
  std::vector<json> lines;
  if (!is_there(path)) {
    return lines;
  }
  const std::string text = read_text_file(path);
  std::size_t start = 0;
  for (int number = 1; start < text.size(); ++number) {
    const std::size_t end = text.find('\n', start);
    const std::string line = text.substr(start, end - start);
    const bool torn = end == std::string::npos;
    start = torn ? text.size() : end + 1;
    if (line.empty() || (torn && !json::accept(line))) {
      continue;
    }
    const std::string place = fmt::format("{}:{}", path.string(), number);
    lines.push_back(parse_object(line, place));
    if (!text_at(lines.back(), "event")) {
      throw DataError(fmt::format("{}: has no \"event\" text", place));
    }
  }
  return lines;
}

std::vector<EvaluationFile> read_evaluations(const fs::path& folder) {
  std::vector<fs::path> paths;
  if (!is_there(folder)) {
    return {};
  }
  std::error_code problem;
  for (fs::directory_iterator entry(folder, problem); !problem && entry != fs::directory_iterator();
       entry.increment(problem)) {
    if (entry->path().extension() == ".json") {
      paths.push_back(entry->path());
    }
  }
  if (problem) {
    throw DataError(fmt::format("{}: {}", folder.string(), problem.message()));
  }
  std::sort(paths.begin(), paths.end());
  std::vector<EvaluationFile> files;
  files.reserve(paths.size());
  for (const auto& path : paths) {
    files.push_back(read_evaluation(path));
  }
  return files;
}

std::string text_of(const RawValue& raw) {
  if (const auto* text = std::get_if<std::string>(&raw.value)) {
    return *text;
  }
  if (const auto* flag = std::get_if<bool>(&raw.value)) {
    return *flag ? "true" : "false";
  }
  if (const auto* integer = std::get_if<std::int64_t>(&raw.value)) {
    return fmt::format("{}", *integer);
  }
  if (const auto* number = std::get_if<double>(&raw.value)) {
    return fmt::format("{}", *number);
  }
  return json(std::get<RawValue::List>(raw.value)).dump();
}

std::map<std::string, std::string> settings_values(const std::string& text, const fs::path& path) {
  ConfigSource source;
  try {
    source.add_toml_text(text, path.string());
  } catch (const UsageError& problem) {
    throw DataError(problem.what());
  }
  std::map<std::string, std::string> values;
  for (const auto& [key, raw] : source.values()) {
    values[key] = text_of(raw);
  }
  return values;
}

std::int64_t big_endian(std::span<const std::byte> bytes) {
  std::int64_t value = 0;
  for (const std::byte byte : bytes) {
    value = (value << 8) | std::to_integer<std::int64_t>(byte);
  }
  return value;
}

// Type and size of a picture by its first bytes. Throws DataError when it is neither PNG nor JPEG.
Picture described(std::span<const std::byte> bytes, const fs::path& path) {
  // Signature, length and type of the first chunk, which holds width and height (PNG, ISO/IEC
  // 15948, clauses 5.2 and 11.2.2); the marker that begins a JPEG (ISO/IEC 10918-1, table B.1).
  constexpr std::string_view kPng("\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16);
  constexpr std::string_view kJpeg("\xFF\xD8\xFF", 3);
  constexpr std::size_t kPngHeaderSize = 24;
  const auto starts_with = [bytes](std::string_view start) {
    return bytes.size() >= start.size() &&
           std::equal(start.begin(), start.end(), bytes.begin(),
                      [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
  };
  if (bytes.size() >= kPngHeaderSize && starts_with(kPng)) {
    return {.type = "image/png",
            .width = big_endian(bytes.subspan(16, 4)),
            .height = big_endian(bytes.subspan(20, 4))};
  }
  if (!starts_with(kJpeg)) {
    throw DataError(fmt::format("{}: is neither a PNG nor a JPEG file", path.string()));
  }
  try {
    const ImageHeader header = read_image_header(bytes);
    return {.type = "image/jpeg", .width = header.width, .height = header.height};
  } catch (const DataError& problem) {
    throw DataError(fmt::format("{}: {}", path.string(), problem.what()));
  }
}

}  // namespace

json read_object(const fs::path& path) {
  json object = parse_object(read_text_file(path), path.string());
  check_schema(object, path.string());
  return object;
}

EvaluationFile read_evaluation(const fs::path& path) {
  json content = read_object(path);
  if (!text_at(content, "evaluation") || !content.contains("numbers") ||
      !content["numbers"].is_object()) {
    throw DataError(
        fmt::format("{}: needs \"evaluation\", a text, and \"numbers\", an object", path.string()));
  }
  return {path, std::move(content)};
}

RunFiles read_run_files(const fs::path& dir) {
  RunFiles files;
  files.dir = dir;
  files.run = read_run(dir);
  const fs::path settings = dir / "resolved.toml";
  if (is_there(settings)) {
    files.settings = valid_utf8(read_text_file(settings));
    files.values = settings_values(files.settings, settings);
  }
  files.metrics = read_metrics_lines(dir / "metrics.jsonl");
  files.evaluations = read_evaluations(dir / "eval");
  const fs::path card = dir / "card.json";
  if (is_there(card)) {
    files.card = parse_object(read_text_file(card), card.string());
  }
  return files;
}

std::optional<Picture> read_picture(const fs::path& dir, const fs::path& file) {
  const fs::path normal = file.lexically_normal();
  if (normal.empty() || normal.is_absolute() || *normal.begin() == "..") {
    throw DataError(fmt::format("{}: the figure {} lies outside of the run directory", dir.string(),
                                file.string()));
  }
  const fs::path path = dir / normal;
  if (!is_there(path)) {
    return std::nullopt;
  }
  const auto bytes = read_file(path);
  Picture picture = described(bytes, path);
  picture.base64 = base64(bytes);
  return picture;
}

const EvaluationFile* evaluation_named(const std::vector<EvaluationFile>& evaluations,
                                       const std::string& name) {
  const auto found = std::find_if(
      evaluations.begin(), evaluations.end(),
      [&name](const EvaluationFile& file) { return text_at(file.content, "evaluation") == name; });
  return found == evaluations.end() ? nullptr : &*found;
}

std::optional<std::string> text_at(const json& object, const std::string& key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end() || !found->is_string()) {
    return std::nullopt;
  }
  return found->get<std::string>();
}

std::optional<double> number_at(const json& object, const std::string& key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end() || !found->is_number()) {
    return std::nullopt;
  }
  return found->get<double>();
}

}  // namespace viewfold::report
