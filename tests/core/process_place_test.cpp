// Tests of what launchers say in the environment.
#include "viewfold/core/process_place.hpp"

#include <map>

#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Variables = std::map<std::string, std::string>;

ProcessPlace place_of(const Variables& variables) {
  return read_process_place([&variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

std::string complaint_about(const Variables& variables) {
  try {
    (void)place_of(variables);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(ProcessPlace, IsOneProcessWithoutALauncher) {
  const auto place = place_of({{"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "many"}});
  EXPECT_EQ(place.rank, 0);
  EXPECT_EQ(place.size, 1);
}

TEST(ProcessPlace, ReadsTheVariablesOfTorchrun) {
  const auto place = place_of({{"RANK", "3"},
                               {"WORLD_SIZE", "4"},
                               {"LOCAL_RANK", "1"},
                               {"MASTER_ADDR", "10.0.0.1"},
                               {"MASTER_PORT", "1234"},
                               {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                               {"TORCHELASTIC_RESTART_COUNT", "2"}});
  EXPECT_EQ(place.rank, 3);
  EXPECT_EQ(place.size, 4);
  EXPECT_EQ(place.host, "10.0.0.1");
  EXPECT_EQ(place.port, 1234);
  EXPECT_TRUE(place.launcher_hosts);
  EXPECT_EQ(place.attempt, "2");
}

TEST(ProcessPlace, ReadsTheVariablesOfMpirun) {
  Variables variables{{"OMPI_COMM_WORLD_RANK", "1"},
                      {"OMPI_COMM_WORLD_SIZE", "2"},
                      {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
  const auto local = place_of(variables);
  EXPECT_EQ(local.rank, 1);
  EXPECT_EQ(local.size, 2);
  EXPECT_EQ(local.host, "127.0.0.1");
  EXPECT_FALSE(local.launcher_hosts);
  variables.insert_or_assign("OMPI_COMM_WORLD_LOCAL_SIZE", std::string("1"));
  EXPECT_EQ(complaint_about(variables).rfind("MASTER_ADDR is not set", 0), 0U);
  variables.insert_or_assign("MASTER_ADDR", std::string("node-1"));
  EXPECT_EQ(place_of(variables).host, "node-1");
}

TEST(ProcessPlace, TorchrunUnderMpirunWins) {
  const auto place = place_of({{"RANK", "1"},
                               {"WORLD_SIZE", "8"},
                               {"MASTER_ADDR", "a"},
                               {"OMPI_COMM_WORLD_RANK", "0"},
                               {"OMPI_COMM_WORLD_SIZE", "2"}});
  EXPECT_EQ(place.rank, 1);
  EXPECT_EQ(place.size, 8);
}

TEST(ProcessPlace, OneProcessOfALauncherNeedsNoMeetingPoint) {
  EXPECT_EQ(place_of({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).size, 1);
}

TEST(ProcessPlace, NamesTheVariableThatIsWrong) {
  const auto with = [](Variables more) {
    more.insert({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}});
    return complaint_about(more);
  };
  EXPECT_EQ(complaint_about({{"RANK", "1"}}).rfind("RANK is set, but WORLD_SIZE is not", 0), 0U);
  EXPECT_EQ(complaint_about({{"WORLD_SIZE", "2"}}).rfind("WORLD_SIZE is set, but RANK is not", 0),
            0U);
  EXPECT_EQ(with({{"RANK", "2"}}), "RANK=2: ranks count from 0 to 1 when WORLD_SIZE is 2");
  EXPECT_EQ(with({{"RANK", "-1"}}), "RANK=-1: is no whole number from 0 to 65536");
  EXPECT_EQ(with({{"WORLD_SIZE", "0"}}), "WORLD_SIZE=0: is no whole number from 1 to 65536");
  EXPECT_EQ(with({{"WORLD_SIZE", "two"}}), "WORLD_SIZE=two: is no whole number from 1 to 65536");
  EXPECT_EQ(with({{"MASTER_PORT", "80a"}}), "MASTER_PORT=80a: is no whole number from 1 to 65535");
  EXPECT_EQ(with({{"MASTER_PORT", "65536"}}),
            "MASTER_PORT=65536: is no whole number from 1 to 65535");
  EXPECT_EQ(with({{"MASTER_ADDR", ""}}).rfind("MASTER_ADDR is empty", 0), 0U);
}

}  // namespace
}  // namespace viewfold
