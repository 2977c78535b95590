// Every operation must do the same with every instruction set of this machine.
#include <hwy/highway.h>

#include "augment/operations.hpp"
#include <gtest/gtest.h>

namespace viewfold {
namespace {

// While it lives, kernels run with one instruction set.
class OnlyTarget {
 public:
  explicit OnlyTarget(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    choose();
  }
  ~OnlyTarget() {
    hwy::SetSupportedTargetsForTest(0);
    choose();
  }
  OnlyTarget(const OnlyTarget&) = delete;
  OnlyTarget& operator=(const OnlyTarget&) = delete;

 private:
  static void choose() { hwy::GetChosenTarget().Update(hwy::SupportedTargets()); }
};

// Sums are added up in another order, and multiplications fused or not: that moves a float in its
// last bits, and a grey level where it lay in the middle between two.
TEST(InstructionSets, AllMakeTheSameOfEveryOperation) {
  std::size_t compared = 0;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    for (const auto& entry : augmentation_table()) {
      for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
        for (const int bands : {1, 3, 5}) {
          const auto op = entry.make(*entry.config());
          const Image image = testing::noise({33, 29}, bands, type);
          for (std::uint32_t sample = 0; sample < 6; ++sample) {
            Rng rng({.seed = 9, .sample = sample});
            const auto record = op->sample(rng, {33, 29});
            const Image expected = testing::applied(*op, record, image);
            const OnlyTarget only(target);
            const Image made = testing::applied(*op, record, image);
            ++compared;
            const auto found = testing::difference(convert_type(made, PixelType::kUint8),
                                                   convert_type(expected, PixelType::kUint8));
            ASSERT_LE(found.largest, 1) << entry.name << " with " << hwy::TargetName(target);
            ASSERT_LE(found.share, 0.01) << entry.name << " with " << hwy::TargetName(target);
          }
        }
      }
    }
  }
  EXPECT_GT(compared, 0U);
}

}  // namespace
}  // namespace viewfold
