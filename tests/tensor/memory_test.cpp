// Tests that the memory of large tensors is used again.
#include "viewfold/tensor/memory.hpp"

#include <cstdlib>
#include <sys/resource.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace viewfold {
namespace {

TEST(KeepFreedMemory, TakesNoNewPagesForATensorLikeTheLast) {
#ifndef __GLIBC__
  GTEST_SKIP() << "the setting is one of glibc";
#endif
  keep_freed_memory();
  const auto pages_of_a_large_tensor = [] {
    rusage before{};
    rusage after{};
    ::getrusage(RUSAGE_SELF, &before);
    (void)at::zeros({64, 1 << 20});  // 256 MB, 65536 pages
    ::getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt;
  };
  (void)pages_of_a_large_tensor();
  EXPECT_LT(pages_of_a_large_tensor(), 1000);
}

}  // namespace
}  // namespace viewfold
