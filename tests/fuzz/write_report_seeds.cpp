// Writes what fuzz_report begins with.
#include "fuzz/report_input.hpp"
#include "fuzz/seeds.hpp"
#include "report/sample_run.hpp"

namespace viewfold::testing {

void write_report_seeds(Corpus corpus) {
  const TemporaryFolder run;
  write_sample_run(run.path());
  write_sample_audit(run.path());
  for (std::size_t i = 0; i < kRunFiles.size(); ++i) {
    ByteVector bytes{static_cast<std::byte>(i)};
    append(bytes, load_bytes(run / kRunFiles[i]));
    corpus.add(bytes);
  }
}

}  // namespace viewfold::testing
