// What the files of fuzz_seeds share.
#pragma once

#include <filesystem>
#include <utility>

#include "image/sample_files.hpp"
#include <fmt/format.h>

namespace viewfold::testing {

/// A corpus: a folder of numbered files.
class Corpus {
 public:
  explicit Corpus(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void add(const ByteVector& bytes) {
    write_bytes(folder_ / fmt::format("{:03}", count_++), bytes);
  }

 private:
  std::filesystem::path folder_;
  int count_ = 0;
};

/// The files of a run, each behind the number that fuzz_report knows it by.
void write_report_seeds(Corpus corpus);

/// Checkpoints of every format, behind the kind that fuzz_checkpoint knows them by.
void write_checkpoint_seeds(Corpus corpus);

}  // namespace viewfold::testing
