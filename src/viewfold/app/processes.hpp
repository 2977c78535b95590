// The processes that torchrun or mpirun has started for one run.
#pragma once

#include <memory>
#include <string>

#include "viewfold/app/pretraining.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/core/progress.hpp"
#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// This process among those of its launcher, and what it says to a person: rank 0 speaks for all,
/// of the others only warnings are shown.
class Processes {
 public:
  /// Joins the others, if there are any, and says so. When one of them is lost while this one
  /// computes or waits, a message is printed and the process ends with code 5. Throws as
  /// read_process_place() and Communicator::join() do.
  Processes();

  [[nodiscard]] bool is_first() const { return communicator_.rank() == 0; }
  [[nodiscard]] const Communicator& communicator() const { return communicator_; }
  [[nodiscard]] LogSink& log() const { return *log_; }
  [[nodiscard]] Progress& progress() { return progress_; }

  /// Throws UsageError naming what differs from rank 0, where settings or images do, and when a
  /// batch does not divide evenly among the processes. The folder of the images and the number of
  /// threads may differ.
  void expect_agreement(Experiment& experiment) const;

  /// Calls work(); the other processes are told why when it throws.
  template <class Work>
  void run(const Work& work) {
    try {
      work();
    } catch (const Interrupted&) {
      throw;  // all of them stop
    } catch (const std::exception& error) {
      communicator_.tell_failure(error.what());
      throw;
    }
  }

 private:
  Progress progress_;
  std::unique_ptr<LogSink> log_;
  Communicator communicator_;
};

}  // namespace viewfold
