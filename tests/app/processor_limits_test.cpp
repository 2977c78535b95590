// Tests of the warnings about variables that hold the processor back.
#include "viewfold/app/processor_limits.hpp"

#include <cstdlib>

#include <gtest/gtest.h>

namespace viewfold {
namespace {

bool limits(std::string_view variable, std::string_view value, VectorLevel level) {
  const std::string line = processor_limit(variable, value, level);
  EXPECT_TRUE(line.empty() || line.find(std::string(variable) + "=" + std::string(value)) == 0)
      << line;
  return !line.empty();
}

TEST(ProcessorLimit, IsWhatIsBelowTheProcessor) {
  EXPECT_TRUE(limits("OPENBLAS_CORETYPE", "Haswell", VectorLevel::kAvx512));
  EXPECT_TRUE(limits("OPENBLAS_CORETYPE", "ZEN", VectorLevel::kAvx512Bf16));
  EXPECT_FALSE(limits("OPENBLAS_CORETYPE", "Haswell", VectorLevel::kAvx2));
  EXPECT_TRUE(limits("OPENBLAS_CORETYPE", "Nehalem", VectorLevel::kAvx2));
  EXPECT_FALSE(limits("OPENBLAS_CORETYPE", "SkylakeX", VectorLevel::kAvx512Bf16));
  EXPECT_TRUE(limits("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", VectorLevel::kAvx512Bf16));
  EXPECT_FALSE(limits("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", VectorLevel::kAvx512));
  EXPECT_TRUE(limits("DNNL_MAX_CPU_ISA", "avx2", VectorLevel::kAvx512));
  EXPECT_FALSE(limits("DNNL_MAX_CPU_ISA", "ALL", VectorLevel::kAvx512Bf16));
  EXPECT_TRUE(limits("MKL_ENABLE_INSTRUCTIONS", "AVX2", VectorLevel::kAvx512));
}

TEST(ProcessorLimit, IsNotWhatIsUnknown) {
  EXPECT_FALSE(limits("OPENBLAS_CORETYPE", "tomorrow", VectorLevel::kAvx512Bf16));
  EXPECT_FALSE(limits("SOMETHING_ELSE", "avx2", VectorLevel::kAvx512Bf16));
}

TEST(ProcessorLimits, AreReadFromTheEnvironment) {
  if (vector_level() == VectorLevel::kBasic) {
    GTEST_SKIP() << "this processor has nothing to take away";
  }
  ::setenv("ONEDNN_MAX_CPU_ISA", "SSE41", 1);
  const auto with = processor_limits().size();
  ::unsetenv("ONEDNN_MAX_CPU_ISA");
  EXPECT_EQ(with, processor_limits().size() + 1);
}

}  // namespace
}  // namespace viewfold
