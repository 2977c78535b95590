// Which of the processes of a run this one is, as its launcher says.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace viewfold {

/// The place of this process among those that train together.
struct ProcessPlace {
  int rank = 0;  // in [0, size)
  int size = 1;
  std::string host = "127.0.0.1";  // where the processes meet: that of rank 0
  std::uint16_t port = 29500;      // the default of torchrun
  bool launcher_hosts = false;     // torchrun keeps the meeting point itself, not rank 0
  std::string attempt = "0";       // torchrun counts how often it has started all of them again
};

/// The value of an environment variable; nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

/// Reads what torchrun sets (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), else what Open MPI's
/// mpirun sets (OMPI_COMM_WORLD_RANK and _SIZE, with MASTER_ADDR and MASTER_PORT where there are
/// several machines); one process when there is neither. Throws UsageError on variables that are
/// incomplete or contradict each other.
[[nodiscard]] ProcessPlace read_process_place(const Environment& environment);

/// The environment of this process.
[[nodiscard]] std::optional<std::string> process_environment(const char* name);

}  // namespace viewfold
