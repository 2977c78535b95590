// Implements loops over several threads.
#include "viewfold/core/thread_pool.hpp"

#include <algorithm>

#include "viewfold/core/thread_team.hpp"

namespace viewfold {

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& body) {
  const std::size_t wanted = std::min(count, static_cast<std::size_t>(std::max(threads, 1)));
  ThreadTeam(std::max(static_cast<int>(wanted), 1)).run(count, body);
}

}  // namespace viewfold
