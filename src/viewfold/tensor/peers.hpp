// Where the processes of a run meet, and how each learns that another has ended.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/csrc/distributed/c10d/Store.hpp>

#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// The other processes of a run. All of them tell rank 0 that they are there, and it tells them who
/// is not, through a key-value store of c10d; a thread of each process does this. Collectives may
/// therefore wait for long, as when rank 0 evaluates, and still end soon when a process dies.
class Peers {
 public:
  /// Waits for all processes of `place`, two or more; throws as Communicator::join().
  Peers(const ProcessPlace& place, JoinOptions options);

  /// Says goodbye.
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;
  Peers(Peers&&) = delete;
  Peers& operator=(Peers&&) = delete;

  [[nodiscard]] const c10::intrusive_ptr<c10d::Store>& store() const;

  /// The address by which the others reach this process.
  [[nodiscard]] const std::string& address() const;

  /// How many of the processes are on this machine.
  [[nodiscard]] int here() const;

  /// Throws PeerError: which process was lost, or, when that is not known soon, `symptom`.
  [[noreturn]] void throw_lost(const std::string& symptom);

  /// See Communicator.
  void tell_failure(const std::string& why);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace viewfold
