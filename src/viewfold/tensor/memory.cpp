// Implements the reuse of memory with the settings of glibc's allocator.
#include "viewfold/tensor/memory.hpp"

#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace viewfold {

void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);         // no block has a mapping of its own
  mallopt(M_TRIM_THRESHOLD, -1);  // the end of the heap is never given back
#endif
}

}  // namespace viewfold
