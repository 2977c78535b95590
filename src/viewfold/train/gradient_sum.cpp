// Implements the overlap of backward() and all-reduce, by hooks behind the accumulation of
// gradients.
#include "viewfold/train/gradient_sum.hpp"

#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// One parameter and its place in a bucket.
struct Slot {
  at::Tensor parameter;
  at::Tensor place;     // of the parameter's shape and strides, in the bucket
  bool filled = false;  // since the last finish()
};

struct Bucket {
  at::Tensor values;  // [total of its parameters]
  std::vector<Slot> slots;
  std::size_t filled = 0;
  PendingSum sum;
};

// From the last parameter to the first, which is about the order of their gradients.
std::vector<Bucket> make_buckets(const std::vector<at::Tensor>& parameters) {
  std::vector<Bucket> buckets;
  std::int64_t room = 0;
  for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
    if (!parameter->requires_grad()) {
      continue;
    }
    const bool other_type =
        !buckets.empty() &&
        buckets.back().slots.front().parameter.scalar_type() != parameter->scalar_type();
    if (buckets.empty() || room < parameter->numel() || other_type) {
      buckets.emplace_back();
      room = GradientSum::kBucket;
    }
    room -= parameter->numel();
    buckets.back().slots.push_back({.parameter = *parameter, .place = {}});
  }
  for (auto& bucket : buckets) {
    std::int64_t total = 0;
    for (const auto& slot : bucket.slots) {
      total += slot.parameter.numel();
    }
    bucket.values = at::zeros({total}, bucket.slots.front().parameter.options());
    std::int64_t offset = 0;
    for (auto& slot : bucket.slots) {
      const auto& parameter = slot.parameter;
      check(parameter.is_non_overlapping_and_dense(), "a parameter has holes in its memory");
      slot.place = bucket.values.as_strided(parameter.sizes(), parameter.strides(), offset);
      offset += parameter.numel();
    }
  }
  return buckets;
}

}  // namespace

struct GradientSum::State {
  Communicator communicator;
  std::vector<Bucket> buckets;
  std::size_t next = 0;  // bucket to send: all processes send them in this order
  struct Hook {
    std::shared_ptr<torch::autograd::Node> accumulator;  // of a parameter; it keeps it alive
    std::uintptr_t key;
  };
  std::vector<Hook> hooks;

  void take(std::size_t bucket, std::size_t slot);
  void send_full();
};

void GradientSum::State::send_full() {
  while (next < buckets.size() && buckets[next].filled == buckets[next].slots.size()) {
    buckets[next].sum = communicator.start_all_reduce_sum(buckets[next].values);
    ++next;
  }
}

void GradientSum::State::take(std::size_t b, std::size_t s) {
  auto& bucket = buckets[b];
  auto& slot = bucket.slots[s];
  check(!slot.filled, "finish() must follow each backward()");
  const at::NoGradGuard no_grad;
  slot.place.copy_(slot.parameter.grad());
  slot.filled = true;
  ++bucket.filled;
  send_full();
}

GradientSum::GradientSum(const std::vector<at::Tensor>& parameters,
                         const Communicator& communicator) {
  if (communicator.size() == 1) {
    return;
  }
  state_ = std::make_unique<State>();
  // Connections of its own: sums for batch norm do not wait behind buckets.
  state_->communicator = communicator.part(1);
  state_->buckets = make_buckets(parameters);
  for (std::size_t b = 0; b < state_->buckets.size(); ++b) {
    for (std::size_t s = 0; s < state_->buckets[b].slots.size(); ++s) {
      auto accumulator =
          torch::autograd::impl::grad_accumulator(state_->buckets[b].slots[s].parameter);
      const auto key =
          accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
              [state = state_.get(), b, s](const torch::autograd::variable_list& outputs,
                                           const torch::autograd::variable_list& /*inputs*/) {
                state->take(b, s);
                return outputs;
              }));
      state_->hooks.push_back({std::move(accumulator), key});
    }
  }
}

GradientSum::~GradientSum() {
  if (state_) {
    for (const auto& hook : state_->hooks) {
      hook.accumulator->del_post_hook(hook.key);
    }
  }
}

void GradientSum::finish() {
  if (!state_) {
    return;
  }
  const at::NoGradGuard no_grad;
  for (auto& bucket : state_->buckets) {
    for (auto& slot : bucket.slots) {
      if (!slot.filled) {  // no gradient reaches it
        slot.place.zero_();
      }
    }
    bucket.filled = bucket.slots.size();
  }
  state_->send_full();
  for (auto& bucket : state_->buckets) {
    bucket.sum.wait();
    bucket.values.div_(state_->communicator.size());
    bucket.filled = 0;
    for (auto& slot : bucket.slots) {
      if (slot.filled) {
        slot.parameter.mutable_grad() = slot.place;
      }
      slot.filled = false;
    }
  }
  state_->next = 0;
}

std::size_t GradientSum::buckets() const {
  return state_ ? state_->buckets.size() : 0;
}

}  // namespace viewfold
