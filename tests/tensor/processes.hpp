// Runs the body of a test in several processes that train together.
#pragma once

#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <iterator>
#include <spawn.h>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/tensor/communicator.hpp"

extern char** environ;

namespace viewfold::testing {

/// A port of this machine that was free a moment ago.
inline int free_port() {
  const int handle = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(handle, any, size), 0);
  EXPECT_EQ(::getsockname(handle, any, &size), 0);
  ::close(handle);
  return ntohs(address.sin_port);
}

/// The environment of this process with the variables of torchrun on top.
inline std::vector<std::string> environment_of(int rank, int size, int port) {
  std::vector<std::string> variables{
      fmt::format("RANK={}", rank), fmt::format("WORLD_SIZE={}", size),
      fmt::format("MASTER_PORT={}", port), "MASTER_ADDR=127.0.0.1", "OMP_NUM_THREADS=1"};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string(*variable).starts_with("GTEST_OUTPUT")) {
      variables.emplace_back(*variable);
    }
  }
  return variables;
}

/// Starts a program; all it says goes to `output`.
inline pid_t start_process(std::vector<std::string> words,
                           std::vector<std::string> variables,
                           const std::string& output) {
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (auto& text : texts) {
      all.push_back(text.data());
    }
    all.push_back(nullptr);
    return all;
  };
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = 0;
  const auto arguments = pointers(words);
  EXPECT_EQ(posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(),
                        pointers(variables).data()),
            0);
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

/// How a process ended: its exit code, or 128 and the signal.
inline int wait_for_process(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline std::string text_of_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Runs `body` of the current test in `size` processes, each of which is this test program again;
/// expects the exit codes `codes`, or 0 of all.
inline void in_processes(int size,
                         const std::function<void(const ProcessPlace&)>& body,
                         std::vector<int> codes = {}) {
  const auto place = read_process_place(process_environment);
  if (place.size > 1) {
    body(place);
    return;
  }
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  const int port = free_port();
  std::vector<pid_t> children;
  std::vector<std::string> outputs;
  for (int rank = 0; rank < size; ++rank) {
    outputs.push_back(
        fmt::format("{}/viewfold-test-{}-{}.txt", ::testing::TempDir(), ::getpid(), rank));
    children.push_back(
        start_process({"/proc/self/exe",
                       fmt::format("--gtest_filter={}.{}", test->test_suite_name(), test->name())},
                      environment_of(rank, size, port), outputs.back()));
  }
  codes.resize(static_cast<std::size_t>(size), 0);
  for (std::size_t rank = 0; rank < children.size(); ++rank) {
    EXPECT_EQ(wait_for_process(children[rank]), codes[rank]) << "rank " << rank << ":\n"
                                                             << text_of_file(outputs[rank]);
    ::unlink(outputs[rank].c_str());
  }
}

/// The same with processes that have joined.
inline void in_joined_processes(int size, const std::function<void(const Communicator&)>& body) {
  in_processes(size, [&body](const ProcessPlace& place) { body(Communicator::join(place)); });
}

}  // namespace viewfold::testing
