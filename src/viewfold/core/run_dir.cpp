// Implements the run directory.
#include "viewfold/core/run_dir.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <fcntl.h>
#include <sys/file.h>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/core/version.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

constexpr int kSchema = 1;
constexpr std::string_view kMarkerName = "run.json";
constexpr std::array kStatuses = {RunStatus::kRunning, RunStatus::kFinished,
                                  RunStatus::kInterrupted, RunStatus::kDiverged};

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

void write_marker(const fs::path& path, const nlohmann::ordered_json& marker) {
  write_file_atomically(path, marker.dump(2) + "\n");
}

nlohmann::ordered_json read_marker(const fs::path& path) {
  auto marker = nlohmann::ordered_json::parse(read_text_file(path), nullptr, false);
  if (!marker.is_object()) {
    throw DataError(fmt::format("{}: is not a JSON object", path.string()));
  }
  const auto schema = marker.find("schema");
  if (schema == marker.end() || !schema->is_number_integer() || *schema < 1) {
    throw DataError(fmt::format("{}: has no number \"schema\"", path.string()));
  }
  if (*schema > kSchema) {
    throw DataError(
        fmt::format("{}: was written by a newer viewfold (schema {}; this one reads up to {})",
                    path.string(), schema->dump(), kSchema));
  }
  return marker;
}

std::string text_at(const nlohmann::ordered_json& marker, const char* key, const fs::path& path) {
  const auto found = marker.find(key);
  if (found == marker.end() || !found->is_string()) {
    throw DataError(fmt::format("{}: has no text \"{}\"", path.string(), key));
  }
  return found->get<std::string>();
}

// Whether there is a run at `path`; throws when there is anything else.
bool holds_run(const fs::path& path) {
  if (path.empty()) {
    throw UsageError("the path of a run is empty");
  }
  try {
    if (!fs::exists(path)) {
      return false;
    }
    if (!fs::is_directory(path)) {
      throw UsageError(fmt::format("{}: is a file, not a folder for a run", path.string()));
    }
    if (fs::exists(path / kMarkerName)) {
      return true;
    }
    if (!fs::is_empty(path)) {
      throw UsageError(fmt::format("{}: holds files, but no run (choose a new or an empty folder)",
                                   path.string()));
    }
    return false;
  } catch (const fs::filesystem_error& error) {
    throw DataError(fmt::format("{}: {}", path.string(), error.code().message()));
  }
}

}  // namespace

std::string_view to_string(RunStatus status) {
  switch (status) {
    case RunStatus::kRunning:
      return "running";
    case RunStatus::kFinished:
      return "finished";
    case RunStatus::kInterrupted:
      return "interrupted";
    case RunStatus::kDiverged:
      return "diverged";
  }
  throw ContractViolation("unknown status of a run");
}

void RunDir::check_free(const fs::path& path) {
  if (holds_run(path)) {
    throw UsageError(
        fmt::format("{0}: holds a run already (continue it with `viewfold resume {0}`, or start "
                    "again with --overwrite)",
                    path.string()));
  }
}

RunDir RunDir::create(const fs::path& path, bool overwrite) {
  RunDir run(path);
  if (!overwrite) {
    check_free(path);
  } else if (holds_run(path)) {
    run.remove_old_run();
  }
  // The marker comes first: a creation that was cut short leaves a run that can be overwritten.
  create_folder(path);
  write_marker(run.marker(), {{"schema", kSchema},
                              {"version", version()},
                              {"status", to_string(RunStatus::kRunning)},
                              {"created", utc_now()}});
  for (const auto& folder : {run.checkpoints(), run.figures(), run.path_ / "eval"}) {
    create_folder(folder);
  }
  return run;
}

RunDir RunDir::open(const fs::path& path) {
  RunDir run(path);
  std::error_code ignored;  // what cannot be seen is not there
  if (!fs::is_directory(path, ignored)) {
    throw DataError(fmt::format("{}: {}", path.string(),
                                fs::exists(path, ignored) ? "is a file, not a run directory"
                                                          : "there is no such run directory"));
  }
  if (!fs::exists(run.marker(), ignored)) {
    throw DataError(fmt::format("{}: is no run directory (run.json is missing)", path.string()));
  }
  (void)run.info();
  return run;
}

fs::path RunDir::marker() const {
  return path_ / kMarkerName;
}

fs::path RunDir::eval(std::string_view name) const {
  check(!name.empty() && name.find('/') == std::string_view::npos,
        fmt::format("\"{}\" cannot be the name of an evaluation's file", name));
  return path_ / "eval" / fmt::format("{}.json", name);
}

RunInfo RunDir::info() const {
  const fs::path file = marker();
  const auto content = read_marker(file);
  const std::string name = text_at(content, "status", file);
  for (const RunStatus status : kStatuses) {
    if (name == to_string(status)) {
      return {.version = text_at(content, "version", file),
              .created = text_at(content, "created", file),
              .status = status};
    }
  }
  throw DataError(fmt::format("{}: \"{}\" is no status of a run", file.string(), name));
}

void RunDir::set_status(RunStatus status) const {
  auto content = read_marker(marker());
  content["status"] = to_string(status);
  write_marker(marker(), content);
}

RunLock RunDir::lock() const {
  const fs::path file = path_ / "lock";
  FileHandle handle = open_file(file, O_RDWR | O_CREAT);
  if (::flock(handle.get(), LOCK_EX | LOCK_NB) == 0) {
    return RunLock(std::move(handle));
  }
  if (errno != EWOULDBLOCK) {
    throw DataError(fmt::format("{}: cannot be locked ({})", file.string(),
                                std::generic_category().message(errno)));
  }
  throw UsageError(fmt::format(
      "{}: another process is training into this run (wait for it, or choose another folder)",
      path_.string()));
}

void RunDir::remove_old_run() const {
  const RunLock held = lock();
  // Not the marker, which create() replaces: a removal that was cut short still leaves a run.
  for (const auto& part :
       {checkpoints(), figures(), cache(), tensorboard(), path_ / "eval", config(), data(),
        metrics(), encoder(), card(), report(), path_ / "export"}) {
    std::error_code failure;
    fs::remove_all(part, failure);
    if (failure) {
      throw DataError(fmt::format("{}: cannot be removed ({})", part.string(), failure.message()));
    }
  }
}

}  // namespace viewfold
