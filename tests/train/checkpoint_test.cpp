// Tests of checkpoints: what is kept, what is refused, what happens to damaged files.
#include "viewfold/train/checkpoint.hpp"

#include "core/test_folder.hpp"
#include "train/toy_tasks.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"

namespace viewfold {
namespace {

TrainConfig sgd() {
  TrainConfig config;
  config.optimizer = "sgd";
  return config;
}

void set_weight(ParameterTask& task, double value) {
  const torch::NoGradGuard no_grad;
  task.weight.fill_(value);
}

double weight_of(const ParameterTask& task) {
  return task.weight[0][0].item<double>();
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& path : list_checkpoints(folder)) {
    names.push_back(path.filename().string());
  }
  return names;
}

void save_steps(const std::filesystem::path& folder, std::initializer_list<int> steps) {
  ParameterTask task;
  Optimizer optimizer(task, sgd());
  for (const int step : steps) {
    set_weight(task, step);
    save_checkpoint(folder, step, task, optimizer, CollapseAlarm({}));
  }
}

std::optional<LoadedCheckpoint> load(const std::filesystem::path& folder,
                                     ParameterTask& task,
                                     Optimizer& optimizer) {
  CollapseAlarm alarm({});
  return load_latest_checkpoint(folder, task, optimizer, alarm);
}

void cut_in_half(const std::filesystem::path& path) {
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
}

TEST(Checkpoint, GivesBackParametersOptimizerAndStep) {
  const TestFolder folder("checkpoint");
  ParameterTask task;
  Optimizer optimizer(task, sgd());
  task.weight.mutable_grad() = at::ones({2, 3}, at::kDouble);
  optimizer.step(0.1, 0.1);
  CollapseAlarm alarm({});
  (void)alarm.observe(16, 1.0, {.std = 0.01, .effective_rank = 9.0});
  save_checkpoint(folder.path() / "new", 17, task, optimizer, alarm);
  ParameterTask other;
  Optimizer other_optimizer(other, sgd());
  CollapseAlarm other_alarm({});
  const auto loaded =
      load_latest_checkpoint(folder.path() / "new", other, other_optimizer, other_alarm);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->step, 17);
  EXPECT_TRUE(loaded->unreadable.empty());
  EXPECT_TRUE(other.weight.equal(task.weight));
  EXPECT_TRUE(other_alarm.state().equal(alarm.state()));
  const auto state = optimizer.state();
  const auto other_state = other_optimizer.state();
  ASSERT_EQ(other_state.size(), state.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    EXPECT_EQ(other_state[i].name, state[i].name);
    EXPECT_TRUE(other_state[i].tensor.equal(state[i].tensor)) << state[i].name;
  }
}

TEST(Checkpoint, RemovesWhatAKilledProcessHasLeftHalfWritten) {
  const TestFolder folder("checkpoint");
  write_file_atomically(folder.path() / ".step-000000000007.safetensors.12345.0.tmp", "torn");
  write_file_atomically(folder.path() / "notes.tmp", "mine");
  save_steps(folder.path(), {9});
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-000000000009.safetensors"}));
  EXPECT_FALSE(
      std::filesystem::exists(folder.path() / ".step-000000000007.safetensors.12345.0.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "notes.tmp"));
}

TEST(Checkpoint, KeepsTheNewestTwo) {
  const TestFolder folder("checkpoint");
  save_steps(folder.path(), {9, 10, 200});
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-000000000200.safetensors",
                                                               "step-000000000010.safetensors"}));
}

TEST(Checkpoint, FallsBackFromATornFileAndNamesIt) {
  const TestFolder folder("checkpoint");
  save_steps(folder.path(), {1, 2});
  cut_in_half(list_checkpoints(folder.path()).front());
  ParameterTask task;
  Optimizer optimizer(task, sgd());
  const auto loaded = load(folder.path(), task, optimizer);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->step, 1);
  EXPECT_EQ(weight_of(task), 1.0);
  ASSERT_EQ(loaded->unreadable.size(), 1U);
  EXPECT_NE(loaded->unreadable[0].find("step-000000000002"), std::string::npos);
}

TEST(Checkpoint, ReplacesTornFilesBeforeGoodOnes) {
  const TestFolder folder("checkpoint");
  save_steps(folder.path(), {5, 9});
  cut_in_half(list_checkpoints(folder.path()).front());
  save_steps(folder.path(), {6});  // the run went on from 5
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-000000000006.safetensors",
                                                               "step-000000000005.safetensors"}));
}

TEST(Checkpoint, FindsNothingInAnEmptyOrMissingFolder) {
  const TestFolder folder("checkpoint");
  ParameterTask task;
  Optimizer optimizer(task, sgd());
  write_file_atomically(folder.path() / "notes.txt", "not a checkpoint");
  EXPECT_FALSE(load(folder.path(), task, optimizer).has_value());
  EXPECT_FALSE(load(folder.path() / "missing", task, optimizer).has_value());
}

TEST(Checkpoint, RefusesToStartAnewWhenEveryFileIsDamaged) {
  const TestFolder folder("checkpoint");
  save_steps(folder.path(), {1, 2});
  for (const auto& path : list_checkpoints(folder.path())) {
    cut_in_half(path);
  }
  ParameterTask task;
  Optimizer optimizer(task, sgd());
  EXPECT_THROW((void)load(folder.path(), task, optimizer), DataError);
}

TEST(Checkpoint, RefusesFilesThatAreNoCheckpoints) {
  ParameterTask task;
  Optimizer optimizer(task, sgd());
  using Metadata = std::map<std::string, std::string>;
  for (const auto& metadata :
       {Metadata{}, Metadata{{"step", "many"}}, Metadata{{"step", "-3"}},
        Metadata{{"step", "7 of 9"}}, Metadata{{"step", ""}},
        Metadata{{"step", "99999999999999999999"}}, Metadata{{"step", "3"}}}) {
    const TestFolder folder("checkpoint");
    write_file_atomically(folder.path() / "step-000000000003.safetensors",
                          write_safetensors({{"module.weight", at::ones({2, 3})}}, metadata));
    EXPECT_THROW((void)load(folder.path(), task, optimizer), DataError);
  }
}

TEST(Checkpoint, IsRefusedWithNumbersThatAreNotFiniteAndOlderOnesStay) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const TestFolder folder("checkpoint");
    save_steps(folder.path(), {1});
    ParameterTask task;
    Optimizer optimizer(task, sgd());
    set_weight(task, bad);
    try {
      save_checkpoint(folder.path(), 2, task, optimizer, CollapseAlarm({}));
      FAIL() << "a weight is " << bad;
    } catch (const DivergedError& error) {
      EXPECT_NE(std::string(error.what()).find("weight is not finite"), std::string::npos);
    }
    EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-000000000001.safetensors"}));
  }
}

TEST(Checkpoint, SaysSoWhenItCannotBeWritten) {
  const TestFolder folder("checkpoint");
  write_file_atomically(folder.path() / "file", "in the way");
  ParameterTask task;
  const Optimizer optimizer(task, sgd());
  EXPECT_THROW(save_checkpoint(folder.path() / "file", 1, task, optimizer, CollapseAlarm({})),
               WriteError);
}

}  // namespace
}  // namespace viewfold
