// Tests of the passes over rows of channels against one value at a time.
#include "viewfold/nn/fused/rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <vector>

#include <c10/util/BFloat16.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"

namespace viewfold::fused {
namespace {

float to_float(float value) {
  return value;
}
float to_float(Bf16 value) {
  return static_cast<float>(c10::BFloat16(value.bits, c10::BFloat16::from_bits()));
}
template <class T>
T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return {c10::BFloat16(value).x};
  }
}

// Rows of one type with what is needed for every pass.
template <class T>
struct Rows {
  explicit Rows(RowShape of) : shape(of), rng({.seed = 3, .stream = "rows"}) {
    for (auto* values : {&x, &gradient, &output, &out}) {
      values->resize(shape.rows * shape.channels);
      for (auto& value : *values) {
        value = from_float<T>(number());
      }
    }
    for (auto* constants : {&a, &b, &c}) {
      constants->resize(shape.channels);
      for (auto& constant : *constants) {
        constant = number();
      }
    }
  }
  float number() { return static_cast<float>(2.0 * rng.uniform() - 1.0); }
  [[nodiscard]] std::size_t size() const { return x.size(); }
  [[nodiscard]] std::size_t channel(std::size_t i) const { return i % shape.channels; }

  RowShape shape;
  Rng rng;
  std::vector<T> x, gradient, output, out;
  std::vector<float> a, b, c;
};

constexpr std::array kShapes{RowShape{1, 16}, RowShape{7, 16},   RowShape{33, 48},
                             RowShape{5, 64}, RowShape{300, 16}, RowShape{600, 112}};

template <class T>
class RowPasses : public testing::Test {};
using ElementTypes = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(RowPasses, ElementTypes);

TYPED_TEST(RowPasses, NormalizeAndRectify) {
  for (const auto& shape : kShapes) {
    Rows<TypeParam> r(shape);
    normalize_rows(r.x.data(), shape, {r.a.data(), r.b.data()}, r.out.data());
    for (std::size_t i = 0; i < r.size(); ++i) {
      const auto exact = std::fma(to_float(r.x[i]), r.a[r.channel(i)], r.b[r.channel(i)]);
      // To the last bit: rounded to nearest, ties to even.
      ASSERT_EQ(to_float(r.out[i]), to_float(from_float<TypeParam>(std::max(exact, 0.0F)))) << i;
    }
  }
}

TYPED_TEST(RowPasses, JoinTwoBranches) {
  for (const auto& shape : kShapes) {
    Rows<TypeParam> r(shape);
    join_rows(r.x.data(), shape, {r.a.data(), r.b.data()}, r.output.data(), {}, r.out.data());
    for (std::size_t i = 0; i < r.size(); ++i) {
      const auto sum =
          std::fma(to_float(r.x[i]), r.a[r.channel(i)], r.b[r.channel(i)]) + to_float(r.output[i]);
      ASSERT_EQ(to_float(r.out[i]), to_float(from_float<TypeParam>(std::max(sum, 0.0F)))) << i;
    }
    join_rows(r.x.data(), shape, {r.a.data(), r.b.data()}, r.output.data(),
              {r.c.data(), r.a.data()}, r.out.data());
    for (std::size_t i = 0; i < r.size(); ++i) {
      const auto k = r.channel(i);
      const auto sum = std::fma(to_float(r.x[i]), r.a[k], r.b[k]) +
                       std::fma(to_float(r.output[i]), r.c[k], r.a[k]);
      ASSERT_EQ(to_float(r.out[i]), to_float(from_float<TypeParam>(std::max(sum, 0.0F)))) << i;
    }
  }
}

TYPED_TEST(RowPasses, SumsAreThoseOfDoubles) {
  for (const auto& shape : kShapes) {
    Rows<TypeParam> r(shape);
    std::vector<double> sum(shape.channels), squares(shape.channels);
    sum_rows(r.x.data(), shape, r.a.data(), sum.data(), squares.data());
    std::vector<double> expected(shape.channels), expected_squares(shape.channels);
    for (std::size_t i = 0; i < r.size(); ++i) {
      const double value = static_cast<double>(to_float(r.x[i])) - r.a[r.channel(i)];
      expected[r.channel(i)] += value;
      expected_squares[r.channel(i)] += value * value;
    }
    for (std::size_t k = 0; k < shape.channels; ++k) {
      EXPECT_NEAR(sum[k], expected[k], 1e-5 * static_cast<double>(shape.rows));
      EXPECT_NEAR(squares[k], expected_squares[k], 1e-5 * static_cast<double>(shape.rows));
    }
  }
}

TYPED_TEST(RowPasses, GradientsPassWhereTheGateIsOpen) {
  for (const auto& shape : kShapes) {
    for (const bool by_output : {true, false}) {
      Rows<TypeParam> r(shape);
      const Gate<TypeParam> gate =
          by_output ? Gate<TypeParam>{.output = r.output.data()}
                    : Gate<TypeParam>{.input = r.x.data(), .affine = {r.a.data(), r.b.data()}};
      const auto passed = [&](std::size_t i) {
        const float by_input = std::fma(to_float(r.x[i]), r.a[r.channel(i)], r.b[r.channel(i)]);
        const bool open = (by_output ? to_float(r.output[i]) : by_input) > 0.0F;
        return open ? to_float(r.gradient[i]) : 0.0F;
      };
      normalize_gradient_rows(r.gradient.data(), gate, r.x.data(), shape,
                              {r.b.data(), r.c.data(), r.a.data()}, r.out.data());
      std::vector<double> expected(shape.channels), expected_products(shape.channels);
      for (std::size_t i = 0; i < r.size(); ++i) {
        const auto k = r.channel(i);
        const auto rest = std::fma(to_float(r.x[i]), r.c[k], r.a[k]);
        ASSERT_EQ(to_float(r.out[i]),
                  to_float(from_float<TypeParam>(std::fma(passed(i), r.b[k], rest))));
        expected[k] += passed(i);
        expected_products[k] += static_cast<double>(passed(i)) * (to_float(r.x[i]) - r.c[k]);
      }
      std::vector<double> sum(shape.channels), products(shape.channels);
      sum_gradient_rows(r.gradient.data(), gate, r.x.data(), shape, r.c.data(), sum.data(),
                        products.data());
      for (std::size_t k = 0; k < shape.channels; ++k) {
        EXPECT_NEAR(sum[k], expected[k], 1e-5 * static_cast<double>(shape.rows));
        EXPECT_NEAR(products[k], expected_products[k], 1e-5 * static_cast<double>(shape.rows));
      }
    }
  }
}

TYPED_TEST(RowPasses, AddInPlace) {
  for (const auto& shape : kShapes) {
    Rows<TypeParam> r(shape);
    const auto before = r.out;
    add_rows(r.x.data(), shape, r.out.data());
    for (std::size_t i = 0; i < r.size(); ++i) {
      ASSERT_EQ(to_float(r.out[i]),
                to_float(from_float<TypeParam>(to_float(before[i]) + to_float(r.x[i]))));
    }
    r.out = before;
    add_gated_rows(r.gradient.data(), r.output.data(), shape, r.out.data());
    for (std::size_t i = 0; i < r.size(); ++i) {
      const float more = to_float(r.output[i]) > 0.0F ? to_float(r.gradient[i]) : 0.0F;
      ASSERT_EQ(to_float(r.out[i]), to_float(from_float<TypeParam>(to_float(before[i]) + more)));
    }
  }
}

// A run that diverges must not look healthy because a ReLU hides it.
TEST(SpecialRows, NotANumberStaysOne) {
  const std::vector<Bf16> x(16, from_float<Bf16>(std::nanf("")));
  const std::vector<Bf16> zeros(16);
  const std::vector<float> ones(16, 1.0F);
  const Affine affine{ones.data(), ones.data()};
  std::vector<Bf16> normalized(16);
  std::vector<Bf16> joined(16);
  std::vector<Bf16> added(16);
  normalize_rows(x.data(), {1, 16}, affine, normalized.data());
  join_rows(zeros.data(), {1, 16}, affine, x.data(), {}, joined.data());
  add_rows(x.data(), {1, 16}, added.data());
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_TRUE(std::isnan(to_float(normalized[i])));
    EXPECT_TRUE(std::isnan(to_float(joined[i])));
    EXPECT_TRUE(std::isnan(to_float(added[i])));
  }
}

TEST(SpecialRows, RefuseOtherNumbersOfChannels) {
  std::vector<float> x(24);
  EXPECT_THROW(add_rows(x.data(), {1, 24}, x.data()), ContractViolation);
}

}  // namespace
}  // namespace viewfold::fused
