// Tests of the loop on a tiny task: resuming, stopping, diverging, and what it writes.
#include "viewfold/train/trainer.hpp"

#include "core/test_folder.hpp"
#include "loader/memory_dataset.hpp"
#include "train/toy_tasks.hpp"
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/nn/state.hpp"
#include "viewfold/train/checkpoint.hpp"
#include "viewfold/train/collapse_alarm.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kSteps = 6;  // two epochs of three

// One run in a folder of its own; continued by calling train() again with a new task.
class ToyRun {
 public:
  ToyRun() : folder_("trainer"), silent_(std::fopen("/dev/null", "w")) {
    config.epochs = 2;
    config.batch_size = 4;
    config.base_lr = 3.2;
    config.precision = "fp32";
    config.checkpoint_minutes = 10000;
    config.log_every = 2;
  }
  ~ToyRun() { std::fclose(silent_); }
  ToyRun(const ToyRun&) = delete;
  ToyRun& operator=(const ToyRun&) = delete;

  // Asked to stop after `stop_after` steps of this call.
  TrainResult train(Task& task, std::int64_t stop_after = 1000) {
    MetricsWriter metrics(folder_.path() / "metrics.jsonl");
    TensorboardWriter tensorboard(folder_.path() / "tensorboard");
    Progress progress(silent_, false);
    std::int64_t asked = 0;
    const auto open_loader = [this](std::int64_t first_step) {
      return std::make_unique<Loader>(
          dataset, make_view_plan(RecipeConfig("simclr", 8), 2, 8),
          Normalization{.mean = {0.5, 0.5, 0.5}, .std = {0.25, 0.25, 0.25}},
          LoaderOptions{.batch_size = config.batch_size,
                        .first_step = first_step,
                        .total_steps = kSteps,
                        .seed = 5});
    };
    return viewfold::train({.task = task,
                            .config = config,
                            .seed = 5,
                            .steps_per_epoch = 3,
                            .checkpoints = checkpoints(),
                            .metrics = &metrics,
                            .tensorboard = &tensorboard,
                            .log = log,
                            .progress = progress,
                            .open_loader = open_loader,
                            .after_epoch = after_epoch,
                            .stop_requested = [&] { return ++asked >= stop_after; }});
  }

  [[nodiscard]] std::filesystem::path checkpoints() const { return folder_.path() / "checkpoints"; }

  // Lines of metrics.jsonl; time is taken out.
  [[nodiscard]] std::vector<nlohmann::json> lines() const {
    std::vector<nlohmann::json> out;
    std::istringstream text(read_text_file(folder_.path() / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) {
      out.push_back(nlohmann::json::parse(line));
    }
    return out;
  }

  // "event step epoch loss" of each line.
  [[nodiscard]] std::vector<std::string> outline() const {
    std::vector<std::string> out;
    for (const auto& line : lines()) {
      out.push_back(fmt::format("{} {} {} {}", line["event"].get<std::string>(),
                                line["step"].get<int>(), line["epoch"].get<int>(),
                                line.value("loss", 0.0)));
    }
    return out;
  }

  TrainConfig config;
  MemoryLog log;
  std::shared_ptr<const Dataset> dataset = std::make_shared<MemoryDataset>(12, 10);
  std::function<std::vector<std::pair<std::string, double>>(std::int64_t)> after_epoch;

 private:
  TestFolder folder_;
  std::FILE* silent_;
};

std::unique_ptr<ToyTask> new_task() {
  torch::manual_seed(1);
  return std::make_unique<ToyTask>();
}

void expect_same_bits(Task& a, Task& b) {
  const auto left = module_state(a.module());
  const auto right = module_state(b.module());
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(left[i].tensor.equal(right[i].tensor)) << left[i].name;
  }
}

std::string diverged_text(ToyRun& run, Task& task) {
  try {
    (void)run.train(task);
  } catch (const DivergedError& error) {
    return error.what();
  }
  return "";
}

TEST(Trainer, TrainsAndIsRepeatable) {
  const auto a = new_task();
  const auto b = new_task();
  ToyRun run_a;
  ToyRun run_b;
  const auto result = run_a.train(*a);
  EXPECT_EQ(result.steps, kSteps);
  EXPECT_EQ(result.resumed_from, 0);
  EXPECT_GT(result.views_per_second, 0.0);
  EXPECT_FALSE(
      module_state(a->module())[0].tensor.equal(module_state(new_task()->module())[0].tensor));
  torch::manual_seed(77);  // what was drawn before does not matter
  (void)run_b.train(*b);
  expect_same_bits(*a, *b);
}

TEST(Trainer, EndsWithTheSameBitsWhenInterruptedAtAnyStep) {
  for (const std::string optimizer : {"sgd", "lars", "adamw"}) {
    for (const std::string precision : {"fp32", "bf16"}) {
      const auto set_up = [&](ToyRun& run) {
        run.config.optimizer = optimizer;
        run.config.precision = precision;
        run.config.warmup_epochs = 0.5;
      };
      const auto whole = new_task();
      ToyRun reference;
      set_up(reference);
      (void)reference.train(*whole);
      for (std::int64_t stop = 1; stop < kSteps; ++stop) {
        ToyRun run;
        set_up(run);
        EXPECT_THROW((void)run.train(*new_task(), stop), Interrupted);
        const auto resumed = new_task();
        const auto result = run.train(*resumed);
        EXPECT_EQ(result.resumed_from, stop);
        expect_same_bits(*resumed, *whole);
        EXPECT_EQ(run.outline(), reference.outline());
      }
    }
  }
}

TEST(Trainer, GrowsItsViewsFromTheSizeThatWasAskedFor) {
  ToyRun run;
  run.config.first_size = 4;
  run.config.growth = 0.7;  // 4.2 of the 6 steps
  const auto task = new_task();
  EXPECT_THROW((void)run.train(*task, 3), Interrupted);
  EXPECT_EQ(task->sizes, (std::vector<std::int64_t>{4, 4, 4}));
  (void)run.train(*task);
  EXPECT_EQ(task->sizes, (std::vector<std::int64_t>{4, 4, 4, 4, 4, 8}));
}

TEST(Trainer, SavesWhenAskedToStopAndSaysSo) {
  ToyRun run;
  try {
    (void)run.train(*new_task(), 4);
    FAIL() << "the run was asked to stop";
  } catch (const Interrupted& error) {
    EXPECT_NE(std::string(error.what()).find("step 4 of 6"), std::string::npos) << error.what();
  }
  ASSERT_EQ(list_checkpoints(run.checkpoints()).size(), 1U);
  EXPECT_EQ(list_checkpoints(run.checkpoints())[0].filename(), "step-000000000004.safetensors");
}

TEST(Trainer, HasNothingToDoAfterTheEnd) {
  ToyRun run;
  const auto first = new_task();
  (void)run.train(*first);
  const auto before = run.outline();
  const auto second = new_task();
  const auto result = run.train(*second);
  EXPECT_EQ(result.resumed_from, kSteps);
  expect_same_bits(*first, *second);
  EXPECT_EQ(run.outline(), before);
}

TEST(Trainer, WritesLossRateAndSpreadEveryFewStepsAndOnlineNumbersEveryEpoch) {
  ToyRun run;
  run.after_epoch = [](std::int64_t epochs_done) {
    return std::vector<std::pair<std::string, double>>{
        {"knn", 0.1 * static_cast<double>(epochs_done)}};
  };
  run.config.log_every = 4;
  (void)run.train(*new_task());
  std::vector<std::string> places;
  for (const auto& line : run.lines()) {
    places.push_back(fmt::format("{} {} {}", line["event"].get<std::string>(),
                                 line["step"].get<int>(), line["epoch"].get<int>()));
  }
  EXPECT_EQ(places,
            (std::vector<std::string>{"online 3 0", "train 4 1", "train 6 1", "online 6 1"}));
  const auto train = run.lines()[1];
  for (const auto* key : {"loss", "lr", "views_per_second", "data_wait", "std", "rank", "extra"}) {
    ASSERT_TRUE(train[key].is_number()) << key;
  }
  EXPECT_EQ(train["extra"], 7.0);
  EXPECT_DOUBLE_EQ(train["lr"], cosine_lr(peak_lr(run.config), 3, 6, 0));  // of the fourth step
  EXPECT_EQ(run.lines()[3]["knn"], 0.2);
}

TEST(Trainer, DropsLinesOfStepsThatItDoesAgain) {
  ToyRun run;
  run.config.checkpoint_minutes = 0;  // after every step
  const auto broken = new_task();
  broken->nan_at_step = 4;
  (void)diverged_text(run, *broken);
  for (const auto& path : list_checkpoints(run.checkpoints())) {
    std::filesystem::remove(path);  // as if the machine had failed before the first one
  }
  (void)run.train(*new_task());
  ToyRun reference;
  (void)reference.train(*new_task());
  EXPECT_EQ(run.outline(), reference.outline());
}

TEST(Trainer, StopsAtALossThatIsNotANumberWithTheLastGoodCheckpoint) {
  ToyRun run;
  run.config.checkpoint_minutes = 0;
  const auto broken = new_task();
  broken->nan_at_step = 4;
  const auto text = diverged_text(run, *broken);
  EXPECT_NE(text.find("nan at step 5"), std::string::npos) << text;
  EXPECT_NE(text.find("base_lr"), std::string::npos) << text;
  EXPECT_EQ(list_checkpoints(run.checkpoints())[0].filename(), "step-000000000004.safetensors");
  const auto repaired = new_task();
  (void)run.train(*repaired);
  const auto whole = new_task();
  ToyRun reference;
  (void)reference.train(*whole);
  expect_same_bits(*repaired, *whole);
}

TEST(Trainer, WarnsOfACollapseAndGoesOn) {
  ToyRun run;
  run.config.log_every = 1;
  const auto task = new_task();
  task->collapsed = true;
  EXPECT_EQ(run.train(*task).steps, kSteps);
  ASSERT_EQ(run.log.warnings.size(), 1U);
  EXPECT_EQ(run.log.warnings[0].rfind("collapse since step 1", 0), 0U) << run.log.warnings[0];
  const auto lines = run.lines();
  const auto alarm = std::find_if(lines.begin(), lines.end(),
                                  [](const auto& line) { return line["event"] == "alarm"; });
  ASSERT_NE(alarm, lines.end());
  EXPECT_EQ((*alarm)["message"], run.log.warnings[0]);
  EXPECT_EQ((*alarm)["step"], CollapseAlarm::kPatience);
}

TEST(Trainer, StopsAtACollapseWhenAskedAndKeepsACheckpoint) {
  ToyRun run;
  run.config.log_every = 1;
  run.config.on_collapse = "stop";
  const auto task = new_task();
  task->collapsed = true;
  const auto text = diverged_text(run, *task);
  EXPECT_NE(text.find("collapse since step 1"), std::string::npos) << text;
  EXPECT_EQ(list_checkpoints(run.checkpoints())[0].filename(), "step-000000000005.safetensors");
}

TEST(Trainer, RaisesTheSameAlarmsWhenInterruptedAtAnyStep) {
  const auto alarms = [](const ToyRun& run) {
    std::vector<std::string> out;
    for (const auto& line : run.lines()) {
      if (line["event"] == "alarm") {
        out.push_back(
            fmt::format("{} {}", line["step"].get<int>(), line["message"].get<std::string>()));
      }
    }
    return out;
  };
  const auto collapsed_task = [] {
    auto task = new_task();
    task->collapsed = true;
    return task;
  };
  ToyRun whole;
  whole.config.log_every = 1;
  (void)whole.train(*collapsed_task());
  ASSERT_EQ(alarms(whole).size(), 1U);
  for (std::int64_t stop = 1; stop < kSteps; ++stop) {
    ToyRun run;
    run.config.log_every = 1;
    EXPECT_THROW((void)run.train(*collapsed_task(), stop), Interrupted);
    (void)run.train(*collapsed_task());
    EXPECT_EQ(alarms(run), alarms(whole)) << stop;
  }
}

TEST(Trainer, DoesNotGoOnAfterACollapseUnlessItMay) {
  ToyRun run;
  run.config.log_every = 1;
  run.config.on_collapse = "stop";
  const auto task = new_task();
  task->collapsed = true;
  (void)diverged_text(run, *task);
  const auto again = diverged_text(run, *task);
  EXPECT_NE(again.find("before step 5"), std::string::npos) << again;
  EXPECT_NE(again.find("--train.on_collapse warn"), std::string::npos) << again;
  run.config.on_collapse = "warn";
  EXPECT_EQ(run.train(*task).steps, kSteps);
}

TEST(Trainer, SaysThatItBeginsAgainWhereTheCheckpointsAreGone) {
  ToyRun run;
  EXPECT_THROW((void)run.train(*new_task(), 4), Interrupted);
  EXPECT_TRUE(run.log.warnings.empty());
  std::filesystem::remove_all(run.checkpoints());
  EXPECT_EQ(run.train(*new_task()).resumed_from, 0);
  ASSERT_EQ(run.log.warnings.size(), 1U);
  EXPECT_NE(run.log.warnings[0].find(run.checkpoints().string()), std::string::npos);
  EXPECT_NE(run.log.warnings[0].find("begins again"), std::string::npos);
}

TEST(Trainer, SaysWhichCheckpointItPassedOver) {
  ToyRun run;
  EXPECT_THROW((void)run.train(*new_task(), 2), Interrupted);
  EXPECT_THROW((void)run.train(*new_task(), 1), Interrupted);
  const auto newest = list_checkpoints(run.checkpoints())[0];
  std::filesystem::resize_file(newest, 40);
  const auto result = run.train(*new_task());
  EXPECT_EQ(result.resumed_from, 2);
  ASSERT_FALSE(run.log.warnings.empty());
  EXPECT_NE(run.log.warnings[0].find(newest.string()), std::string::npos) << run.log.warnings[0];
}

TEST(Trainer, HandsOnWhatTheLoaderThrows) {
  ToyRun run;
  run.dataset = std::make_shared<MemoryDataset>(12, 10, std::set<std::size_t>{3});
  EXPECT_THROW((void)run.train(*new_task()), DataError);
}

TEST(AutocastGuard, SwitchesAutocastOnAndBack) {
  const auto x = at::ones({2, 2});
  {
    const AutocastGuard on(true);
    EXPECT_EQ(x.mm(x).scalar_type(), at::kBFloat16);
    {
      const AutocastGuard off(false);
      EXPECT_EQ(x.mm(x).scalar_type(), at::kFloat);
    }
    EXPECT_EQ(x.mm(x).scalar_type(), at::kBFloat16);
  }
  EXPECT_EQ(x.mm(x).scalar_type(), at::kFloat);
}

TEST(AutocastGuard, ForgetsCastsOfWeightsThatChange) {
  const auto weight = at::ones({2, 2}).requires_grad_(true);
  const auto product = [&weight] {
    const AutocastGuard on(true);
    return at::eye(2).mm(weight)[0][0].item<double>();
  };
  EXPECT_EQ(product(), 1.0);
  {
    const torch::NoGradGuard no_grad;
    weight.fill_(2.0);
  }
  EXPECT_EQ(product(), 2.0);
}

TEST(UsesBf16, IsWhatTheUserSays) {
  EXPECT_TRUE(uses_bf16("bf16"));
  EXPECT_FALSE(uses_bf16("fp32"));
}

}  // namespace
}  // namespace viewfold
