// Implements the precondition check.
#include "viewfold/core/error.hpp"

#include <fmt/format.h>

namespace viewfold {

void check(bool ok, std::string_view what, const char* file, int line) {
  if (!ok) {
    throw ContractViolation(fmt::format("{}:{}: {}", file, line, what));
  }
}

}  // namespace viewfold
