// Which exceptions mean that there is no memory left.
#include "viewfold/app/out_of_memory.hpp"

#include <new>
#include <stdexcept>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

TEST(OutOfMemory, IsWhatTheStandardLibraryAndLibTorchThrowWithoutMemory) {
  EXPECT_TRUE(is_out_of_memory(std::bad_alloc()));
  try {
    (void)at::empty({std::int64_t{1} << 50});
    FAIL() << "a petabyte of memory";
  } catch (const std::exception& error) {
    EXPECT_TRUE(is_out_of_memory(error)) << error.what();
  }
}

TEST(OutOfMemory, IsNoOtherFailure) {
  EXPECT_FALSE(is_out_of_memory(std::runtime_error("file not found")));
  EXPECT_FALSE(is_out_of_memory(DataError("out of memory.png: is damaged")));
  try {
    (void)at::ones({2, 3}).mm(at::ones({2, 3}));
    FAIL() << "a product of matrices that do not fit";
  } catch (const std::exception& error) {
    EXPECT_FALSE(is_out_of_memory(error)) << error.what();
  }
}

}  // namespace
}  // namespace viewfold
