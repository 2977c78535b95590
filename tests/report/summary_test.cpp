// Tests of the summary of a run.
#include "viewfold/report/summary.hpp"

#include <string>

#include "report/sample_run.hpp"
#include <gtest/gtest.h>

namespace viewfold::report {
namespace {

using nlohmann::json;

RunFiles files_with(const std::string& status) {
  RunFiles files;
  files.dir = "runs/first/";
  files.run = {{"schema", 1}, {"status", status}, {"version", "0.1.0"}};
  files.values = {{"method.name", "simclr"},
                  {"encoder.name", "resnet18"},
                  {"data.source", "/somewhere/shapes/"},
                  {"train.epochs", "10"}};
  files.metrics = {{{"event", "train"}, {"step", 1200}, {"epoch", 3}, {"loss", 1.0}}};
  return files;
}

std::string first_sentence(const RunFiles& files) {
  return summary_model(files)["sentences"][0];
}

TEST(Summary, NamesMethodEncoderDataAndFolder) {
  const json summary = summary_model(files_with("finished"));
  EXPECT_EQ(summary["title"], "simclr with resnet18 on shapes");
  EXPECT_EQ(summary["name"], "first");
  EXPECT_EQ(summary["status"], "finished");
  EXPECT_EQ(summary["created"], "");
}

TEST(Summary, SaysHowFarTrainingCame) {
  EXPECT_EQ(first_sentence(files_with("finished")),
            "simclr with resnet18 on shapes was trained for 4 epochs (1,200 steps).");
  EXPECT_EQ(first_sentence(files_with("interrupted")),
            "simclr with resnet18 on shapes was interrupted in epoch 4 of 10 (step 1,200); "
            "`viewfold resume` goes on from there.");
  EXPECT_EQ(first_sentence(files_with("diverged")),
            "simclr with resnet18 on shapes diverged in epoch 4 of 10 (step 1,200): its numbers "
            "can no longer be trusted.");
  EXPECT_EQ(first_sentence(files_with("running")),
            "simclr with resnet18 on shapes has come to epoch 4 of 10 (step 1,200) and has not "
            "finished.");
}

TEST(Summary, SaysWhenNothingIsKnown) {
  RunFiles files;
  files.dir = "runs/empty";
  files.run = {{"schema", 1}};
  const json summary = summary_model(files);
  EXPECT_EQ(summary["title"], "This run");
  EXPECT_EQ(summary["sentences"], json({"This run: nothing has been recorded of its training."}));
}

TEST(Summary, CountsAlarms) {
  RunFiles files = files_with("finished");
  EXPECT_EQ(summary_model(files)["sentences"].back(), "No alarm was raised.");
  files.metrics.push_back({{"event", "alarm"}, {"step", 900}, {"message", "outputs are equal"}});
  json summary = summary_model(files);
  EXPECT_EQ(summary["sentences"].back(), "One alarm was raised; see Training.");
  EXPECT_EQ(summary["alarms"],
            json::parse(R"([{"step": 900, "where": "Step 900", "message": "outputs are equal"}])"));
  files.metrics.push_back({{"event", "alarm"}});
  summary = summary_model(files);
  EXPECT_EQ(summary["sentences"].back(), "2 alarms were raised; see Training.");
  EXPECT_EQ(summary["alarms"][1]["message"], "no message");
}

TEST(Summary, TakesAnyNumberAsStepAndEpoch) {
  RunFiles files = files_with("finished");
  files.metrics = {{{"event", "train"}, {"step", 1e300}, {"epoch", -1e300}},
                   {{"event", "train"}, {"step", -5}, {"epoch", 0}}};
  EXPECT_EQ(
      first_sentence(files),
      "simclr with resnet18 on shapes was trained for 1 epoch (1,000,000,000,000,000 steps).");
}

}  // namespace
}  // namespace viewfold::report
