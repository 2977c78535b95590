// The program from the outside: verbs, exit codes, messages, files.
#include "app/program.hpp"

#include <algorithm>
#include <chrono>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/app/verbs.hpp"

namespace viewfold {
namespace {

using testing::contains;
using testing::run_program;
using testing::small_run;
using testing::with;
using testing::write_pictures;

// A folder with pictures and a finished run on them, made once for all tests that only look.
class FinishedRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TestFolder>("finished_run");
    write_pictures(folder_->path() / "pictures", 40);
    ended_ = run_program(*folder_, small_run("pictures", "run"));
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static std::unique_ptr<TestFolder> folder_;
  static testing::Ended ended_;
};
std::unique_ptr<TestFolder> FinishedRun::folder_;
testing::Ended FinishedRun::ended_;

TEST(Program, HelpNamesEveryVerbAndComesAtOnce) {
  const TestFolder folder("help");
  double fastest = 1e9;
  testing::Ended ended;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    ended = run_program(folder, {"--help"});
    fastest = std::min(
        fastest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  EXPECT_EQ(ended.code, 0);
  for (const auto& verb : kVerbs) {
    EXPECT_TRUE(contains(ended.out, std::string(verb.name))) << verb.name;
  }
  EXPECT_LE(fastest, 0.3);
}

TEST(Program, EveryVerbExplainsItselfAsItsPageSays) {
  const TestFolder folder("verb_help");
  for (const auto& verb : kVerbs) {
    const auto ended = run_program(folder, {std::string(verb.name), "--help"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_TRUE(contains(ended.out, "usage: viewfold " + std::string(verb.name)));
    const std::string page = fmt::format("{}/docs/verbs/{}.md", VIEWFOLD_SOURCE_DIR, verb.name);
    EXPECT_TRUE(contains(read_text_file(page), ended.out))
        << page << " does not hold what --help prints: run tools/make_verb_pages.sh";
  }
}

TEST(Program, WrongWordsAreRefusedWithTheNearestRightOne) {
  const TestFolder folder("wrong_words");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"pretrian", "x"}, "pretrain"},
      {{"pretrain", "x", "--methdo.name", "simclr"}, "method.name"},
      {{"pretrain", "x", "--method", "simclear"}, "simclr"},
      {{"pretrain", "x", "--encoder", "resnet81"}, "resnet18"},
      {{"pretrain", "x", "--train.epochs", "many"}, "train.epochs"},
      {{"pretrain", "x", "--train.epochs", "0"}, "train.epochs"},
      {{"pretrain", "x", "--train.precision", "fp23"}, "fp32"},
      {{"pretrain", "x", "--epochs"}, "--epochs"},
      {{"list", "method"}, "methods"},
      {{"evaluate"}, "RUN"}};
  for (const auto& [words, part] : cases) {
    const auto ended = run_program(folder, words);
    EXPECT_EQ(ended.code, 2) << words.back() << ": " << ended.err;
    EXPECT_TRUE(contains(ended.err, part)) << ended.err;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }
}

TEST(Program, MissingOrUnusableDataIsNamed) {
  const TestFolder folder("missing_data");
  std::filesystem::create_directories(folder.path() / "empty");
  write_file_atomically(folder.path() / "notes.bin", std::string_view("no images here"));
  for (const std::string data : {"nowhere", "empty", "notes.bin", "fashon-mnist"}) {
    const auto ended = run_program(folder, small_run(data, "run"));
    EXPECT_EQ(ended.code, 3) << ended.err;
    EXPECT_TRUE(contains(ended.err, data)) << ended.err;
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "run"));
  }
}

TEST_F(FinishedRun, LeavesEverythingInItsDirectory) {
  ASSERT_EQ(ended_.code, 0) << ended_.err;
  for (const char* file :
       {"run.json", "resolved.toml", "data.json", "metrics.jsonl", "encoder.safetensors",
        "card.json", "report.html", "figures/views.png", "figures/neighbours.png"}) {
    EXPECT_TRUE(std::filesystem::exists(folder_->path() / "run" / file)) << file;
  }
  EXPECT_TRUE(contains(read_text_file(folder_->path() / "run/run.json"), "finished"));
}

TEST_F(FinishedRun, IsNeverOverwrittenSilently) {
  const auto before = read_file(folder_->path() / "run/encoder.safetensors");
  const auto ended = run_program(*folder_, small_run("pictures", "run"));
  EXPECT_EQ(ended.code, 2);
  EXPECT_TRUE(contains(ended.err, "--overwrite")) << ended.err;
  EXPECT_TRUE(read_file(folder_->path() / "run/encoder.safetensors") == before);
}

TEST_F(FinishedRun, IsEvaluatedBesideItsControls) {
  const auto ended = run_program(*folder_, {"evaluate", "run", "--knn.k", "5", "--threads", "1"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  for (const char* part : {"knn", "linear", "raw pixels", "untrained encoder", "report.html"}) {
    EXPECT_TRUE(contains(ended.out, part)) << ended.out;
  }
  EXPECT_TRUE(std::filesystem::exists(folder_->path() / "run/eval/knn.json"));
  EXPECT_TRUE(contains(read_text_file(folder_->path() / "run/card.json"), "\"knn\""));
}

TEST_F(FinishedRun, EmbedsPicturesInTheOrderOfTheirNames) {
  const auto ended =
      run_program(*folder_, {"embed", "run", "pictures", "--out", "e.npy", "--threads", "1"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const auto npy = read_file(folder_->path() / "e.npy");
  EXPECT_EQ(npy.size() % 64, 0U);
  EXPECT_GT(npy.size(), 80U * 32U * sizeof(float));
  const std::string names = read_text_file(folder_->path() / "e.jsonl");
  EXPECT_EQ(std::count(names.begin(), names.end(), '\n'), 80);
  EXPECT_LT(names.find("spots/000.png"), names.find("stripes/039.png"));
}

TEST_F(FinishedRun, IsExportedInBothFormats) {
  const auto ended = run_program(*folder_, {"export", "run", "--out", "out"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(read_file(folder_->path() / "out/encoder.safetensors") ==
              read_file(folder_->path() / "run/encoder.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder_->path() / "out/encoder.pt"));
  EXPECT_EQ(run_program(*folder_, {"export", "run", "--format", "onyx"}).code, 2);
}

TEST_F(FinishedRun, HasNothingToResumeAndRefusesOtherSettings) {
  EXPECT_TRUE(contains(run_program(*folder_, {"resume", "run"}).out, "finished"));
  const auto ended = run_program(*folder_, {"resume", "run", "--method.temperature", "0.3"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_TRUE(contains(ended.err, "method.temperature")) << ended.err;
}

TEST_F(FinishedRun, IsRefusedWhenItsFilesAreDamaged) {
  const auto weights = folder_->path() / "run/encoder.safetensors";
  const auto good = read_file(weights);
  auto bad = good;
  bad.back() ^= std::byte{1};
  write_file_atomically(weights, bad);
  const auto ended = run_program(*folder_, {"embed", "run", "pictures"});
  write_file_atomically(weights, good);
  EXPECT_EQ(ended.code, 3);
  EXPECT_TRUE(contains(ended.err, "encoder.safetensors")) << ended.err;
}

TEST_F(FinishedRun, ShowsViewsAndDataBeforeTraining) {
  EXPECT_EQ(run_program(*folder_, {"views", "pictures", "--out", "v.png"}).code, 0);
  EXPECT_GT(read_image(folder_->path() / "v.png").width(), 500);
  EXPECT_EQ(run_program(*folder_, {"views", "pictures", "--out", "v.html"}).code, 0);
  const std::string page = read_text_file(folder_->path() / "v.html");
  EXPECT_TRUE(contains(page, "<h1>simclr on pictures</h1>"));
  EXPECT_TRUE(contains(page, "<b>random_<wbr>resized_<wbr>crop</b> <span>x "));
  const auto refused = run_program(*folder_, {"views", "pictures", "--out", "v.jpg"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(contains(refused.err, "FILE.png") && contains(refused.err, "FILE.html"))
      << refused.err;
  EXPECT_FALSE(std::filesystem::exists(folder_->path() / "v.jpg"));
  const auto ended = run_program(*folder_, {"data", "pictures"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  for (const char* part : {"80", "spots", "stripes", "uint8"}) {
    EXPECT_TRUE(contains(ended.out, part)) << ended.out;
  }
}

TEST_F(FinishedRun, ShowsTheViewsOfOneImageAgain) {
  const auto show = [this](const std::string& sample, const std::string& epoch) {
    return run_program(*folder_, {"show", "run", "--sample", sample, "--epoch", epoch, "--json"});
  };
  const auto first = show("3", "1");
  ASSERT_EQ(first.code, 0) << first.err;
  const auto page = nlohmann::json::parse(first.out);
  EXPECT_EQ(page.at("views").size(), 2U);
  EXPECT_EQ(page.at("views").at(0).at("operations").at(0).at("operation"), "random_resized_crop");
  EXPECT_EQ(show("3", "1").out, first.out);
  EXPECT_NE(show("4", "1").out, first.out);
  EXPECT_EQ(show("100000", "1").code, 2);
  EXPECT_TRUE(contains(show("3", "0").err, "--epoch 0: the run has 1 .. "));
  EXPECT_EQ(run_program(*folder_, {"show", "run", "--out", "shown.png"}).code, 0);
  EXPECT_GT(read_image(folder_->path() / "shown.png").width(), 200);
  EXPECT_EQ(run_program(*folder_, {"show", "run", "--epoch", "2", "--out", "shown.html"}).code, 0);
  EXPECT_TRUE(contains(read_text_file(folder_->path() / "shown.html"), "alt=\"view 2, epoch 2\""));
  EXPECT_EQ(run_program(*folder_, {"show", "run", "--out", "shown.jpg"}).code, 2);
}

TEST_F(FinishedRun, JudgesTheViewsOfARecipe) {
  const auto verdict = [this](std::vector<std::string> settings) {
    std::vector<std::string> words{"audit-views", "pictures", "--json"};
    words.insert(words.end(), settings.begin(), settings.end());
    const auto ended = run_program(*folder_, words);
    EXPECT_EQ(ended.code, 0) << ended.err;
    const auto whole = nlohmann::json::parse(ended.out).back();
    EXPECT_EQ(whole.at("whole"), true);
    return whole.at("findings").at(0).at("verdict").get<std::string>();
  };
  EXPECT_EQ(verdict({"--views", "none"}), "too weak");
  EXPECT_EQ(verdict({"--with", "run", "--views.random_resized_crop.scale_min", "0.001",
                     "--views.random_resized_crop.scale_max", "0.01"}),
            "destroys content");
  write_file_atomically(folder_->path() / "boxes.csv", "no such picture,0,0,1,1\n");
  EXPECT_EQ(run_program(*folder_, {"audit-views", "pictures", "--boxes", "boxes.csv"}).code, 3);
  write_file_atomically(folder_->path() / "boxes.csv", "a.png,3,0,1,1\n");
  const auto broken = run_program(*folder_, {"audit-views", "pictures", "--boxes", "boxes.csv"});
  EXPECT_TRUE(contains(broken.err, "boxes.csv line 1")) << broken.err;
}

TEST(Program, GoesOnWithoutUnreadableImagesOnlyWhenAllowedTo) {
  const TestFolder folder("bad_images");
  write_pictures(folder.path() / "pictures", 40);
  write_file_atomically(folder.path() / "pictures/spots/bad.png", std::string_view("\x89PNG gone"));
  const auto refused = run_program(folder, small_run("pictures", "run"));
  EXPECT_EQ(refused.code, 3);
  EXPECT_TRUE(contains(refused.err, "bad.png")) << refused.err;
  const auto allowed =
      run_program(folder, with(small_run("pictures", "run"), {"--data.max_bad_fraction", "0.1"}));
  EXPECT_EQ(allowed.code, 0) << allowed.err;
  EXPECT_TRUE(contains(allowed.err, "1 unreadable")) << allowed.err;
}

TEST(Program, TooFewImagesForABatchAreRefused) {
  const TestFolder folder("few_images");
  write_pictures(folder.path() / "pictures", 2);
  const auto ended = run_program(folder, small_run("pictures", "run"));
  EXPECT_EQ(ended.code, 2);
  EXPECT_TRUE(contains(ended.err, "batch")) << ended.err;
}

TEST(Program, AQueueThatDoesNotHoldWholeBatchesIsRefusedBeforeARunIsMade) {
  const TestFolder folder("queue");
  write_pictures(folder.path() / "pictures", 40);
  const auto ended = run_program(
      folder,
      with(small_run("pictures", "run"), {"--method", "moco_v2", "--method.queue_size", "100"}));
  EXPECT_EQ(ended.code, 2);
  EXPECT_TRUE(contains(ended.err,
                       "method.queue_size and train.batch_size = 16: a queue of 100 does "
                       "not hold whole batches of 32 keys (take a multiple such as 96)"))
      << ended.err;
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "run"));
}

TEST(Program, OneArgumentIsEnoughForAFewPictures) {
  const TestFolder folder("one_argument");
  write_pictures(folder.path() / "pictures", 8);
  const auto ended = run_program(
      folder, {"pretrain", "pictures", "--epochs", "1", "--encoder.width", "4", "--threads", "1"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "runs/pictures-simclr/report.html"));
}

}  // namespace
}  // namespace viewfold
