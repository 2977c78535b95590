// Implements the recognition of a lack of memory.
#include "viewfold/app/out_of_memory.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <string_view>

#include "viewfold/core/error.hpp"

namespace viewfold {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return true;
  }
  if (dynamic_cast<const Error*>(&error) != nullptr) {
    return false;  // our own words, with names of files
  }
  // LibTorch 1.13 and 2.x on the CPU, on a GPU, oneDNN, and OpenCV.
  constexpr std::array<std::string_view, 5> kTexts{"can't allocate memory", "not enough memory",
                                                   "out of memory", "could not create a memory",
                                                   "Insufficient memory"};
  const std::string_view text = error.what();
  return std::any_of(kTexts.begin(), kTexts.end(), [&](std::string_view part) {
    return text.find(part) != std::string_view::npos;
  });
}

}  // namespace viewfold
