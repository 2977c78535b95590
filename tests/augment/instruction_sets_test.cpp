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

// Views of one picture by every operation that happens for sure.
std::vector<Image> all_views(const Image& image) {
  std::vector<Image> views;
  for (const auto& entry : augmentation_table()) {
    const auto op = testing::certain(entry);
    for (std::uint32_t sample = 0; sample < 2; ++sample) {
      Rng rng({.seed = 9, .sample = sample});
      views.push_back(convert_type(
          testing::applied(*op, op->sample(rng, {image.height(), image.width()}), image),
          PixelType::kUint8));
    }
  }
  return views;
}

// Sums are added up in another order, and multiplications fused or not: that moves a float in its
// last bits, and a grey level where it lay in the middle between two.
TEST(InstructionSets, AllMakeTheSameOfEveryOperation) {
  for (const auto type : {PixelType::kUint8, PixelType::kUint16, PixelType::kFloat32}) {
    for (const int bands : {1, 3, 5}) {
      const Image image = testing::noise({33, 29}, bands, type);
      const auto expected = all_views(image);
      for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        const OnlyTarget only(target);
        const auto made = all_views(image);
        for (std::size_t i = 0; i < made.size(); ++i) {
          const auto found = testing::difference(made[i], expected[i]);
          const auto name = augmentation_table()[i / 2].name;
          EXPECT_LE(found.largest, 1) << name << " with " << hwy::TargetName(target);
          EXPECT_LE(found.share, 0.01) << name << " with " << hwy::TargetName(target);
        }
      }
    }
  }
  EXPECT_FALSE(hwy::SupportedAndGeneratedTargets().empty());
}

}  // namespace
}  // namespace viewfold
