// Studies from the outside: runs, stops, going on, refusals, tables.
#include <csignal>

#include "app/stopped_run.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace viewfold {
namespace {

using nlohmann::json;
using testing::run_program;
using testing::write_pictures;

// Two ways to train and a command that needs one of them, with two seeds.
const std::string kRecipe =
    "[study]\ntitle = \"Two temperatures\"\nseeds = [1, 2]\nevaluations = \"knn\"\n"
    "[data]\nsource = \"pictures\"\n"
    "[encoder]\nwidth = 4\n"
    "[train]\nepochs = 4\nbatch_size = 16\nthreads = 1\ncheckpoint_minutes = 0\n"
    "[evaluate]\nknn.k = 5\nthreads = 1\n"
    "[arms.base]\n"
    "[arms.copy]\nafter = \"base\"\n"
    "command = \"export {base} --format safetensors --out {self}\"\n"
    "[arms.cold]\nafter = \"copy\"\ncost_of = [\"base\", \"copy\"]\nmethod.temperature = 0.1\n";

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void write_recipe(const TestFolder& folder, const std::string& text = kRecipe) {
  write_file_atomically(folder.path() / "temperatures.toml", text);
}

json results_of(const TestFolder& folder) {
  return json::parse(read_text_file(folder.path() / "study/study.json"));
}

const std::vector<std::string> kStudy{"study", "temperatures.toml", "--out", "study"};

// An absolute path for what is not started through the shell.
std::vector<std::string> study_in(const TestFolder& folder) {
  return {"study",         (folder.path() / "temperatures.toml").string(),
          "--out",         (folder.path() / "study").string(),
          "--data.source", (folder.path() / "pictures").string()};
}

TEST(Study, StopsGoesOnAndComparesArms) {
  const TestFolder folder("study_verb");
  write_pictures(folder.path() / "pictures", 40);
  write_recipe(folder);
  const auto run = folder.path() / "study/base-seed1";
  const int status = testing::signal_when_run_is_on(folder, study_in(folder), run, SIGINT);
  ASSERT_TRUE(WIFEXITED(status));
  const std::string said = read_text_file(folder.path() / "signalled.txt");
  EXPECT_EQ(WEXITSTATUS(status), 130) << said;
  EXPECT_TRUE(contains(said, "go on with: viewfold study")) << said;
  EXPECT_TRUE(contains(read_text_file(run / "run.json"), "interrupted"));

  const auto ended = run_program(folder, study_in(folder));
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.err, "base-seed1: viewfold resume")) << ended.err;
  EXPECT_TRUE(contains(ended.err, "cold-seed2: viewfold pretrain")) << ended.err;
  EXPECT_TRUE(contains(ended.out, "minus base")) << ended.out;
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "study/copy-seed2/encoder.safetensors"));
  const json results = results_of(folder);
  EXPECT_TRUE(results["missing"].empty()) << results["missing"];
  const json& cold = results["arms"][2];
  EXPECT_EQ(cold["name"], "cold");
  EXPECT_EQ(cold["accuracy"]["knn"]["n"], 2);
  EXPECT_EQ(cold["difference"]["knn"]["seeds"], json({1, 2}));
  EXPECT_EQ(cold["difference"]["knn"]["interval_95"].size(), 2U);
  EXPECT_GT(cold["runs"][0]["wall_seconds"], 0.0);
  EXPECT_GT(cold["runs"][0]["total_wall_seconds"], cold["runs"][0]["wall_seconds"]);
  EXPECT_TRUE(cold["runs"][0]["evaluations"]["knn"]["controls"].contains("raw pixels"));
  EXPECT_TRUE(contains(read_text_file(folder.path() / "study/study.md"), "Two temperatures"));
  EXPECT_TRUE(contains(read_text_file(folder.path() / "study/study.html"), "</html>"));

  const auto again = run_program(folder, study_in(folder));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.err, "");
  EXPECT_EQ(results_of(folder), results);
}

TEST(Study, AuditsItsRunsAndWhatIsFusedOfThem) {
  const TestFolder folder("study_audit");
  write_pictures(folder.path() / "pictures", 90);
  write_recipe(folder,
               "[study]\nseeds = [1]\nevaluations = \"knn\"\naudits = \"alignment,sets\"\n"
               "audit_minutes = 1\n"
               "[data]\nsource = \"pictures\"\n[encoder]\nwidth = 4\n"
               "[train]\nepochs = 1\nbatch_size = 16\nthreads = 1\n"
               "[evaluate]\nknn.k = 5\nthreads = 1\ndata = \"pictures\"\ncontrols = \"off\"\n"
               "[arms.warm]\n[arms.cold]\nmethod.temperature = 0.1\n"
               "[arms.both]\nafter = \"warm,cold\"\n"
               "command = \"fuse {warm} {cold} --out {self} --overwrite\"\n");
  const auto ended = run_program(folder, kStudy);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.err, "both-seed1: viewfold audit")) << ended.err;
  const json results = results_of(folder);
  EXPECT_TRUE(results["missing"].empty()) << results["missing"];
  const json& both = results["arms"][2];
  EXPECT_EQ(both["name"], "both");
  EXPECT_EQ(both["accuracy"]["knn"]["n"], 1);
  EXPECT_TRUE(both["runs"][0]["audits"]["alignment"].contains("distance_of_others"));
  EXPECT_TRUE(both["audit_difference"]["sets"].contains("similarity"));
  EXPECT_TRUE(contains(ended.out, "Alignment, minus warm")) << ended.out;
  const auto again = run_program(folder, kStudy);
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.err, "");
}

TEST(Study, RunsAPartSaysWhatIsMissingAndRefusesOtherSettings) {
  const TestFolder folder("study_part");
  write_pictures(folder.path() / "pictures", 40);
  write_recipe(folder);
  auto part = kStudy;
  part.insert(part.end(), {"--only", "base", "--seeds", "2"});
  const auto ended = run_program(folder, part);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.out, "base, seed 1: not run")) << ended.out;
  EXPECT_FALSE(contains(ended.out, "base, seed 2")) << ended.out;
  EXPECT_EQ(results_of(folder)["arms"][0]["accuracy"]["knn"]["n"], 1);

  std::string changed = kRecipe;
  changed.replace(changed.find("epochs = 4"), 10, "epochs = 5");
  write_recipe(folder, changed);
  const auto refused = run_program(folder, kStudy);
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(contains(refused.err, "arm base ran with other settings, train.epochs: 4 -> 5"))
      << refused.err;
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "study/base-seed1"));

  std::string moved = kRecipe;  // where images are may change, and so may how they are measured
  moved.replace(moved.find("\"pictures\""), 10, "\"./pictures\"");
  moved.replace(moved.find("knn.k = 5"), 9, "knn.k = 3");
  write_recipe(folder, moved);
  const auto measured = run_program(folder, part);
  EXPECT_EQ(measured.code, 0) << measured.err;
  EXPECT_TRUE(contains(measured.err, "base-seed2: viewfold evaluate")) << measured.err;
  EXPECT_FALSE(contains(measured.err, "pretrain")) << measured.err;
  EXPECT_TRUE(contains(results_of(folder)["protocols"]["knn"].get<std::string>(), "k = 3"));
}

TEST(Study, GoesOnWithOtherArmsWhenOneFails) {
  const TestFolder folder("study_failure");
  write_pictures(folder.path() / "pictures", 40);
  write_recipe(folder,
               "[study]\nseeds = [1]\nevaluations = \"knn\"\nreference = \"good\"\n"
               "[encoder]\nwidth = 4\n[train]\nepochs = 1\nbatch_size = 16\nthreads = 1\n"
               "[evaluate]\nknn.k = 5\nthreads = 1\n"
               "[arms.bad]\ndata.source = \"nowhere\"\n"
               "[arms.late]\nafter = \"bad\"\ndata.source = \"pictures\"\n"
               "[arms.good]\ndata.source = \"pictures\"\n");
  const auto ended = run_program(folder, kStudy);
  EXPECT_EQ(ended.code, 3);
  EXPECT_TRUE(contains(ended.err, "bad-seed1")) << ended.err;
  EXPECT_TRUE(contains(ended.err, "late-seed1 waits for bad-seed1")) << ended.err;
  EXPECT_TRUE(contains(ended.out, "bad, seed 1: not run (code 3: ")) << ended.out;
  EXPECT_TRUE(contains(ended.out, "nowhere")) << ended.out;
  EXPECT_EQ(results_of(folder)["arms"][2]["accuracy"]["knn"]["n"], 1);
}

TEST(Study, TellsMistakesBeforeAnythingRuns) {
  const TestFolder folder("study_mistakes");
  write_recipe(folder);
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"--only", "bsae"}, "did you mean base?"},
      {{"--only", "cold"}, "arm cold needs copy-seed1, which is not finished (add copy to --only)"},
      {{"--seeds", "3"}, "3 is no seed of the study"},
      {{"--study.evaluations", "knm"}, "knn"},
      {{"--study.audits", "solid"}, "did you mean solids?"},
      {{"--train.epoch", "3"}, "arm base: --train.epoch: train.epoch: unknown setting"},
      {{"--seed", "3"}, "--seed: seed: the seeds of a study are in study.seeds"},
      {{"--arms.copy.command", "exprot"}, "did you mean export?"},
      {{"--arms.copy.command", "export {cold}"}, "{cold} stands for nothing"}};
  for (const auto& [words, part] : cases) {
    auto line = kStudy;
    line.insert(line.end(), words.begin(), words.end());
    const auto ended = run_program(folder, line);
    EXPECT_EQ(ended.code, 2) << words.back() << ended.err;
    EXPECT_TRUE(contains(ended.err, part)) << ended.err;
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "study"));
  EXPECT_EQ(run_program(folder, {"study", "nowhere.toml"}).code, 2);
}

}  // namespace
}  // namespace viewfold
