// Implements the search for variables that limit the processor.
#include "viewfold/app/processor_limits.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

namespace viewfold {
namespace {

struct Variable {
  std::string_view name;
  std::string_view what;  // it slows down
};

constexpr std::string_view kMatrices = "matrix products in float32";
constexpr std::string_view kConvolutions = "convolutions, and matrix products in bfloat16";

constexpr std::array kVariables{
    Variable{"OPENBLAS_CORETYPE", kMatrices}, Variable{"MKL_ENABLE_INSTRUCTIONS", kMatrices},
    Variable{"ONEDNN_MAX_CPU_ISA", kConvolutions}, Variable{"DNNL_MAX_CPU_ISA", kConvolutions}};

struct Value {
  std::string_view name;  // in lower case
  VectorLevel level = VectorLevel::kBasic;
};

// OpenBLAS's names of processors, and the names of instruction sets of oneDNN and MKL; OpenBLAS
// multiplies in bfloat16 on no path of LibTorch's, so that all its kernels with AVX-512 are equal.
constexpr std::array kValues{
    Value{"prescott", VectorLevel::kBasic},     Value{"core2", VectorLevel::kBasic},
    Value{"nehalem", VectorLevel::kBasic},      Value{"barcelona", VectorLevel::kBasic},
    Value{"sandybridge", VectorLevel::kAvx},    Value{"bulldozer", VectorLevel::kAvx},
    Value{"piledriver", VectorLevel::kAvx},     Value{"steamroller", VectorLevel::kAvx},
    Value{"haswell", VectorLevel::kAvx2},       Value{"excavator", VectorLevel::kAvx2},
    Value{"zen", VectorLevel::kAvx2},           Value{"sse41", VectorLevel::kBasic},
    Value{"sse4_2", VectorLevel::kBasic},       Value{"avx", VectorLevel::kAvx},
    Value{"avx2", VectorLevel::kAvx2},          Value{"avx2_vnni", VectorLevel::kAvx2},
    Value{"avx512_core", VectorLevel::kAvx512}, Value{"avx512_core_vnni", VectorLevel::kAvx512},
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// Nothing for a value that we do not know or that takes nothing away anywhere.
std::optional<VectorLevel> level_of(std::string_view value) {
  const std::string name = lower(value);
  const auto* found = std::find_if(kValues.begin(), kValues.end(),
                                   [&name](const Value& row) { return row.name == name; });
  return found == kValues.end() ? std::nullopt : std::optional(found->level);
}

}  // namespace

VectorLevel vector_level() {
  if (__builtin_cpu_supports("avx512bf16") != 0) {
    return VectorLevel::kAvx512Bf16;
  }
  if (__builtin_cpu_supports("avx512bw") != 0) {
    return VectorLevel::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") != 0) {
    return VectorLevel::kAvx2;
  }
  return __builtin_cpu_supports("avx") != 0 ? VectorLevel::kAvx : VectorLevel::kBasic;
}

std::string processor_limit(std::string_view variable, std::string_view value, VectorLevel level) {
  const auto* known =
      std::find_if(kVariables.begin(), kVariables.end(),
                   [variable](const Variable& row) { return row.name == variable; });
  const auto allowed = level_of(value);
  if (known == kVariables.end() || !allowed || *allowed >= level) {
    return "";
  }
  return fmt::format(
      "{}={} keeps a library from what this processor can do and slows down {} (as far as to half "
      "the speed; unset it unless there is a reason)",
      variable, value, known->what);
}

std::vector<std::string> processor_limits() {
  std::vector<std::string> lines;
  for (const auto& variable : kVariables) {
    const char* value = std::getenv(std::string(variable.name).c_str());
    const auto line = value == nullptr ? "" : processor_limit(variable.name, value, vector_level());
    if (!line.empty()) {
      lines.push_back(line);
    }
  }
  return lines;
}

}  // namespace viewfold
