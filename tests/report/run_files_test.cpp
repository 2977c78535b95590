// Tests of reading run directories, whole and broken.
#include "viewfold/report/run_files.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/test_folder.hpp"
#include "report/sample_run.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/report/report.hpp"

namespace viewfold::report {
namespace {

namespace fs = std::filesystem;
using testing::write_sample_run;
using testing::write_text;

// What write_report() has against the run, or nothing.
std::optional<std::string> problem_of(const fs::path& dir) {
  try {
    write_report(dir, dir / "report.html");
  } catch (const DataError& problem) {
    return problem.what();
  }
  return std::nullopt;
}

std::string nested(const std::string& open, const std::string& close, int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) {
    text += open;
  }
  text += "1";
  for (int i = 0; i < depth; ++i) {
    text += close;
  }
  return text;
}

struct BrokenFile {
  std::string name;
  std::string content;
};

// Each content is wrong for its file whatever else is right.
std::vector<BrokenFile> broken_files() {
  const std::string deep = nested(R"({"a":)", "}", 20000);
  std::vector<BrokenFile> broken;
  for (const std::string file : {"run.json", "card.json", "eval/knn.json"}) {
    for (const std::string& content :
         {std::string(), std::string("{"), std::string("[]"), std::string("3"), std::string("null"),
          std::string("\"text\""), std::string("{\"schema\": NaN}"), std::string("{'schema': 1}"),
          std::string("{\"schema\": 1} trailing"), std::string("{\"schema\": 1e999}"),
          std::string("\xFF\xFE\x00\x01", 4), std::string("\x89PNG\r\n\x1A\n"),
          std::string("{\"schema\": 1, \"x\": \"\\ud800\"}"), std::string(64, '\0'), deep}) {
      broken.push_back({file, content});
    }
  }
  for (const std::string file : {"run.json", "eval/knn.json"}) {
    for (const std::string content :
         {R"({})", R"({"schema": "1"})", R"({"schema": null})", R"({"schema": 2})",
          R"({"schema": 1.5})", R"({"schema": [1]})"}) {
      broken.push_back({file, content});
    }
  }
  for (const std::string content :
       {R"({"schema": 1})", R"({"schema": 1, "evaluation": "knn"})",
        R"({"schema": 1, "evaluation": 3, "numbers": {}})",
        R"({"schema": 1, "evaluation": "knn", "numbers": []})",
        R"({"schema": 1, "evaluation": "knn", "numbers": {}, "confusion": []})",
        R"({"schema": 1, "evaluation": "knn", "numbers": {"accuracy": Infinity}})"}) {
    broken.push_back({"eval/knn.json", content});
  }
  for (const std::string file : {"map", "duplicates", "invariance", "robustness"}) {
    const std::string start = R"({"schema": 1, "evaluation": ")" + file + R"(", "numbers": {})";
    for (const std::string content :
         {R"(, "points": 3, "pairs": 3, "curves": 3})",
          R"(, "points": [{}], "pairs": [{}], "similarity": {"a": 1}, "curves": [{}]})",
          R"(, "points": [[[]]], "pairs": [null], "similarity": {"a": [[1]]}})"}) {
      broken.push_back({"eval/" + file + ".json", start + content});
    }
  }
  for (const std::string content :
       {"x\n", "{}\n", "[1]\n", "{\"event\": 3}\n", "{\"event\": \"train\", \"loss\": NaN}\n",
        "{\"event\": \"train\"\n{\"event\": \"train\"}\n", "{\"event\": \"train\"}\n\xFF\n"}) {
    broken.push_back({"metrics.jsonl", content});
  }
  for (const std::string content :
       {"= 1\n", "[data\n", "a = \n", "a = 1\na = 2\n", "d = 2001-01-01\n", "a = \"\xFF\"\n[",
        "x = [[1, 2], \"3\"]\n"}) {
    broken.push_back({"resolved.toml", content});
  }
  for (const std::string content : {"", "\x89PNG", "GIF89a, which is no PNG at all",
                                    "\x89PNG\r\n\x1A\n and then something else"}) {
    broken.push_back({"figures/views.png", content});
    broken.push_back({"figures/neighbours.png", content});
    broken.push_back({"figures/map.jpg", content});
  }
  for (const std::string content : {"\xFF\xD8\xFF", "\xFF\xD8\xFF\xE0 and then something else"}) {
    broken.push_back({"figures/map.jpg", content});
  }
  return broken;
}

TEST(RunFiles, HoldWhatTheSampleHolds) {
  const TestFolder folder("report_files");
  write_sample_run(folder.path());
  const RunFiles files = read_run_files(folder.path());
  EXPECT_EQ(files.run["status"], "finished");
  EXPECT_EQ(files.values.at("method.name"), "simclr");
  EXPECT_EQ(files.values.at("method.temperature"), "0.2");
  EXPECT_EQ(files.values.at("train.epochs"), "4");
  EXPECT_EQ(files.metrics.size(), 45U);
  ASSERT_EQ(files.evaluations.size(), 2U);
  EXPECT_EQ(files.evaluations[0].path.filename(), "knn.json");
  EXPECT_EQ(files.card["architecture"]["width"], 16);
}

TEST(RunFiles, NeedNothingButRunJson) {
  const TestFolder folder("report_files");
  write_text(folder.path() / "run.json", R"({"schema": 1})");
  const RunFiles files = read_run_files(folder.path());
  EXPECT_TRUE(files.metrics.empty());
  EXPECT_TRUE(files.evaluations.empty());
  EXPECT_TRUE(files.card.is_null());
  EXPECT_EQ(problem_of(folder.path()), std::nullopt);
}

TEST(RunFiles, EachBrokenFileIsADataErrorThatNamesIt) {
  const TestFolder folder("report_files");
  const auto broken = broken_files();
  EXPECT_GE(broken.size(), 50U);
  for (const auto& [name, content] : broken) {
    fs::remove_all(folder.path());
    write_sample_run(folder.path());
    testing::write_sample_audit(folder.path());
    write_text(folder.path() / name, content);
    const auto problem = problem_of(folder.path());
    const std::string shown = name + " with " + content.substr(0, 60);
    ASSERT_TRUE(problem.has_value()) << shown << " was taken";
    EXPECT_NE(problem->find((folder.path() / name).string()), std::string::npos)
        << shown << ": " << *problem;
    EXPECT_LT(problem->size(), 600U) << "one readable line";
    EXPECT_FALSE(fs::exists(folder.path() / "report.html")) << shown;
  }
}

// Values of another type where the format allows a file to say less.
TEST(RunFiles, OptionalValuesOfAnotherTypeAreLeftOut) {
  const TestFolder folder("report_files");
  for (const std::string value :
       {"null", "true", "-1", "1e308", "\"x\"", "[]", "[[1]]", "{}", "{\"a\": {\"b\": null}}"}) {
    for (const std::string key :
         {"dataset", "split", "counts", "protocol", "controls", "figures"}) {
      auto content = testing::sample_evaluation("knn", 0.5);
      content[key] = nlohmann::json::parse(value);
      write_text(folder.path() / "run.json",
                 R"({"schema": 1, "status": )" + value + R"(, "created": )" + value + "}");
      write_text(folder.path() / "metrics.jsonl", R"({"event": "train", "step": )" + value +
                                                      R"(, "epoch": )" + value + R"(, "loss": )" +
                                                      value + "}\n");
      write_text(folder.path() / "card.json", R"({"x": )" + value + "}");
      write_text(folder.path() / "eval" / "knn.json", content.dump());
      EXPECT_EQ(problem_of(folder.path()), std::nullopt) << key << " = " << value;
    }
  }
}

// A byte changed or a file cut anywhere: either the report is written or the file is named.
TEST(RunFiles, DamageAtAnyPlaceEndsInAReportOrADataError) {
  const TestFolder folder("report_files");
  write_sample_run(folder.path());
  testing::write_sample_audit(folder.path());
  Rng rng({.seed = 1, .stream = "damage"});
  for (const std::string name :
       {"run.json", "card.json", "eval/knn.json", "metrics.jsonl", "resolved.toml",
        "figures/views.png", "eval/invariance.json", "eval/robustness.json", "eval/map.json",
        "eval/duplicates.json", "figures/map.jpg"}) {
    const fs::path path = folder.path() / name;
    const std::string whole = read_text_file(path);
    for (int i = 0; i < 12; ++i) {
      std::string damaged = whole;
      const std::size_t place = rng.below(static_cast<std::uint32_t>(whole.size()));
      if (i % 2 == 0) {
        damaged.resize(place);
      } else {
        damaged[place] = static_cast<char>(rng.below(256));
      }
      write_text(path, damaged);
      if (const auto problem = problem_of(folder.path())) {
        // A sprite of another size does not fit its map, which is what is named then.
        const auto named =
            name == "figures/map.jpg" && problem->find("\"sprite\"") != std::string::npos
                ? folder.path() / "eval" / "map.json"
                : path;
        EXPECT_NE(problem->find(named.string()), std::string::npos) << *problem;
      }
    }
    write_text(path, whole);
  }
}

TEST(RunFiles, DropALineThatAKilledRunLeftTorn) {
  const TestFolder folder("report_files");
  write_sample_run(folder.path());
  write_text(folder.path() / "metrics.jsonl",
             testing::sample_metrics() + R"({"event": "train", "step": 4)");
  EXPECT_EQ(read_run_files(folder.path()).metrics.size(), 45U);
  write_text(folder.path() / "metrics.jsonl", R"({"event": "train", "step": 4})");
  EXPECT_EQ(read_run_files(folder.path()).metrics.size(), 1U);
}

TEST(RunFiles, NameTheLineOfBrokenMetrics) {
  const TestFolder folder("report_files");
  write_sample_run(folder.path());
  write_text(folder.path() / "metrics.jsonl", testing::sample_metrics() + "oops\n");
  EXPECT_NE(problem_of(folder.path()).value_or("").find("metrics.jsonl:46: "), std::string::npos);
}

TEST(RunFiles, FoldersInThePlaceOfFilesAreDataErrors) {
  for (const std::string name : {"run.json", "card.json", "eval/knn.json", "metrics.jsonl",
                                 "resolved.toml", "figures/views.png"}) {
    const TestFolder folder("report_files");
    write_sample_run(folder.path());
    fs::remove(folder.path() / name);
    fs::create_directories(folder.path() / name);
    const auto problem = problem_of(folder.path());
    ASSERT_TRUE(problem.has_value()) << name;
    EXPECT_NE(problem->find(name), std::string::npos) << *problem;
  }
}

TEST(RunFiles, SayThatAFolderIsNoRun) {
  const TestFolder folder("report_files");
  EXPECT_NE(problem_of(folder.path()).value_or("").find("is no run directory"), std::string::npos);
  EXPECT_NE(problem_of(folder.path() / "nowhere").value_or("").find("nowhere"), std::string::npos);
}

TEST(RunFiles, TheFolderOfEvaluationsMustBeAFolder) {
  const TestFolder folder("report_files");
  write_text(folder.path() / "run.json", R"({"schema": 1})");
  write_text(folder.path() / "eval", "text");
  EXPECT_NE(problem_of(folder.path()).value_or("").find("eval: "), std::string::npos);
}

TEST(Picture, HasTheSizeOfItsHeader) {
  const TestFolder folder("report_files");
  testing::write_picture(folder.path() / "figures" / "a.png", 20, 300);
  const auto picture = read_picture(folder.path(), "figures/a.png");
  ASSERT_TRUE(picture.has_value());
  EXPECT_EQ(picture->type, "image/png");
  EXPECT_EQ(picture->height, 20);
  EXPECT_EQ(picture->width, 300);
  EXPECT_EQ(picture->base64.rfind("iVBORw0KGgo", 0), 0U);
  EXPECT_FALSE(read_picture(folder.path(), "figures/b.png").has_value());
}

TEST(Picture, MayBeAJpeg) {
  const TestFolder folder("report_files");
  testing::write_jpeg(folder.path() / "figures" / "a.jpg", 20, 300);
  const auto picture = read_picture(folder.path(), "figures/a.jpg");
  ASSERT_TRUE(picture.has_value());
  EXPECT_EQ(picture->type, "image/jpeg");
  EXPECT_EQ(picture->height, 20);
  EXPECT_EQ(picture->width, 300);
  EXPECT_EQ(picture->base64.rfind("/9j/", 0), 0U);
}

TEST(RunFiles, AnEvaluationIsFoundByWhatItsFileSays) {
  const std::vector<EvaluationFile> files{
      {.path = "eval/b.json", .content = {{"evaluation", "knn"}, {"numbers", {{"a", 1}}}}},
      {.path = "eval/knn.json", .content = {{"evaluation", "knn"}}}};
  EXPECT_EQ(evaluation_named(files, "knn"), &files[0]);
  EXPECT_EQ(evaluation_named(files, "b"), nullptr);
}

TEST(Picture, IsNotReadFromOutsideOfTheRun) {
  const TestFolder folder("report_files");
  testing::write_picture(folder.path() / "secret.png", 2, 2);
  fs::create_directories(folder.path() / "run");
  for (const fs::path& file : std::vector<fs::path>{"../secret.png", "a/../../secret.png", "", "..",
                                                    folder.path() / "secret.png"}) {
    EXPECT_THROW((void)read_picture(folder.path() / "run", file), DataError) << file;
  }
  EXPECT_THROW((void)read_picture(folder.path() / "run", std::string(300, 'x')), DataError);
}

}  // namespace
}  // namespace viewfold::report
