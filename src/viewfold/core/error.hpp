// The named exceptions: what the outside world or a caller did wrong, where, and what to do about
// it.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace viewfold {

/// Says what the outside world did wrong, where, and what to do about it. `what()` is one readable
/// line, made for the terminal: "place: problem (remedy)".
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// The command line or the configuration is wrong (exit code 2).
class UsageError : public Error {
 public:
  using Error::Error;
};

/// A file, folder or stream does not hold what it should (exit code 3).
class DataError : public Error {
 public:
  using Error::Error;
};

/// A file or folder cannot be written: the disk is full, read-only or gone (exit code 3).
class WriteError : public DataError {
 public:
  using DataError::DataError;
};

/// The memory of the machine, or what a process may take of it, is not enough (exit code 1).
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// Training stopped because its numbers can no longer be trusted: NaN, or a collapse that the user
/// asked to stop at (exit code 4).
class DivergedError : public Error {
 public:
  using Error::Error;
};

/// The user asked to stop (Ctrl-C, SIGTERM, SIGHUP); everything is saved (exit code 130).
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// Another of the processes that train together has ended or cannot be reached (exit code 5).
class PeerError : public Error {
 public:
  using Error::Error;
};

/// A caller's bug: a broken precondition such as unequal shapes (exit code 1).
class ContractViolation : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Throws ContractViolation "file:line: what" unless `ok`.
void check(bool ok,
           std::string_view what,
           const char* file = __builtin_FILE(),
           int line = __builtin_LINE());

}  // namespace viewfold
