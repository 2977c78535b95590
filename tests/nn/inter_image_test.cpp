// Tests of the contrast with other images and of its margins, by closed forms and loops.
#include "viewfold/nn/losses/inter_image.hpp"

#include <numbers>

#include "nn/loss_checks.hpp"
#include "tensor/normal_tensor.hpp"

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {
namespace {

constexpr Margin kNone{};

Margin cosine(double m) {
  return {.kind = MarginKind::kCosine, .m = m};
}

Margin arc(double m) {
  return {.kind = MarginKind::kArc, .m = m};
}

// [N, R, C] unit rows.
at::Tensor unit_negatives(const std::vector<std::int64_t>& sizes, std::uint64_t seed) {
  return unit_rows(normal_tensor({sizes[0] * sizes[1], sizes[2]}, seed)).view(sizes);
}

// The cosine of the positive less its margin, as the authors' code has it.
double moved(double s, const Margin& margin) {
  const double m = margin.m;
  if (margin.kind == MarginKind::kCosine) {
    return s - m;
  }
  const double shifted = std::cos(std::acos(s) + m);
  if (m < 0.0) {
    return s < std::cos(m) ? shifted : s + m * std::sin(m);
  }
  return s > std::cos(std::numbers::pi - m) ? shifted : s - m * std::sin(std::numbers::pi - m);
}

double by_loops(const at::Tensor& q,
                const at::Tensor& positives,
                const at::Tensor& negatives,
                const Margin& margin,
                double temperature) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < q.size(0); ++i) {
    const double positive =
        std::exp(moved(cosine_of_rows(q, i, positives, i), margin) / temperature);
    double all = positive;
    for (std::int64_t j = 0; j < negatives.size(1); ++j) {
      all += std::exp(cosine_of_rows(q, i, negatives[i], j) / temperature);
    }
    sum -= std::log(positive / all);
  }
  return sum / static_cast<double>(q.size(0));
}

double arc_of(double s, double m) {
  return with_margin(at::full({}, s, at::kDouble), arc(m)).item<double>();
}

TEST(InterImage, HasItsClosedFormWhenAllCosinesAreEqual) {
  const auto e = at::eye(2, at::kDouble).narrow(0, 0, 1);  // [1, 2]
  const auto loss = [&](double m) {
    return inter_image(e, e, e.repeat({1, 16384, 1}).view({1, 16384, 2}), cosine(m), 0.2)
        .item<double>();
  };
  const std::vector<std::pair<double, double>> known{
      {0.5, 12.204}, {0.0, 9.704}, {-0.25, 8.454}, {-0.5, 7.205}};
  for (const auto& [m, expected] : known) {
    EXPECT_NEAR(loss(m), expected, 5e-4) << m;
    EXPECT_NEAR(loss(m), std::log(1.0 + 16384.0 * std::exp(m / 0.2)), 1e-6) << m;
  }
}

TEST(InterImage, EqualsLoopsForBothMargins) {
  for (const std::int64_t n : {1, 3, 8}) {
    const auto q = normal_tensor({n, 6}, 1);
    const auto positives = unit_rows(normal_tensor({n, 6}, 2));
    const auto negatives = unit_negatives({n, n + 2, 6}, 3);
    for (const auto& margin : {kNone, cosine(-0.5), cosine(0.3), arc(-0.5), arc(0.3)}) {
      const double expected = by_loops(q, positives, negatives, margin, 0.2);
      EXPECT_NEAR(inter_image(q, positives, negatives, margin, 0.2).item<double>(), expected, 1e-6)
          << n << " " << margin.m;
      const auto single = inter_image(q.to(at::kFloat), positives.to(at::kFloat),
                                      negatives.to(at::kFloat), margin, 0.2);
      EXPECT_EQ(single.scalar_type(), at::kFloat);
      // A logit of 1.5 / 0.2 carries a few roundings, of the inputs too, and the arc a root.
      EXPECT_NEAR(single.item<double>(), expected, 1e-4);
    }
  }
}

TEST(InterImage, GrowsStrictlyWithTheMargin) {
  const auto q = normal_tensor({5, 6}, 4);
  const auto positives = unit_rows(normal_tensor({5, 6}, 5));
  const auto negatives = unit_negatives({5, 7, 6}, 6);
  // Random cosines of six dimensions stay between the ends of arcs of at most 0.3.
  ASSERT_LT((unit_rows(q) * positives).sum(1).abs().max().item<double>(), std::cos(0.3));
  for (const auto kind : {MarginKind::kCosine, MarginKind::kArc}) {
    double before = 0.0;
    for (const double m : {-0.3, -0.1, 0.0, 0.1, 0.3}) {
      const double loss =
          inter_image(q, positives, negatives, {.kind = kind, .m = m}, 0.2).item<double>();
      EXPECT_GT(loss, before) << m;
      before = loss;
    }
  }
}

TEST(InterImage, CreditsThePositiveWithTheCosineMargin) {
  const auto s = at::tensor({-1.0, -0.2, 0.0, 0.7, 1.0}, at::kDouble);
  EXPECT_TRUE(with_margin(s, cosine(-0.5)).allclose(s + 0.5, 0.0, 1e-15));
  EXPECT_TRUE(with_margin(s, cosine(0.25)).allclose(s - 0.25, 0.0, 1e-15));
}

TEST(InterImage, LeavesCosinesAloneWithoutMargin) {
  const auto s = at::tensor({-1.0, -0.2, 0.0, 0.7, 1.0}, at::kDouble);
  EXPECT_TRUE(with_margin(s, arc(0.0)).equal(s));
  EXPECT_TRUE(with_margin(s, cosine(0.0)).equal(s));
}

TEST(InterImage, TurnsTheAngleOfThePositive) {
  for (const double s : {-0.9, -0.3, 0.0, 0.4, 0.8}) {
    EXPECT_NEAR(arc_of(s, -0.5), std::cos(std::acos(s) - 0.5), 1e-9) << s;
  }
  for (const double s : {-0.8, -0.3, 0.0, 0.4, 0.9}) {
    EXPECT_NEAR(arc_of(s, 0.5), std::cos(std::acos(s) + 0.5), 1e-9) << s;
  }
  EXPECT_NEAR(arc_of(-1.0, -0.5), -0.878, 5e-4);
  EXPECT_NEAR(arc_of(1.0, -0.5), 1.240, 5e-4);
}

TEST(InterImage, JumpsByItsClosedFormWhereTheArcEnds) {
  constexpr double kNear = 1e-9;
  const std::vector<std::pair<double, double>> known{{0.5, 0.117}, {0.25, 0.031}};
  for (const auto& [m, rounded] : known) {
    const double jump = std::cos(m) + m * std::sin(m) - 1.0;
    EXPECT_NEAR(jump, rounded, 5e-4);
    const double end = std::cos(m);
    EXPECT_NEAR(arc_of(end + kNear, -m) - arc_of(end - kNear, -m), jump, 1e-6) << m;
    EXPECT_NEAR(arc_of(-end + kNear, m) - arc_of(-end - kNear, m), jump, 1e-6) << m;
  }
}

TEST(InterImage, HasTheGradientOfItsDifferences) {
  const auto positives = unit_rows(normal_tensor({3, 4}, 7));
  const auto negatives = unit_negatives({3, 5, 4}, 8);
  for (const auto& margin : {cosine(-0.5), arc(-0.3), arc(0.3)}) {
    const auto loss = [&](const at::Tensor& q) {
      return inter_image(q, positives, negatives, margin, 0.5);
    };
    expect_gradient_by_differences(loss, normal_tensor({3, 4}, 9));
  }
}

TEST(InterImage, HasAFiniteGradientAtTheEndsOfTheArc) {
  const auto row = at::eye(2, at::kFloat).narrow(0, 0, 1);
  for (const double sign : {-1.0, 1.0}) {
    for (const double m : {-0.5, 0.5}) {
      const auto q = row.clone().requires_grad_(true);
      inter_image(q, row * sign, row.unsqueeze(0), arc(m), 0.2).backward();
      EXPECT_TRUE(q.grad().isfinite().all().item<bool>()) << sign << " " << m;
    }
  }
}

TEST(InterImage, SendsNoGradientToTheBank) {
  const auto q = normal_tensor({3, 4}, 10).requires_grad_(true);
  const auto positives = unit_rows(normal_tensor({3, 4}, 11)).requires_grad_(true);
  const auto negatives = unit_negatives({3, 2, 4}, 12).requires_grad_(true);
  inter_image(q, positives, negatives, cosine(-0.5), 0.2).backward();
  EXPECT_TRUE(q.grad().defined());
  EXPECT_FALSE(positives.grad().defined());
  EXPECT_FALSE(negatives.grad().defined());
}

TEST(InterImage, KeepsFullPrecisionUnderAutocast) {
  const auto q = normal_tensor({4, 16}, 13, at::kFloat);
  const auto positives = unit_rows(normal_tensor({4, 16}, 14, at::kFloat));
  const auto negatives = unit_negatives({4, 9, 16}, 15).to(at::kFloat);
  const double expected = inter_image(q, positives, negatives, arc(-0.5), 0.2).item<double>();
  const Autocast autocast;
  EXPECT_EQ(inter_image(q, positives, negatives, arc(-0.5), 0.2).item<double>(), expected);
}

TEST(InterImage, RefusesWhatDoesNotFit) {
  const auto q = at::ones({3, 4});
  const auto negatives = at::ones({3, 2, 4});
  EXPECT_THROW((void)inter_image(q, at::ones({2, 4}), negatives, kNone, 0.2), ContractViolation);
  EXPECT_THROW((void)inter_image(q, q, q, kNone, 0.2), ContractViolation);
  EXPECT_THROW((void)inter_image(q, q, at::ones({2, 2, 4}), kNone, 0.2), ContractViolation);
  EXPECT_THROW((void)inter_image(q, q, at::ones({3, 0, 4}), kNone, 0.2), ContractViolation);
  EXPECT_THROW((void)inter_image(q, q, at::ones({3, 2, 5}), kNone, 0.2), ContractViolation);
  EXPECT_THROW((void)inter_image(q, q, negatives, kNone, 0.0), ContractViolation);
  EXPECT_THROW((void)inter_image(q, q, negatives, arc(3.2), 0.2), ContractViolation);
}

}  // namespace
}  // namespace viewfold
