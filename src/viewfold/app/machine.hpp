// The machine in one line, for beside measurements.
#pragma once

#include <string>

namespace viewfold {

/// "AMD EPYC 9R14, 2 threads, viewfold 0.1.0"
[[nodiscard]] std::string machine_line();

}  // namespace viewfold
