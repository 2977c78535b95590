// Environment variables that keep libraries from using all of the processor.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace viewfold {

/// What a processor can do with floating-point vectors, each with all before it.
enum class VectorLevel { kBasic, kAvx, kAvx2, kAvx512, kAvx512Bf16 };

/// That of this machine.
[[nodiscard]] VectorLevel vector_level();

/// One line that says what `variable` set to `value` takes away from a processor of this level; ""
/// when nothing, or when the variable limits none of our libraries.
[[nodiscard]] std::string processor_limit(std::string_view variable,
                                          std::string_view value,
                                          VectorLevel level);

/// Such lines for the environment of this process.
[[nodiscard]] std::vector<std::string> processor_limits();

}  // namespace viewfold
