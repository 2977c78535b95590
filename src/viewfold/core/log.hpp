// Where libraries say what a person should read: they never print.
#pragma once

#include <string>
#include <vector>

namespace viewfold {

/// Takes lines for a person. Called from one thread at a time.
class LogSink {
 public:
  LogSink() = default;
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;
  virtual ~LogSink() = default;

  /// Something went as it should.
  virtual void info(const std::string& line) = 0;

  /// Something needs attention, but work goes on.
  virtual void warning(const std::string& line) = 0;
};

/// Drops everything.
class NullLog : public LogSink {
 public:
  void info(const std::string& /*line*/) override {}
  void warning(const std::string& /*line*/) override {}
};

/// Keeps everything, for tests and for callers that show it later.
class MemoryLog : public LogSink {
 public:
  void info(const std::string& line) override { infos.push_back(line); }
  void warning(const std::string& line) override { warnings.push_back(line); }

  std::vector<std::string> infos;
  std::vector<std::string> warnings;
};

}  // namespace viewfold
