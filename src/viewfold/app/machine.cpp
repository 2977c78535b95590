// Implements the description of the machine.
#include "viewfold/app/machine.hpp"

#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "viewfold/core/version.hpp"

namespace viewfold {
namespace {

// As Linux calls it; ARM has no such line.
std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "unknown processor";
}

}  // namespace

std::string machine_line() {
  return fmt::format("{}, {} threads, viewfold {}", processor(),
                     std::thread::hardware_concurrency(), version());
}

}  // namespace viewfold
