// The operations that the policies RandAugment and TrivialAugment choose from.
#pragma once

#include <cstddef>

#include "viewfold/augment/augmentation.hpp"

namespace viewfold {

/// Ranges of magnitudes, which differ between the two policies.
struct PolicySpace {
  double shear = 0.3;             // most, as a slope
  double translate_share = 0.0;   // most, of the side; or
  double translate_pixels = 0.0;  // most
  double degrees = 30.0;          // most
  double factor = 0.9;            // most that brightness, colour, contrast and sharpness differ by
  int posterize_bits = 4;         // most bits that are taken away
};

/// How many operations a policy chooses from; number 0 does nothing.
inline constexpr std::uint32_t kPolicyOps = 14;

/// The magnitude of operation `op` at `strength` 0 .. 1 of its range, not signed: slope, pixels,
/// degrees, difference from factor 1, bits kept, or threshold as a share of full range; 0 for
/// operations without one. Throws ContractViolation when there is no such operation.
[[nodiscard]] double policy_magnitude(std::uint32_t op,
                                      double strength,
                                      const PolicySpace& space,
                                      ImageSize size);

/// Whether the magnitude of the operation may be negative, too.
[[nodiscard]] bool policy_signed(std::uint32_t op);

/// Applies operation `op` with a magnitude to the current picture. Pixels are taken from where they
/// fall on when `nearest`, else mixed.
void apply_policy(std::uint32_t op, double magnitude, bool nearest, Canvas& canvas);

/// The same for a mask of classes, and for a point of a picture of size `before`.
void apply_policy_to_mask(std::uint32_t op, double magnitude, Canvas& mask);
[[nodiscard]] Point policy_move(std::uint32_t op, double magnitude, Point point, ImageSize before);

}  // namespace viewfold
