// Tests of the reading of plans.
#include "viewfold/report/study_plan.hpp"

#include <string>
#include <vector>

#include "core/test_folder.hpp"
#include "report/sample_run.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Names = std::vector<std::string>;

const std::string kPlan =
    "[study]\ntitle = \"Learned views\"\nseeds = [3, 1]\n"
    "[data]\nsource = \"pictures\"\n[train]\nepochs = 2\n"
    "[arms.base]\n"
    "[arms.gan]\nafter = \"fit\"\ncost_of = [\"base\", \"fit\"]\n"
    "[arms.gan.views.learned]\nfrom = \"{fit}/g{seed}\"\n[arms.gan.train]\nepochs = 3\n"
    "[arms.fit]\nafter = [\"base\"]\ncommand = \"manifold fit {base} --out  {self}\"\n"
    "[evaluate]\nknn.k = 5\n";

StudyPlan plan_of(const std::string& text, const ConfigSource& changes = {}) {
  const TestFolder folder("study_plan");
  testing::write_text(folder.path() / "plan.toml", text);
  return read_study_plan((folder.path() / "plan.toml").string(), changes);
}

std::string error_of(const std::string& text) {
  try {
    (void)plan_of(text);
  } catch (const UsageError& error) {
    const std::string message = error.what();
    return message.substr(message.find("plan.toml"));
  }
  return "";
}

TEST(StudyPlan, GivesEveryArmTheSharedSettingsAndItsOwn) {
  const StudyPlan plan = plan_of(kPlan);
  EXPECT_EQ(plan.title, "Learned views");
  EXPECT_EQ(plan.seeds, (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(plan.evaluations, (Names{"knn", "linear"}));
  EXPECT_EQ(setting_text(plan.evaluate.at("knn.k")), "5");
  EXPECT_EQ(settings_file(plan.arm("base").settings),
            "data.source = \"pictures\"\ntrain.epochs = 2\n");
  EXPECT_EQ(
      settings_file(plan.arm("gan").settings),
      "data.source = \"pictures\"\ntrain.epochs = 3\nviews.learned.from = \"{fit}/g{seed}\"\n");
  EXPECT_TRUE(plan.arm("fit").settings.empty());
  EXPECT_EQ(plan.arm("gan").cost_of, (Names{"base", "fit"}));
}

TEST(StudyPlan, KeepsTheOrderOfTheFileAndRunsWhatIsNeededFirst) {
  const StudyPlan plan = plan_of(kPlan);
  Names file;
  Names order;
  for (const auto& arm : plan.arms) {
    file.push_back(arm.name);
  }
  for (const auto* arm : order_of_arms(plan)) {
    order.push_back(arm->name);
  }
  EXPECT_EQ(file, (Names{"base", "gan", "fit"}));
  EXPECT_EQ(order, (Names{"base", "fit", "gan"}));
  EXPECT_EQ(plan.reference, "base");
}

TEST(StudyPlan, FillsInFoldersOfTheSameSeed) {
  const StudyPlan plan = plan_of(kPlan);
  const auto settings = settings_of_run({plan, plan.arm("gan"), "/s", 3});
  EXPECT_EQ(setting_text(settings.at("views.learned.from")), "/s/fit-seed3/g3");
  EXPECT_EQ(setting_text(settings.at("seed")), "3");
  EXPECT_EQ(command_of_run({plan, plan.arm("fit"), "/a b", 1}),
            (Names{"manifold", "fit", "/a b/base-seed1", "--out", "/a b/fit-seed1"}));
}

TEST(StudyPlan, LeavesOtherBracesAsTheyAre) {
  const StudyPlan plan = plan_of("data.source = \"shard-{000..100}.tar{\"\n[arms.a]\n");
  const auto settings = settings_of_run({plan, plan.arm("a"), "/s", 1});
  EXPECT_EQ(setting_text(settings.at("data.source")), "shard-{000..100}.tar{");
}

TEST(StudyPlan, LetsTheCommandLineWinOverEveryArm) {
  ConfigSource changes;
  changes.set("train.epochs", "1", "--epochs");
  changes.set("study.seeds", "7", "--study.seeds");
  changes.set("evaluate.knn.k", "9", "--evaluate.knn.k");
  const StudyPlan plan = plan_of(kPlan, changes);
  EXPECT_EQ(setting_text(plan.arm("gan").settings.at("train.epochs")), "1");
  EXPECT_EQ(setting_text(plan.arm("base").settings.at("train.epochs")), "1");
  EXPECT_EQ(plan.seeds, (std::vector<std::int64_t>{7}));
  EXPECT_EQ(setting_text(plan.evaluate.at("knn.k")), "9");
  // It has no type of its own, so it does not go into the file.
  EXPECT_EQ(settings_file(plan.arm("base").settings), "data.source = \"pictures\"\n");
}

TEST(StudyPlan, SaysWhatIsWrongAndWhere) {
  const std::string two = "[arms.base]\n[arms.other]\n";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"[train]\nepochs = 1\n", "plan.toml: has no arms"},
      {"arms.base = 1\n", "plan.toml:1: arms.base is no arm"},
      {"[arms.seed]\n", "plan.toml:1: an arm cannot be called seed"},
      {"seed = 1\n[arms.a]\n", "plan.toml:1: seed: the seeds of a study are in study.seeds"},
      {"[study]\nsede = 1\n[arms.a]\n", "plan.toml:2: study.sede: unknown setting"},
      {"[study]\naudit_minutes = 0\n[arms.a]\n", "plan.toml:2: study.audit_minutes"},
      {"[study]\nseeds = []\n[arms.a]\n", "plan.toml: study.seeds: is empty"},
      {"[study]\nseeds = [1, 1]\n[arms.a]\n", "plan.toml: study.seeds: names a seed twice"},
      {"[study]\nreference = \"bsae\"\n" + two, "did you mean base?"},
      {two + "after = \"bas\"\n", "plan.toml: there is no arm \"bas\" (did you mean base?)"},
      {two + "cost_of = [\"x\"]\n", "plan.toml: there is no arm \"x\""},
      {two + "cost_of = \"other\"\n", "\"cost_of\" names the arm itself"},
      {two + "after = 3\n", "plan.toml:3: after: expected a text, got 3"},
      {"[arms.a]\nafter = \"b\"\n[arms.b]\nafter = \"a\"\n", "arm a waits for itself"},
      {"[arms.a]\nafter = \"a\"\n", "arm a waits for itself"},
      {two + "train.x = \"{base}\"\n",
       "plan.toml:3: train.x: {base} stands for nothing in arm other"},
      {two + "after = \"base\"\ntrain.x = \"{bas}\"\n", "{bas} stands for nothing"},
      {two + "command = \"fit {x}\"\n", "plan.toml: arms.other.command: {x} stands for nothing"},
      {two + "command = \"fit\"\nmore = 1\n", "plan.toml:4: more: arm other has a command"},
      {"[study]\nreference = \"other\"\n" + two + "command = \"fit\"\n", "has a command, and no"},
      {"[arms.a]\nx = 1\nx = 2\n", "plan.toml:3:"}};
  for (const auto& [text, part] : cases) {
    EXPECT_NE(error_of(text).find(part), std::string::npos) << text << error_of(text);
  }
}

TEST(StudyPlan, NamesStandBetweenCommas) {
  EXPECT_EQ(names_in(""), Names{});
  EXPECT_EQ(names_in("a"), Names{"a"});
  EXPECT_EQ(names_in(" a, b ,"), (Names{"a", "b"}));
  EXPECT_EQ(names_in(",a"), (Names{"", "a"}));
}

}  // namespace
}  // namespace viewfold
