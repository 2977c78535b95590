// The files of a study: two arms and a command, with runs that have finished and some that have
// not.
#pragma once

#include <filesystem>
#include <string>

#include "report/sample_run.hpp"
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/report/study.hpp"
#include "viewfold/report/study_record.hpp"

namespace viewfold::testing {

inline const std::string kStudyPlan =
    "[study]\ntitle = \"Learned views\"\nquestion = \"Do they help?\"\nseeds = [1, 2, 3]\n"
    "evaluations = \"knn\"\n"
    "[data]\nsource = \"pictures\"\n"
    "[arms.base]\n"
    "[arms.fit]\nafter = \"base\"\ncommand = \"manifold fit {base} --out {self}\"\n"
    "[arms.gan]\nafter = \"fit\"\ncost_of = [\"base\", \"fit\"]\nviews.learned.from = \"{fit}\"\n";

inline StudyPlan sample_plan(const std::filesystem::path& folder,
                             const std::string& text = kStudyPlan) {
  write_text(folder / "plan.toml", text);
  return read_study_plan((folder / "plan.toml").string(), {});
}

struct SampleStudyRun {
  std::string arm;
  std::int64_t seed = 1;
  double accuracy = 0.5;
  double seconds = 60.0;
};

/// A run that has finished and was evaluated.
inline void write_study_run(const StudyPlan& plan,
                            const std::filesystem::path& dir,
                            const SampleStudyRun& run) {
  const StudyRunPlace place{plan, plan.arm(run.arm), dir, run.seed};
  StudyRecord record;
  record.asked = asked_settings(place);
  record.machine = "A processor, 2 threads, viewfold 0.1.0";
  record.seconds = run.seconds;
  record.evaluated = evaluation_text(plan);
  record.audited = audit_text(plan);
  record.is_done = true;
  if (place.arm.command.empty()) {
    write_text(place.run() / "run.json",
               R"({"schema": 1, "version": "0.1.0", "status": "finished", "created": "then"})");
    write_text(place.run() / "encoder.safetensors", "weights");
    write_text(place.run() / "eval" / "knn.json", sample_evaluation("knn", run.accuracy).dump());
    for (const auto& audit : plan.audits) {
      auto file = sample_evaluation(audit, 0.0);
      file["numbers"] = {{"pose", run.accuracy / 2.0}, {"light", 0.25}};
      write_text(place.run() / "eval" / (audit + ".json"), file.dump());
    }
  }
  std::filesystem::create_directories(dir);
  write_study_record(place, record);
}

}  // namespace viewfold::testing
