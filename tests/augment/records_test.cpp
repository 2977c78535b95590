// Tests of drawn parameters as words.
#include <gtest/gtest.h>

#include "viewfold/augment/detail/operation.hpp"

namespace viewfold {
namespace {

TEST(Records, SayInWordsWhatWasDrawnOrThatNothingHappened) {
  EXPECT_EQ(record_text(make_record("gaussian_blur", {1.0F, 1.5F})), "gaussian_blur sigma 1.5");
  EXPECT_EQ(record_text(make_record("gaussian_blur", {0.0F, 1.5F})), "gaussian_blur not applied");
  EXPECT_EQ(record_text(make_record("horizontal_flip", {1.0F})), "horizontal_flip");
  EXPECT_EQ(record_text(make_record("random_resized_crop", {0, 5, 20, 10, 32, 30})),
            "random_resized_crop x 0, y 5, width 20, height 10, source_height 32, source_width 30");
  EXPECT_EQ(record_text({}), "");
}

TEST(Records, TellWhetherTheirOperationWasApplied) {
  EXPECT_TRUE(was_applied(make_record("gaussian_blur", {1.0F, 1.5F})));
  EXPECT_FALSE(was_applied(make_record("gaussian_blur", {0.0F, 1.5F})));
  EXPECT_TRUE(was_applied(make_record("random_resized_crop", {0, 5, 20, 10, 32, 30})));
  EXPECT_FALSE(was_applied({}));
}

}  // namespace
}  // namespace viewfold
