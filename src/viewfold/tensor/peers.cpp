// Implements the meeting of processes and the watch over them, on the key-value store of c10d.
#include "viewfold/tensor/peers.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <netdb.h>
#include <optional>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Keys of the store. Beats and the status change with every beat.
constexpr const char* kAll = "all";        // the names of all processes, or why there is no run
constexpr const char* kFailed = "failed";  // why one of them ends
constexpr const char* kStatus = "status";  // of rank 0: a count, a space, and who is lost, if any
constexpr const char* kLeft = "left";      // instead of a beat: that process has ended as it should

std::string here_key(int rank) {
  return fmt::format("here/{}", rank);
}

std::string beat_key(int rank) {
  return fmt::format("beat/{}", rank);
}

std::vector<std::uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

std::string text_of(const std::vector<std::uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

// Without the stack trace that LibTorch appends.
std::string first_line(const char* text) {
  const std::string whole = text;
  return whole.substr(0, whole.find('\n'));
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const auto end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// What a process says of itself, and how it is called in messages.
struct Identity {
  std::string machine;
  std::string address;
  std::string process;

  [[nodiscard]] std::string text() const { return machine + "|" + address + "|" + process; }
  [[nodiscard]] bool is_loopback() const { return address.starts_with("127.") || address == "::1"; }
  [[nodiscard]] std::string name(int rank) const {
    return fmt::format("rank {} on {} (process {})", rank, machine, process);
  }
  static Identity parse(const std::string& text) {
    const auto parts = split(text, '|');
    check(parts.size() == 3, "a process has said something else of itself");
    return {parts[0], parts[1], parts[2]};
  }
};

std::string machine_name() {
  std::string name(256, '\0');
  if (::gethostname(name.data(), name.size() - 1) != 0) {
    return "unknown";
  }
  return name.substr(0, name.find('\0'));
}

struct AddressList {
  addrinfo* first = nullptr;
  AddressList() = default;
  AddressList(const AddressList&) = delete;
  AddressList& operator=(const AddressList&) = delete;
  ~AddressList() {
    if (first != nullptr) {
      ::freeaddrinfo(first);
    }
  }
};

// The address from which this machine would send to `target`, as text.
std::optional<std::string> source_address(const addrinfo& target) {
  const int handle = ::socket(target.ai_family, SOCK_DGRAM, 0);
  if (handle < 0) {
    return std::nullopt;
  }
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  auto* address = reinterpret_cast<sockaddr*>(&own);
  // Connecting a datagram socket sends nothing: it only chooses the way.
  const bool found = ::connect(handle, target.ai_addr, target.ai_addrlen) == 0 &&
                     ::getsockname(handle, address, &size) == 0;
  ::close(handle);
  std::string text(NI_MAXHOST, '\0');
  if (!found || ::getnameinfo(address, size, text.data(), static_cast<socklen_t>(text.size()),
                              nullptr, 0, NI_NUMERICHOST) != 0) {
    return std::nullopt;
  }
  return text.substr(0, text.find('\0'));
}

std::string own_address(const ProcessPlace& place) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_DGRAM;
  AddressList found;
  const int failure =
      ::getaddrinfo(place.host.c_str(), std::to_string(place.port).c_str(), &wanted, &found.first);
  if (failure != 0) {
    throw UsageError(fmt::format("MASTER_ADDR={}: {}", place.host, ::gai_strerror(failure)));
  }
  for (const auto* target = found.first; target != nullptr; target = target->ai_next) {
    if (auto address = source_address(*target)) {
      return *address;
    }
  }
  throw UsageError(
      fmt::format("MASTER_ADDR={}: there is no way to it from {}", place.host, machine_name()));
}

c10::intrusive_ptr<c10d::Store> open_store(const ProcessPlace& place,
                                           bool hosts,
                                           milliseconds time) {
  c10d::TCPStoreOptions options;
  options.port = place.port;
  options.isServer = hosts;
  options.waitWorkers = false;
  options.timeout = time;
  return c10::make_intrusive<c10d::PrefixStore>(
      "viewfold/" + place.attempt, c10::make_intrusive<c10d::TCPStore>(place.host, options));
}

// A key that another process will set; polled, as a wait that has timed out leaves the connection
// of a TCPStore out of step.
bool comes_until(c10d::Store& store, const std::string& key, Clock::time_point end) {
  constexpr milliseconds kPause{50};
  while (!store.check({key})) {
    if (Clock::now() >= end) {
      return false;
    }
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

std::optional<std::string> contradiction(const std::vector<Identity>& all) {
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank].is_loopback() != all[0].is_loopback()) {
      return fmt::format(
          "MASTER_ADDR leads rank 0 to {} and rank {} to {}, so they are on machines that cannot "
          "reach each other there (set it to the address of rank 0's machine in their network)",
          all[0].address, rank, all[rank].address);
    }
  }
  return std::nullopt;
}

}  // namespace

struct Peers::State {
  State(const ProcessPlace& where, JoinOptions how) : place(where), options(std::move(how)) {}

  ProcessPlace place;
  JoinOptions options;
  c10::intrusive_ptr<c10d::Store> store;
  Identity self;
  std::vector<Identity> all;

  std::thread watcher;
  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  bool suspects = false;    // a collective has failed
  bool told = false;        // on_lost has been called, or there was no need
  std::string own_failure;  // why this process ends
  std::string verdict;      // who is lost

  struct Heard {
    std::string last;
    Clock::time_point when = Clock::now();
  };
  std::vector<Heard> heard;
  std::int64_t count = 0;  // of own beats

  void open();
  void announce();
  void gather_all();
  void watch();
  void beat(c10d::Store& link);
  bool is_silent(int rank, const std::string& said);
  std::string look_around(c10d::Store& link);
  std::string listen(c10d::Store& link);
  void declare(const std::string& who);
  void end_if_unnoticed();
  bool stops_within(milliseconds time);
  std::string lost_text(int rank) const;
};

void Peers::State::open() {
  const bool hosts = place.rank == 0 && !place.launcher_hosts;
  try {
    store = open_store(place, hosts, options.arrival);
  } catch (const std::exception& error) {  // of c10d
    const auto reason = first_line(error.what());
    if (hosts) {
      throw UsageError(
          fmt::format("MASTER_PORT={}: rank 0 cannot listen there (another program may use it: {})",
                      place.port, reason));
    }
    throw PeerError(fmt::format("rank {} finds nobody at {}:{} (is rank 0 running there? {})",
                                place.rank, place.host, place.port, reason));
  }
}

// Two processes of one rank would both count as this rank.
void Peers::State::announce() {
  store->set(beat_key(place.rank), bytes_of("0"));
  const auto mine = self.text();
  const auto there = text_of(store->compareSet(here_key(place.rank), {}, bytes_of(mine)));
  if (there != mine) {
    throw UsageError(fmt::format("{} has come already (give each process a RANK of its own)",
                                 Identity::parse(there).name(place.rank)));
  }
}

// Rank 0 waits for the others, then tells them that all are there, or why there will be no run.
void Peers::State::gather_all() {
  const auto end = Clock::now() + options.arrival;
  std::string problem;
  if (place.rank == 0) {
    store->set(kStatus, bytes_of("0 "));
    std::vector<std::string> lines;
    std::vector<std::string> missing;
    for (int rank = 0; rank < place.size; ++rank) {
      if (comes_until(*store, here_key(rank), end)) {
        lines.push_back(text_of(store->get(here_key(rank))));
        all.push_back(Identity::parse(lines.back()));
      } else {
        missing.push_back(std::to_string(rank));
      }
    }
    if (!missing.empty()) {
      problem = fmt::format("{} of {} processes have not come to {}:{} within {} s: rank {}",
                            missing.size(), place.size, place.host, place.port,
                            options.arrival.count() / 1000, fmt::join(missing, ", "));
    } else {
      problem = contradiction(all).value_or("");
    }
    store->set(kAll, bytes_of(fmt::format("{}\n{}", problem, fmt::join(lines, "\n"))));
  } else if (comes_until(*store, kAll, end + options.silence)) {
    auto lines = split(text_of(store->get(kAll)), '\n');
    problem = lines.front();
    for (std::size_t i = 1; i < lines.size() && problem.empty(); ++i) {
      all.push_back(Identity::parse(lines[i]));
    }
  } else {
    problem = "rank 0 has not come";
  }
  if (!problem.empty()) {
    std::this_thread::sleep_for(2 * options.beat);  // rank 0 may keep the store: let them read
    throw PeerError(problem);
  }
}

std::string Peers::State::lost_text(int rank) const {
  return all[static_cast<std::size_t>(rank)].name(rank) + " has ended or cannot be reached";
}

// Whether nothing new has come from this rank for too long; a reason to suspect makes it shorter.
bool Peers::State::is_silent(int rank, const std::string& said) {
  auto& before = heard[static_cast<std::size_t>(rank)];
  const std::scoped_lock lock(mutex);
  if (said != before.last) {
    before = {.last = said, .when = Clock::now()};
  }
  const auto limit = suspects ? 4 * options.beat : options.silence;
  return said == kLeft ? suspects : Clock::now() - before.when > limit;
}

// What rank 0 does: returns who is lost, or nothing.
std::string Peers::State::look_around(c10d::Store& link) {
  if (link.check({kFailed})) {
    return text_of(link.get(kFailed));
  }
  for (int rank = 1; rank < place.size; ++rank) {
    if (is_silent(rank, text_of(link.get(beat_key(rank))))) {
      return lost_text(rank);
    }
  }
  return "";
}

// What the others do.
std::string Peers::State::listen(c10d::Store& link) {
  const auto status = text_of(link.get(kStatus));
  if (is_silent(0, status)) {
    return lost_text(0);
  }
  if (status == kLeft) {
    return "";
  }
  return status.substr(std::min(status.find(' ') + 1, status.size()));
}

void Peers::State::beat(c10d::Store& link) {
  ++count;
  if (place.rank != 0) {
    link.set(beat_key(place.rank), bytes_of(std::to_string(count)));
    declare(listen(link));
    return;
  }
  const auto lost = look_around(link);
  std::string said;
  {
    const std::scoped_lock lock(mutex);
    said = own_failure.empty() ? (verdict.empty() ? lost : verdict) : own_failure;
  }
  link.set(kStatus, bytes_of(fmt::format("{} {}", count, said)));
  declare(lost);
}

// The first verdict stands.
void Peers::State::declare(const std::string& who) {
  const std::scoped_lock lock(mutex);
  if (!who.empty() && verdict.empty() && own_failure.empty()) {
    verdict = who;
    changed.notify_all();
  }
}

// Leaves it to the thread that trains to end by itself, for a while.
void Peers::State::end_if_unnoticed() {
  std::unique_lock lock(mutex);
  if (verdict.empty() || told) {
    return;
  }
  told = true;
  const auto notices = [this] { return stopping || suspects || !own_failure.empty(); };
  if (changed.wait_for(lock, 5 * options.beat, notices) || !options.on_lost) {
    return;
  }
  const auto message = verdict;
  lock.unlock();
  options.on_lost(message);
}

bool Peers::State::stops_within(milliseconds time) {
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, time, [this] { return stopping; });
}

void Peers::State::watch() {
  constexpr milliseconds kReply{10'000};  // of the store
  try {
    const auto link = open_store(place, false, kReply);
    do {
      beat(*link);
      end_if_unnoticed();
    } while (!stops_within(options.beat));
  } catch (const std::exception&) {  // of c10d: the store does not answer
    declare(place.launcher_hosts ? fmt::format("torchrun at {}:{} has ended or cannot be reached",
                                               place.host, place.port)
                                 : lost_text(0));
    end_if_unnoticed();
  }
}

Peers::Peers(const ProcessPlace& place, JoinOptions options)
    : state_(std::make_unique<State>(place, std::move(options))) {
  check(place.size > 1, "one process has no peers");
  auto& state = *state_;
  state.self = {machine_name(), own_address(place), std::to_string(::getpid())};
  state.open();
  state.announce();
  state.gather_all();
  state.heard.resize(static_cast<std::size_t>(place.size));
  state.watcher = std::thread([&state] { state.watch(); });
}

Peers::~Peers() {
  auto& state = *state_;
  bool failed = false;
  {
    const std::scoped_lock lock(state.mutex);
    failed = !state.verdict.empty() || !state.own_failure.empty();
  }
  if (failed && state.place.rank == 0) {
    std::this_thread::sleep_for(2 *
                                state.options.beat);  // the others learn of it from this process
  }
  {
    const std::scoped_lock lock(state.mutex);
    state.stopping = true;
  }
  state.changed.notify_all();
  state.watcher.join();
  if (failed) {
    return;
  }
  try {
    state.store->set(state.place.rank == 0 ? kStatus : beat_key(state.place.rank), bytes_of(kLeft));
  } catch (const std::exception&) {  // of c10d
    return;                          // rank 0 has left before, with the store
  }
}

const c10::intrusive_ptr<c10d::Store>& Peers::store() const {
  return state_->store;
}

const std::string& Peers::address() const {
  return state_->self.address;
}

int Peers::here() const {
  const auto& all = state_->all;
  return static_cast<int>(std::ranges::count_if(
      all, [this](const Identity& other) { return other.machine == state_->self.machine; }));
}

void Peers::throw_lost(const std::string& symptom) {
  auto& state = *state_;
  std::unique_lock lock(state.mutex);
  state.suspects = true;
  state.changed.notify_all();
  state.changed.wait_for(lock, state.options.silence, [&state] { return !state.verdict.empty(); });
  throw PeerError(state.verdict.empty() ? symptom : state.verdict);
}

void Peers::tell_failure(const std::string& why) {
  auto& state = *state_;
  const auto text =
      state.all[static_cast<std::size_t>(state.place.rank)].name(state.place.rank) + ": " + why;
  {
    const std::scoped_lock lock(state.mutex);
    if (!state.verdict.empty()) {
      return;
    }
    state.own_failure = text;
  }
  if (state.place.rank != 0) {
    (void)state.store->compareSet(kFailed, {}, bytes_of(text));
  }
}

}  // namespace viewfold
