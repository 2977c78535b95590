// Feeds bytes as one file of a run directory to all that reads it again: a report is made, or the
// file is refused with a DataError.
#include <array>
#include <cstdint>
#include <span>

#include "fuzz/report_input.hpp"
#include "image/sample_files.hpp"
#include "report/sample_run.hpp"

#include "viewfold/core/error.hpp"
#include "viewfold/core/metrics.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/report/report.hpp"

namespace viewfold {
namespace {

// A run in a folder of its own: in memory where TMPDIR is.
class SampleRun {
 public:
  SampleRun() {
    testing::write_sample_run(folder_.path());
    testing::write_sample_audit(folder_.path());
    for (std::size_t i = 0; i < testing::kRunFiles.size(); ++i) {
      whole_[i] = testing::load_bytes(folder_ / testing::kRunFiles[i]);
    }
  }

  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }

  /// Every file as it was, but `file`.
  void replace(std::size_t file, std::span<const std::byte> bytes) const {
    for (std::size_t i = 0; i < testing::kRunFiles.size(); ++i) {
      testing::write_bytes(folder_ / testing::kRunFiles[i], whole_[i]);
    }
    testing::write_bytes(folder_ / testing::kRunFiles[file], {bytes.begin(), bytes.end()});
  }

 private:
  testing::TemporaryFolder folder_;
  std::array<testing::ByteVector, testing::kRunFiles.size()> whole_;
};

// What becomes of a run before it is trained on.
void reopen(const std::filesystem::path& folder) {
  const RunDir run = RunDir::open(folder);
  run.set_status(RunStatus::kRunning);
  MetricsWriter(run.metrics()).truncate_after(200);
}

template <class Work>
void refusing(const Work& work) {
  try {
    work();
  } catch (const DataError&) {
    return;
  }
}

void read(std::span<const std::byte> input) {
  static const SampleRun run;
  if (input.empty()) {
    return;
  }
  run.replace(std::to_integer<std::size_t>(input[0]) % testing::kRunFiles.size(), input.subspan(1));
  refusing([] { write_report(run.path(), run.path() / "report.html"); });
  refusing([] { reopen(run.path()); });
}

}  // namespace
}  // namespace viewfold

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  viewfold::read(std::as_bytes(std::span(data, size)));
  return 0;
}
