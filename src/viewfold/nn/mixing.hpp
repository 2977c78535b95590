// Mixtures of the images of a batch: blends (mixup) and pasted boxes (CutMix).
#pragma once

#include <ATen/core/Tensor.h>

#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// Images that each show two.
struct Mixture {
  at::Tensor images;   // [N, C, H, W]
  double share = 1.0;  // of the first of each two, in [0, 1]; the second has the rest
};

/// A share from Beta(beta, beta), beta > 0, in [0, 1], from LibTorch's default generator.
[[nodiscard]] double draw_share(double beta);

/// share * first + (1 - share) * second: mixup (Zhang et al., arXiv:1710.09412).
/// first, second  [N, C, H, W] of equal shape and type. Throws ContractViolation where they differ
///                and on shares outside [0, 1].
[[nodiscard]] Mixture blend(const at::Tensor& first, const at::Tensor& second, double share);

/// A box of about 1 - share of the area of `second` pasted into `first`, around a random pixel and
/// cut at the rim, one box for all images: CutMix (Yun et al., arXiv:1905.04899). The share of the
/// result is the exact one of the pixels that are left of `first`, which are unchanged. Draws from
/// LibTorch's default generator. Throws as blend().
[[nodiscard]] Mixture paste_box(const at::Tensor& first, const at::Tensor& second, double share);

/// The images of the whole batch in reverse order: image i of N beside image N - 1 - i.
/// images   [n, C, H, W], those of this process, with n on each
/// returns  [n, C, H, W], no gradient flows through it
[[nodiscard]] at::Tensor reversed_images(const at::Tensor& images, const Communicator& processes);

/// The same with rows [n, d], through which gradients flow to all processes.
[[nodiscard]] at::Tensor reversed_rows(const at::Tensor& rows, const Communicator& processes);

}  // namespace viewfold
