// Tests of the log sinks.
#include "viewfold/core/log.hpp"

#include <gtest/gtest.h>

namespace viewfold {
namespace {

void report(LogSink& log) {
  log.info("began");
  log.warning("slow disk");
  log.info("ended");
}

TEST(MemoryLog, KeepsLinesInOrderAndByKind) {
  MemoryLog log;
  report(log);
  EXPECT_EQ(log.infos, (std::vector<std::string>{"began", "ended"}));
  EXPECT_EQ(log.warnings, (std::vector<std::string>{"slow disk"}));
}

TEST(NullLog, TakesLines) {
  NullLog log;
  EXPECT_NO_THROW(report(log));
}

}  // namespace
}  // namespace viewfold
