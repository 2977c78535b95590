// Losses that keep the dimensions of an embedding apart instead of the images: Barlow Twins and
// VICReg.
#pragma once

#include <ATen/core/Tensor.h>

#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// A loss and the terms that it is made of, each [] with gradients.
struct BarlowTwinsLoss {
  at::Tensor loss;        // invariance + lambda * redundancy
  at::Tensor invariance;  // sum_i (1 - C_ii)^2
  at::Tensor redundancy;  // sum_{i != j} C_ij^2
};

/// Takes the correlation C of the dimensions of one view with those of the other to the identity
/// (Barlow Twins, arXiv:2103.03230, Eq. 1 and 2). Each dimension is standardised over the batch as
/// in the authors' code, with the biased variance and batch norm's epsilon of 1e-5.
/// z0, z1       [N, D] any floating type; row i of both is one image
/// lambda       >= 0
/// communicator of processes that each have N images of the batch; gradients reach all of them
/// returns      each [] float32 (float64 for float64), the same in all processes; D, D and 0 where
///              the dimensions of a view are constant. Throws ContractViolation on unequal shapes
///              and on a batch of one image.
[[nodiscard]] BarlowTwinsLoss barlow_twins(const at::Tensor& z0,
                                           const at::Tensor& z1,
                                           double lambda,
                                           const Communicator& communicator = {});

inline constexpr double kVicRegGamma = 1.0;     // wanted spread of a dimension (authors' code)
inline constexpr double kVicRegEpsilon = 1e-4;  // added to variances below the root (ibid.)

/// lambda, mu and nu of VICReg's Eq. 6, at the paper's values.
struct VicRegWeights {
  double invariance = 25.0;
  double variance = 25.0;
  double covariance = 1.0;
};

/// A loss and the terms that it is made of, before their weights, each [] with gradients.
struct VicRegLoss {
  at::Tensor loss;
  at::Tensor invariance;  // mean over N and D of (z0 - z1)^2
  at::Tensor variance;  // of both views' means over D of max(0, gamma - sqrt(var + eps)), the mean
  at::Tensor covariance;  // of both views' sums over i != j of cov_ij^2 / D, the sum
};

/// Pulls both views of an image together, keeps every dimension spread and all of them uncorrelated
/// within each view (VICReg, arXiv:2105.04906, Eq. 1 to 6). As in the authors' code, the invariance
/// is a mean over D too and the two variance terms are halved; variances and covariances are
/// unbiased.
/// z0, z1       [N, D] any floating type; row i of both is one image
/// communicator of processes that each have N images of the batch; gradients reach all of them
/// returns      each [] float32 (float64 for float64), the same in all processes; for constant rows
///              the variance term is gamma - sqrt(eps) = 0.99, the others are 0. Throws
///              ContractViolation on unequal shapes and on a batch of one image.
[[nodiscard]] VicRegLoss vicreg(const at::Tensor& z0,
                                const at::Tensor& z1,
                                const VicRegWeights& weights = {},
                                const Communicator& communicator = {});

}  // namespace viewfold
