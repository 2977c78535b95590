// Implements the reading of the launcher's variables.
#include "viewfold/core/process_place.hpp"

#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

constexpr int kMostProcesses = 65536;  // ours
constexpr int kLastPort = 65535;

// The names by which a launcher tells rank and size.
struct Names {
  const char* rank;
  const char* size;
  const char* size_here;  // on this machine
};
constexpr Names kTorchrun{"RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"};
constexpr Names kOpenMpi{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                         "OMPI_COMM_WORLD_LOCAL_SIZE"};

int parse(const char* name, const std::string& text, int least, int most) {
  int value = 0;
  const auto* end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, value);
  if (failure != std::errc() || rest != end || value < least || value > most) {
    throw UsageError(
        fmt::format("{}={}: is no whole number from {} to {}", name, text, least, most));
  }
  return value;
}

void read_rank(ProcessPlace& place, const Names& names, const Environment& environment) {
  const auto rank = environment(names.rank);
  const auto size = environment(names.size);
  if (!rank || !size) {
    throw UsageError(
        fmt::format("{} is set, but {} is not (set both for several processes, neither for one)",
                    rank ? names.rank : names.size, rank ? names.size : names.rank));
  }
  place.size = parse(names.size, *size, 1, kMostProcesses);
  place.rank = parse(names.rank, *rank, 0, kMostProcesses);
  if (place.rank >= place.size) {
    throw UsageError(fmt::format("{}={}: ranks count from 0 to {} when {} is {}", names.rank,
                                 place.rank, place.size - 1, names.size, place.size));
  }
}

void read_meeting_point(ProcessPlace& place, const Names& names, const Environment& environment) {
  const auto host = environment("MASTER_ADDR");
  const auto port = environment("MASTER_PORT");
  const auto here = environment(names.size_here);
  const bool one_machine = here && parse(names.size_here, *here, 1, kMostProcesses) == place.size;
  if (!host && !one_machine) {
    throw UsageError(
        fmt::format("MASTER_ADDR is not set (the address of the machine of rank 0, where the {} "
                    "processes meet; 127.0.0.1 when all are on this one)",
                    place.size));
  }
  place.host = host.value_or(place.host);
  if (place.host.empty()) {
    throw UsageError("MASTER_ADDR is empty (the address of the machine of rank 0)");
  }
  if (port) {
    place.port = static_cast<std::uint16_t>(parse("MASTER_PORT", *port, 1, kLastPort));
  }
}

}  // namespace

ProcessPlace read_process_place(const Environment& environment) {
  ProcessPlace place;
  const bool torchrun = environment(kTorchrun.rank) || environment(kTorchrun.size);
  const bool open_mpi = environment(kOpenMpi.rank) || environment(kOpenMpi.size);
  if (!torchrun && !open_mpi) {
    return place;
  }
  const Names& names = torchrun ? kTorchrun : kOpenMpi;
  read_rank(place, names, environment);
  if (place.size == 1) {
    return place;
  }
  read_meeting_point(place, names, environment);
  place.launcher_hosts = environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
  place.attempt = environment("TORCHELASTIC_RESTART_COUNT").value_or(place.attempt);
  return place;
}

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace viewfold
