// Tests of the measures on rendered solids, with encoders whose features are known.
#include "viewfold/eval/solid_factors.hpp"

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kSide = 16;

// Means of the picture's corners, where no solid is: the background, and nothing else.
class CornerEncoder final : public Encoder {
 public:
  at::Tensor forward(const at::Tensor& x) override {
    constexpr std::int64_t kCorner = 1;
    const auto top = x.narrow(2, 0, kCorner);
    const auto bottom = x.narrow(2, kSide - kCorner, kCorner);
    return at::cat({top.narrow(3, 0, kCorner), top.narrow(3, kSide - kCorner, kCorner),
                    bottom.narrow(3, 0, kCorner), bottom.narrow(3, kSide - kCorner, kCorner)},
                   1)
        .flatten(1);
  }
  [[nodiscard]] std::int64_t feature_dim() const override { return 4 * bands_; }
  explicit CornerEncoder(std::int64_t bands) : bands_(bands) {}

 private:
  std::int64_t bands_;
};

Preprocess preprocess(std::int64_t bands = 3) {
  const auto count = static_cast<std::size_t>(bands);
  return {.input_size = kSide,
          .bands = bands,
          .normalization = {.mean = std::vector<double>(count, 0.5),
                            .std = std::vector<double>(count, 0.25)}};
}

SolidFactorsSpec small_spec() {
  return {.train = 300, .test = 200, .views = 3};
}

TEST(SolidFactors, AnEncoderOfTheBackgroundIgnoresAllElse) {
  CornerEncoder encoder(3);
  const auto numbers = measure_solid_factors(encoder, preprocess(), small_spec()).numbers;
  for (const auto* factor : {"pose", "light", "position"}) {
    EXPECT_NEAR(numbers.at(std::string("invariance_") + factor), 1.0, 1e-6) << factor;
    EXPECT_LT(numbers.at(std::string("read_out_") + factor), 0.1) << factor;
  }
  EXPECT_LT(numbers.at("invariance_background"), 0.2);
  EXPECT_GT(numbers.at("read_out_background"), 0.2);
  EXPECT_LT(numbers.at("read_out_colour"), 0.1);
  EXPECT_LT(numbers.at("solid"), 0.25);
}

TEST(SolidFactors, ThatEncoderReadsThePlainWallExactly) {
  CornerEncoder encoder(3);
  auto spec = small_spec();
  spec.is_plain = true;
  const auto result = measure_solid_factors(encoder, preprocess(), spec);
  const auto& numbers = result.numbers;
  for (const auto* band : {"red", "green", "blue"}) {
    EXPECT_GT(numbers.at(std::string("read_out_background_") + band), 0.99) << band;
  }
  EXPECT_FALSE(numbers.contains("read_out_background_dark_red"));
  EXPECT_NEAR(numbers.at("read_out_background"), 1.0, 0.01);
  EXPECT_NEAR(numbers.at("invariance_pose"), 1.0, 1e-6);
  EXPECT_LT(numbers.at("read_out_position_x"), 0.1);
  EXPECT_NE(result.protocol.find("plain-solids"), std::string::npos);
}

TEST(SolidFactors, AGrayEncoderSeesLuma) {
  CornerEncoder encoder(1);
  const auto numbers = measure_solid_factors(encoder, preprocess(1), small_spec()).numbers;
  EXPECT_NEAR(numbers.at("invariance_pose"), 1.0, 1e-6);
}

TEST(SolidFactors, GivesTheSameNumbersAgain) {
  CornerEncoder encoder(3);
  EXPECT_EQ(measure_solid_factors(encoder, preprocess(), small_spec()).numbers,
            measure_solid_factors(encoder, preprocess(), small_spec()).numbers);
}

TEST(SolidFactors, RefusesOtherBandsAndCounts) {
  CornerEncoder encoder(2);
  EXPECT_THROW((void)measure_solid_factors(encoder, preprocess(2), small_spec()), UsageError);
  CornerEncoder colour(3);
  for (const auto& spec : {SolidFactorsSpec{.train = 10}, SolidFactorsSpec{.test = 2001},
                           SolidFactorsSpec{.views = 1}}) {
    EXPECT_THROW((void)measure_solid_factors(colour, preprocess(), spec), ContractViolation);
  }
}

}  // namespace
}  // namespace viewfold
