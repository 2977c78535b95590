// Which instructions the vector kernels run with.
#pragma once

#include <string_view>

namespace viewfold {

/// The instruction set that the kernels of this folder chose on this machine, by Highway's name for
/// it ("AVX2", "AVX3", "NEON" ...).
[[nodiscard]] std::string_view instruction_set();

}  // namespace viewfold
