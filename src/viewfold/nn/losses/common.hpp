// What all losses on embeddings share: full precision and unit rows.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace viewfold {

/// What losses show as to LibTorch's callbacks (at::RecordFunction).
inline constexpr const char* kLossScope = "viewfold::loss";

/// While it lives, autocast leaves operations alone: logits divided by a temperature of 0.1 need
/// more than bfloat16's 8 bits.
class FullPrecision {
 private:
  c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
};

/// z        [N, D], any floating type
/// returns  [N, D] unit rows, float64 for float64 and float32 for all others. A zero row stays
/// zero.
[[nodiscard]] at::Tensor unit_rows(const at::Tensor& z);

/// Throws ContractViolation unless both are [N, D] of equal shape with N >= 1.
void check_pairs(const at::Tensor& a, const at::Tensor& b);

}  // namespace viewfold
