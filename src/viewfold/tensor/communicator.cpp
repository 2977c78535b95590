// Implements the exchange with Gloo, through c10d of LibTorch.
#include "viewfold/tensor/communicator.hpp"

#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO  // LibTorch has it; its headers show it to those who ask
#endif
#include <fmt/format.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/tensor/peers.hpp"

namespace viewfold {
namespace {

using Gloo = c10d::ProcessGroupGloo;

// The longest that a collective waits for processes that are there, as while rank 0 evaluates.
// Those that are not are noticed by Peers.
constexpr std::chrono::hours kPatience{24};

// Gloo knows neither bfloat16 nor bool, but it carries others of their sizes.
at::Tensor as_carried(const at::Tensor& values) {
  switch (values.scalar_type()) {
    case at::kBFloat16:
      return values.view(at::kHalf);
    case at::kBool:
      return values.view(at::kByte);
    default:
      return values;
  }
}

void check_values(const at::Tensor& values) {
  check(values.defined() && values.is_contiguous(), "only contiguous tensors can be exchanged");
}

}  // namespace

struct ProcessGroup {
  template <class Action>
  auto guarded(const Action& action) {
    try {
      return action();
    } catch (const std::exception& error) {  // of c10d and Gloo
      broken = true;
      const std::string text = error.what();
      peers->throw_lost("another process has ended or cannot be reached (" +
                        text.substr(0, text.find('\n')) + ")");
    }
  }

  ProcessGroup(std::shared_ptr<Peers> others, std::string name, int rank_in, int size_in)
      : peers(std::move(others)),
        prefix(std::move(name)),
        rank(rank_in),
        size(size_in) {
    const auto options = Gloo::Options::create(kPatience);
    options->devices.push_back(Gloo::createDeviceForHostname(peers->address()));
    gloo = guarded([&] {
      return c10::make_intrusive<Gloo>(
          c10::make_intrusive<c10d::PrefixStore>(prefix, peers->store()), rank, size, options);
    });
  }
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  // A group that is broken is left behind: its threads may wait for the lost process forever.
  ~ProcessGroup() {
    if (broken) {
      (void)gloo.release();
    }
  }

  std::shared_ptr<Peers> peers;
  std::string prefix;  // of the keys by which its processes connect
  int rank;
  int size;
  int parts = 0;  // groups made of this one
  bool broken = false;
  c10::intrusive_ptr<Gloo> gloo;
};

struct PendingSum::State {
  std::shared_ptr<ProcessGroup> group;
  c10::intrusive_ptr<c10d::Work> work;
};

void PendingSum::wait() {
  if (state_) {
    state_->group->guarded([this] { return state_->work->wait(); });
    state_.reset();
  }
}

Communicator Communicator::join(const ProcessPlace& place, JoinOptions options) {
  if (place.size == 1) {
    return {};
  }
  auto peers = std::make_shared<Peers>(place, std::move(options));
  return Communicator(
      std::make_shared<ProcessGroup>(std::move(peers), "all", place.rank, place.size));
}

int Communicator::rank() const {
  return group_ ? group_->rank : 0;
}

int Communicator::size() const {
  return group_ ? group_->size : 1;
}

int Communicator::processes_here() const {
  return group_ ? group_->peers->here() : 1;
}

void Communicator::all_reduce_sum(const at::Tensor& values) const {
  start_all_reduce_sum(values).wait();
}

PendingSum Communicator::start_all_reduce_sum(const at::Tensor& values) const {
  PendingSum pending;
  if (group_) {
    check_values(values);
    std::vector<at::Tensor> tensors{values.detach()};
    pending.state_ = std::make_shared<PendingSum::State>();
    pending.state_->group = group_;
    pending.state_->work = group_->guarded([&] { return group_->gloo->allreduce(tensors); });
  }
  return pending;
}

namespace {

at::Tensor gather_rows(Gloo& gloo, const at::Tensor& rows, int size) {
  auto shape = rows.sizes().vec();
  shape[0] *= size;
  const auto all = at::empty(shape, rows.options());
  std::vector<std::vector<at::Tensor>> outputs{as_carried(all).chunk(size)};
  std::vector<at::Tensor> inputs{as_carried(rows)};
  gloo.allgather(outputs, inputs)->wait();
  return all;
}

// The gradient of a row is the sum of what all processes have computed for it.
struct AllGatherBackward final : torch::autograd::Node {
  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const auto sum = gradients[0].contiguous().clone();  // [size * n, ...]
    communicator.all_reduce_sum(sum);
    const auto n = sum.size(0) / communicator.size();
    return {sum.narrow(0, communicator.rank() * n, n)};
  }

  Communicator communicator;
};

}  // namespace

at::Tensor Communicator::all_gather(const at::Tensor& rows) const {
  if (!group_) {
    return rows;
  }
  check(rows.dim() >= 1, "a tensor without rows cannot be gathered");
  const auto own = rows.detach().contiguous();
  auto all = group_->guarded([&] { return gather_rows(*group_->gloo, own, group_->size); });
  if (at::GradMode::is_enabled() && rows.requires_grad()) {
    const std::shared_ptr<AllGatherBackward> node(new AllGatherBackward,
                                                  torch::autograd::deleteNode);
    node->communicator = *this;
    node->set_next_edges(torch::autograd::collect_next_edges(rows));
    torch::autograd::set_history(all, node);
  }
  return all;
}

at::Tensor Communicator::exchange_rows(const at::Tensor& rows, const at::Tensor& order) const {
  const auto n = rows.size(0);
  check(order.dim() == 1 && order.size(0) == n * size() && order.scalar_type() == at::kLong,
        "the order of rows is a permutation of those of all processes");
  if (!group_) {
    return rows.index_select(0, order);
  }
  const auto owner = order.div(n, "floor");                              // [size * n], who has it
  const auto taker = at::arange(n * size(), at::kLong).div(n, "floor");  // who gets it
  const auto sent = owner.eq(rank()).nonzero().squeeze(1);               // places in `order`
  const auto taken_from = owner.narrow(0, rank() * n, n);                // [n]
  const auto counts = [this](const at::Tensor& ranks) {
    const auto each = ranks.bincount({}, size());
    return std::vector<std::int64_t>(each.data_ptr<std::int64_t>(),
                                     each.data_ptr<std::int64_t>() + size());
  };
  auto sent_counts = counts(taker.index_select(0, sent));
  auto taken_counts = counts(taken_from);
  // Rows travel in the order of `order`, which both sides know.
  auto outgoing = rows.detach().contiguous().index_select(
      0, order.index_select(0, sent).sub(rank() * n));  // [n, ...]
  auto incoming = at::empty_like(outgoing);
  group_->guarded([&] {
    auto to = as_carried(incoming);
    auto from = as_carried(outgoing);
    return group_->gloo->alltoall_base(to, from, taken_counts, sent_counts)->wait();
  });
  // They have arrived by owner, and within one owner by place.
  const auto place = taken_from.argsort(/*stable=*/true, 0, /*descending=*/false);  // [n]
  return at::empty_like(incoming).index_copy_(0, place, incoming);
}

void Communicator::broadcast(const at::Tensor& values) const {
  if (group_) {
    check_values(values);
    std::vector<at::Tensor> tensors{as_carried(values.detach())};
    group_->guarded([&] { return group_->gloo->broadcast(tensors)->wait(); });
  }
}

std::string Communicator::broadcast(const std::string& text) const {
  if (!group_) {
    return text;
  }
  const auto length = at::full({1}, static_cast<std::int64_t>(text.size()), at::kLong);
  broadcast(length);
  std::string whole = text;
  whole.resize(static_cast<std::size_t>(length.item<std::int64_t>()));
  if (!whole.empty()) {
    broadcast(at::from_blob(whole.data(), {static_cast<std::int64_t>(whole.size())}, at::kByte));
  }
  return whole;
}

void Communicator::barrier() const {
  if (group_) {
    group_->guarded([&] { return group_->gloo->barrier()->wait(); });
  }
}

Communicator Communicator::part(int count) const {
  check(count >= 1 && size() % count == 0,
        fmt::format("{} processes do not divide into {} equal parts", size(), count));
  const int members = size() / count;
  if (members == 1) {
    return {};
  }
  auto& whole = *group_;
  return Communicator(std::make_shared<ProcessGroup>(
      whole.peers, fmt::format("{}/{}-{}", whole.prefix, whole.parts++, whole.rank / members),
      whole.rank % members, members));
}

void Communicator::tell_failure(const std::string& why) const noexcept {
  try {
    if (group_) {
      group_->peers->tell_failure(why);
    }
  } catch (const std::exception&) {  // of c10d: there is nobody left to tell
    return;
  }
}

}  // namespace viewfold
