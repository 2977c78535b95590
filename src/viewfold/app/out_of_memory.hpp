// Tells a lack of memory from other failures of the libraries.
#pragma once

#include <exception>

namespace viewfold {

/// Whether `error` says that there is no memory left: std::bad_alloc, or what LibTorch, oneDNN and
/// OpenCV throw in its place, which have no type of their own.
[[nodiscard]] bool is_out_of_memory(const std::exception& error);

}  // namespace viewfold
