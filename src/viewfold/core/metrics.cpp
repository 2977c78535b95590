// Implements metrics.jsonl.
#include "viewfold/core/metrics.hpp"

#include <chrono>
#include <cmath>
#include <fcntl.h>
#include <limits>
#include <span>

#include <nlohmann/json.hpp>

namespace viewfold {
namespace {

nlohmann::ordered_json line_of(std::string_view event, std::int64_t step, std::int64_t epoch) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {{"event", event},
          {"step", step},
          {"epoch", epoch},
          {"time", std::chrono::duration<double>(now).count()}};
}

// Whole lines of steps up to `last_step`.
std::string kept_lines(const std::string& text, std::int64_t last_step) {
  std::string kept;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) {
      break;
    }
    const std::string line = text.substr(begin, end + 1 - begin);
    const auto value = nlohmann::json::parse(line, nullptr, false);
    const bool later = value.is_object() && value.contains("step") &&
                       value["step"].is_number_integer() &&
                       value["step"].get<std::int64_t>() > last_step;
    if (!later) {
      kept += line;
    }
    begin = end + 1;
  }
  return kept;
}

constexpr int kAppend = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;

}  // namespace

MetricsWriter::MetricsWriter(std::filesystem::path file) : path_(std::move(file)) {
  truncate_after(std::numeric_limits<std::int64_t>::max());
}

void MetricsWriter::append(const std::string& line) {
  write_all(file_, path_, std::as_bytes(std::span(line)));
}

void MetricsWriter::write(std::string_view event,
                          const std::vector<std::pair<std::string, double>>& scalars,
                          std::int64_t step,
                          std::int64_t epoch) {
  auto line = line_of(event, step, epoch);
  for (const auto& [name, value] : scalars) {
    if (std::isfinite(value)) {
      line[name] = value;
    } else {
      line[name] = nullptr;
    }
  }
  append(line.dump() + "\n");
}

void MetricsWriter::write_message(std::string_view event,
                                  const std::string& text,
                                  std::int64_t step,
                                  std::int64_t epoch) {
  auto line = line_of(event, step, epoch);
  line["message"] = text;
  append(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

bool MetricsWriter::truncate_after(std::int64_t step) {
  bool dropped = false;
  std::error_code ignored;  // opening the file will tell
  if (std::filesystem::exists(path_, ignored)) {
    const std::string text = read_text_file(path_);
    const std::string kept = kept_lines(text, step);
    dropped = kept.size() != text.size();
    if (dropped) {
      write_file_atomically(path_, kept);
    }
  }
  file_ = open_file(path_, kAppend);
  return dropped;
}

}  // namespace viewfold
