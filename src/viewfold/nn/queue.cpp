// Implements the queue of keys.
#include "viewfold/nn/queue.hpp"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {

void check_queue_size(std::int64_t size, std::int64_t batch) {
  check(batch >= 1, fmt::format("a batch of {} is empty", batch));
  if (size % batch != 0 || size < batch) {
    throw UsageError(fmt::format(
        "a queue of {} does not hold whole batches of {} keys (take a multiple such as {})", size,
        batch, std::max<std::int64_t>(size / batch, 1) * batch));
  }
}

KeyQueue::KeyQueue(std::int64_t size, std::int64_t dim, std::uint64_t seed) {
  check(size >= 1 && dim >= 1, fmt::format("a queue of {} rows of {} is empty", size, dim));
  auto generator = at::detail::createCPUGenerator(seed);
  rows_ = register_buffer("rows", unit_rows(at::randn({size, dim}, generator)));
  pointer_ = register_buffer("pointer", at::zeros({}, at::kLong));
}

at::Tensor KeyQueue::rows() const {
  return rows_.clone();
}

void KeyQueue::enqueue(const at::Tensor& keys) {
  check(keys.dim() == 2 && keys.size(1) == rows_.size(1),
        fmt::format("keys [{}] do not fit a queue of rows of {}", fmt::join(keys.sizes(), ", "),
                    rows_.size(1)));
  const auto size = rows_.size(0);
  const auto batch = keys.size(0);
  check_queue_size(size, batch);
  const at::NoGradGuard no_grad;
  const auto oldest = pointer_.item<std::int64_t>();
  rows_.narrow(0, oldest, batch).copy_(unit_rows(keys));
  pointer_.fill_((oldest + batch) % size);
}

}  // namespace viewfold
