// Implements the beginning and the end of a run of several processes.
#include "viewfold/app/processes.hpp"

#include <cstdio>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/app/terminal.hpp"

namespace viewfold {
namespace {

// Called beside a thread that computes: there is no way to end that one but with the process.
void end_at_once(const std::string& message) {
  std::fprintf(stderr, "\nviewfold: %s\n", message.c_str());
  std::fflush(stderr);
  ::_exit(5);
}

// Warnings of a process that does not speak for all.
class WarningsOfRank final : public LogSink {
 public:
  explicit WarningsOfRank(int rank) : rank_(rank) {}
  void info(const std::string& /*line*/) override {}
  void warning(const std::string& line) override {
    std::fprintf(stderr, "rank %d: warning: %s\n", rank_, line.c_str());
  }

 private:
  int rank_;
};

Progress no_progress() {
  return {std::fopen("/dev/null", "w"), false};
}

void expect_even_batch(std::int64_t batch_size, std::int64_t processes) {
  if (batch_size % processes != 0) {
    throw UsageError(fmt::format(
        "a batch of {} images does not divide among {} processes (use --train.batch_size {})",
        batch_size, processes, (batch_size / processes + 1) * processes));
  }
}

}  // namespace

Processes::Processes() : progress_(terminal_progress()) {
  const ProcessPlace place = read_process_place(process_environment);
  if (place.rank == 0) {
    log_ = std::make_unique<TerminalLog>(progress_);
  } else {
    progress_ = no_progress();
    log_ = std::make_unique<WarningsOfRank>(place.rank);
  }
  if (place.size == 1) {
    return;
  }
  log_->info(fmt::format("waiting for {} more at {}:{}", place.size - 1, place.host, place.port));
  communicator_ = Communicator::join(place, {.on_lost = end_at_once});
  log_->info(fmt::format("{} processes, {} of them on this machine", communicator_.size(),
                         communicator_.processes_here()));
}

void Processes::expect_agreement(Experiment& experiment) const {
  if (communicator_.size() == 1) {
    return;
  }
  ConfigSource source;
  source.add_toml_text(communicator_.broadcast(print_config(experiment.config)), "rank 0");
  const auto images = communicator_.broadcast(experiment.images.fingerprint);
  RunConfig first = read_run_config(source, experiment.config.view_size);
  first.data.source = experiment.config.data.source;
  first.train.threads = experiment.config.train.threads;
  const auto differences = must_match_differences(first, experiment.config);
  if (!differences.empty()) {
    throw UsageError(fmt::format(
        "rank {} has other settings than rank 0: {} (start all processes with the same; what is "
        "\"auto\" may differ between machines: set it)",
        communicator_.rank(), fmt::join(differences, ", ")));
  }
  if (images != experiment.images.fingerprint) {
    throw UsageError(
        fmt::format("{}: rank {} finds other images there than rank 0 (all need the same)",
                    experiment.config.data.source, communicator_.rank()));
  }
  expect_even_batch(experiment.config.train.batch_size, communicator_.size());
  communicator_.barrier();  // nothing is written before all agree
}

}  // namespace viewfold
