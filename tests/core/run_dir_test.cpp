// Tests of run directories: what is refused, what overwriting keeps, status and lock.
#include "viewfold/core/run_dir.hpp"

#include <fstream>

#include "core/test_folder.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/core/version.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

template <class Problem, class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Problem& problem) {
    return problem.what();
  }
  return "(no such exception)";
}

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(RunDir, CreatesTheFoldersAboveItAndIsRunning) {
  const TestFolder folder("run");
  const fs::path path = folder.path() / "runs" / "a b";
  const auto run = RunDir::create(path);
  EXPECT_EQ(run.path(), path);
  EXPECT_TRUE(fs::is_directory(run.checkpoints()));
  EXPECT_TRUE(fs::is_directory(run.figures()));
  EXPECT_TRUE(fs::is_directory(run.eval("knn").parent_path()));
  const auto info = RunDir::open(path).info();
  EXPECT_EQ(info.status, RunStatus::kRunning);
  EXPECT_EQ(info.version, version());
  ASSERT_EQ(info.created.size(), 20U);
  EXPECT_EQ(info.created.substr(10, 1) + info.created.substr(19), "TZ");
}

TEST(RunDir, AMissingOrAnEmptyFolderIsFree) {
  const TestFolder folder("run");
  EXPECT_NO_THROW(RunDir::check_free(folder.path()));
  EXPECT_NO_THROW(RunDir::check_free(folder.path() / "none"));
  EXPECT_FALSE(fs::exists(folder.path() / "none"));
  EXPECT_NO_THROW((void)RunDir::create(folder.path()));
}

TEST(RunDir, AnExistingRunIsRefusedWithTheRemedies) {
  const TestFolder folder("run");
  const fs::path path = folder.path() / "r";
  (void)RunDir::create(path);
  const std::string expected = path.string() +
                               ": holds a run already (continue it with `viewfold resume " +
                               path.string() + "`, or start again with --overwrite)";
  EXPECT_EQ(message_of<UsageError>([&] { RunDir::check_free(path); }), expected);
  EXPECT_EQ(message_of<UsageError>([&] { (void)RunDir::create(path); }), expected);
}

TEST(RunDir, ForeignFoldersAndFilesAreRefusedEvenWithOverwrite) {
  const TestFolder folder("run");
  write(folder.path() / "photos" / "cat.jpg", "x");
  write(folder.path() / "file", "x");
  for (const auto& path : {folder.path() / "photos", folder.path() / "file"}) {
    EXPECT_THROW(RunDir::check_free(path), UsageError) << path;
    EXPECT_THROW((void)RunDir::create(path), UsageError) << path;
    const auto message = message_of<UsageError>([&] { (void)RunDir::create(path, true); });
    EXPECT_TRUE(message.starts_with(path.string() + ": ")) << message;
  }
  EXPECT_TRUE(fs::exists(folder.path() / "photos" / "cat.jpg"));
  EXPECT_TRUE(fs::is_regular_file(folder.path() / "file"));
  EXPECT_THROW((void)RunDir::create(""), UsageError);
}

TEST(RunDir, AFolderThatCannotBeMadeIsNamed) {
  const TestFolder folder("run");
  write(folder.path() / "file", "x");
  const fs::path path = folder.path() / "file" / "run";
  const auto message = message_of<DataError>([&] { (void)RunDir::create(path); });
  EXPECT_TRUE(message.starts_with(path.string() + ": ")) << message;
}

TEST(RunDir, OverwritingRemovesTheRunAndNothingElse) {
  const TestFolder folder("run");
  const auto old = RunDir::create(folder.path());
  old.set_status(RunStatus::kFinished);
  const fs::path own = folder.path() / "notes.txt";
  write(own, "mine");
  const std::vector<fs::path> parts = {old.config(),
                                       old.data(),
                                       old.metrics(),
                                       old.encoder(),
                                       old.card(),
                                       old.report(),
                                       old.eval("knn"),
                                       old.figures() / "views.png",
                                       old.checkpoints() / "last" / "x",
                                       old.cache() / "images.pixels",
                                       old.tensorboard() / "events"};
  for (const auto& part : parts) {
    write(part, "old");
  }
  const auto run = RunDir::create(folder.path(), true);
  for (const auto& part : parts) {
    EXPECT_FALSE(fs::exists(part)) << part;
  }
  EXPECT_TRUE(fs::exists(own));
  EXPECT_TRUE(fs::is_directory(run.checkpoints()));
  EXPECT_EQ(run.info().status, RunStatus::kRunning);
}

TEST(RunDir, OverwritingWorksWhereThereIsNothing) {
  const TestFolder folder("run");
  EXPECT_EQ(RunDir::create(folder.path() / "new", true).info().status, RunStatus::kRunning);
}

TEST(RunDir, ARunThatIsBeingTrainedIsNotOverwritten) {
  const TestFolder folder("run");
  const auto run = RunDir::create(folder.path());
  write(run.metrics(), "line");
  {
    const auto lock = run.lock();
    EXPECT_THROW((void)RunDir::create(folder.path(), true), UsageError);
    EXPECT_TRUE(fs::exists(run.metrics()));
  }
  EXPECT_NO_THROW((void)RunDir::create(folder.path(), true));
}

TEST(RunDir, OneLockAtATime) {
  const TestFolder folder("run");
  const auto run = RunDir::create(folder.path());
  {
    const auto lock = run.lock();
    const auto message = message_of<UsageError>([&] { (void)RunDir::open(run.path()).lock(); });
    EXPECT_TRUE(message.starts_with(run.path().string() + ": another process")) << message;
  }
  EXPECT_NO_THROW((void)run.lock());
}

TEST(RunDir, EachStatusIsReadBackAndTheRestOfTheMarkerIsKept) {
  const TestFolder folder("run");
  const auto run = RunDir::create(folder.path());
  auto marker = nlohmann::ordered_json::parse(read_text_file(run.marker()));
  marker["note"] = "kept";
  write_file_atomically(run.marker(), marker.dump());
  const std::string created = run.info().created;
  for (const auto status :
       {RunStatus::kFinished, RunStatus::kInterrupted, RunStatus::kDiverged, RunStatus::kRunning}) {
    run.set_status(status);
    EXPECT_EQ(run.info().status, status);
    EXPECT_EQ(run.info().created, created);
    const auto read = nlohmann::json::parse(read_text_file(run.marker()));
    EXPECT_EQ(read["note"], "kept");
    EXPECT_EQ(read["status"], to_string(status));
  }
}

TEST(RunDir, OpeningSaysWhatIsMissing) {
  const TestFolder folder("run");
  write(folder.path() / "file", "x");
  const auto opening = [](const fs::path& path) {
    return message_of<DataError>([&] { (void)RunDir::open(path); });
  };
  EXPECT_EQ(opening(folder.path() / "none"),
            (folder.path() / "none").string() + ": there is no such run directory");
  EXPECT_EQ(opening(folder.path() / "file"),
            (folder.path() / "file").string() + ": is a file, not a run directory");
  EXPECT_EQ(opening(folder.path()),
            folder.path().string() + ": is no run directory (run.json is missing)");
}

TEST(RunDir, OpeningRefusesAMarkerThatIsNotWhatItShouldBe) {
  const TestFolder folder("run");
  const auto run = RunDir::create(folder.path());
  const std::string rest = R"(, "version": "0", "created": "c", "status": "running"})";
  EXPECT_TRUE([&] {
    write(run.marker(), R"({"schema": 1)" + rest);
    return RunDir::open(folder.path()).info().created == "c";
  }());
  const std::string file = run.marker().string();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "is not a JSON object"},
      {"[1]", "is not a JSON object"},
      {R"({"schema": 1)", "is not a JSON object"},
      {R"({"schema": "1")" + rest, "has no number \"schema\""},
      {R"({"schema": 0)" + rest, "has no number \"schema\""},
      {R"({"status": "running"})", "has no number \"schema\""},
      {R"({"schema": 99)" + rest,
       "was written by a newer viewfold (schema 99; this one reads up to 1)"},
      {R"({"schema": 1, "version": "0", "created": "c"})", "has no text \"status\""},
      {R"({"schema": 1, "version": "0", "created": "c", "status": 1})", "has no text \"status\""},
      {R"({"schema": 1, "version": "0", "status": "running"})", "has no text \"created\""},
      {R"({"schema": 1, "version": "0", "created": "c", "status": "lost"})",
       "\"lost\" is no status of a run"}};
  for (const auto& [content, problem] : cases) {
    write(run.marker(), content);
    EXPECT_EQ(message_of<DataError>([&] { (void)RunDir::open(folder.path()); }),
              file + ": " + problem)
        << content;
  }
}

TEST(RunDir, NamesOfEvaluationsAreFileNames) {
  const TestFolder folder("run");
  const auto run = RunDir::create(folder.path());
  EXPECT_EQ(run.eval("knn"), folder.path() / "eval" / "knn.json");
  EXPECT_THROW((void)run.eval(""), ContractViolation);
  EXPECT_THROW((void)run.eval("../card"), ContractViolation);
}

}  // namespace
}  // namespace viewfold
