// Loops over several threads.
#pragma once

#include <cstddef>
#include <functional>

namespace viewfold {

/// Calls body(0) ... body(count - 1), each once, on up to `threads` threads, in no fixed order; on
/// the calling thread when threads <= 1. Returns when all are done. When calls throw, no further
/// ones are begun, and the exception of the lowest index that threw is rethrown.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& body);

}  // namespace viewfold
