// Tells a lack of memory from other failures of the standard library and of LibTorch.
#pragma once

#include <exception>

namespace viewfold {

/// Whether `error` says that there is no memory left: std::bad_alloc, or what LibTorch and oneDNN
/// throw in its place, which have no type of their own.
[[nodiscard]] bool is_out_of_memory(const std::exception& error);

}  // namespace viewfold
