// Tests of Barlow Twins and VICReg against closed forms and loops.
#include "viewfold/nn/losses/redundancy.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "nn/loss_checks.hpp"
#include "tensor/normal_tensor.hpp"
#include "tensor/processes.hpp"

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// Two dimensions of mean 0 and (biased) variance 1 that are uncorrelated.
at::Tensor square() {
  return at::tensor({1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0}, at::kDouble).view({4, 2});
}

// The same dimension twice, of mean 0 and variance 1.
at::Tensor line() {
  return square().narrow(1, 0, 1).repeat({1, 2});
}

// Of dimension i of a and dimension j of b: the sum of the products of their distances from their
// means.
double co_moment(const at::Tensor& a, std::int64_t i, const at::Tensor& b, std::int64_t j) {
  const auto x = a.accessor<double, 2>();
  const auto y = b.accessor<double, 2>();
  const auto n = static_cast<double>(a.size(0));
  double mean_x = 0.0;
  double mean_y = 0.0;
  for (std::int64_t k = 0; k < a.size(0); ++k) {
    mean_x += x[k][i] / n;
    mean_y += y[k][j] / n;
  }
  double sum = 0.0;
  for (std::int64_t k = 0; k < a.size(0); ++k) {
    sum += (x[k][i] - mean_x) * (y[k][j] - mean_y);
  }
  return sum;
}

struct BarlowTwinsTerms {
  double invariance = 0.0;
  double redundancy = 0.0;
};

// Barlow Twins' Eq. 1 and 2, pair by pair of dimensions.
BarlowTwinsTerms barlow_twins_by_loops(const at::Tensor& z0, const at::Tensor& z1) {
  const auto n = static_cast<double>(z0.size(0));
  const auto spread = [n](const at::Tensor& z, std::int64_t i) {
    return std::sqrt(co_moment(z, i, z, i) / n + 1e-5);
  };
  BarlowTwinsTerms terms;
  for (std::int64_t i = 0; i < z0.size(1); ++i) {
    for (std::int64_t j = 0; j < z0.size(1); ++j) {
      const double c = co_moment(z0, i, z1, j) / n / (spread(z0, i) * spread(z1, j));
      (i == j ? terms.invariance : terms.redundancy) += i == j ? (1.0 - c) * (1.0 - c) : c * c;
    }
  }
  return terms;
}

struct VicRegTerms {
  double invariance = 0.0;
  double variance = 0.0;
  double covariance = 0.0;
};

// VICReg's Eq. 1 to 5, element by element, with the means and halves of the authors' code.
VicRegTerms vicreg_by_loops(const at::Tensor& z0, const at::Tensor& z1) {
  const auto n = static_cast<double>(z0.size(0));
  const auto d = static_cast<double>(z0.size(1));
  VicRegTerms terms;
  for (std::int64_t i = 0; i < z0.size(1); ++i) {
    for (std::int64_t k = 0; k < z0.size(0); ++k) {
      const double distance = z0[k][i].item<double>() - z1[k][i].item<double>();
      terms.invariance += distance * distance / (n * d);
    }
    for (const auto& z : {z0, z1}) {
      const double var = co_moment(z, i, z, i) / (n - 1.0);
      terms.variance += std::max(0.0, 1.0 - std::sqrt(var + 1e-4)) / (2.0 * d);
      for (std::int64_t j = 0; j < z.size(1); ++j) {
        const double cov = co_moment(z, i, z, j) / (n - 1.0);
        terms.covariance += i == j ? 0.0 : cov * cov / d;
      }
    }
  }
  return terms;
}

double value(const at::Tensor& term) {
  return term.item<double>();
}

// Few images and many dimensions are summed up in another way than many and few.
struct Shape {
  std::int64_t n;
  std::int64_t d;
};
const std::vector<Shape> kShapes{{2, 7}, {3, 3}, {8, 7}, {8, 12}, {33, 7}};

TEST(BarlowTwins, IsZeroForTwoViewsThatAgreeInUncorrelatedDimensions) {
  EXPECT_NEAR(value(barlow_twins(square(), square(), 1.0).loss), 0.0, 1e-9);
  // Each of what makes it so: that they agree, and that the dimensions are uncorrelated.
  EXPECT_GT(value(barlow_twins(square(), square().flip(0), 1.0).loss), 1.0);
  EXPECT_GT(value(barlow_twins(line(), line(), 1.0).loss), 1.0);
}

TEST(BarlowTwins, HasItsClosedFormsAtItsCorners) {
  const auto z = square();
  const auto opposite = barlow_twins(z, -z, 0.1);  // C = -1
  EXPECT_NEAR(value(opposite.invariance), 2.0 * 4.0, 1e-3);
  EXPECT_NEAR(value(opposite.redundancy), 0.0, 1e-9);
  const auto twice = barlow_twins(line(), line(), 0.1);  // C is 1 everywhere
  EXPECT_NEAR(value(twice.invariance), 0.0, 1e-9);
  EXPECT_NEAR(value(twice.redundancy), 2.0, 1e-4);
  EXPECT_NEAR(value(twice.loss), 0.2, 1e-5);
  const auto swapped = barlow_twins(z, z.flip(1), 0.1);  // C is 1 off the diagonal only
  EXPECT_NEAR(value(swapped.invariance), 2.0, 1e-9);
  EXPECT_NEAR(value(swapped.redundancy), 2.0, 1e-4);
  EXPECT_NEAR(value(swapped.loss), 2.2, 1e-5);
}

TEST(BarlowTwins, IsTheNumberOfDimensionsForConstantOutputs) {
  const auto constant = at::full({6, 5}, 0.25, at::kDouble);
  EXPECT_NEAR(value(barlow_twins(constant, 3.0 * constant, 0.1).loss), 5.0, 1e-12);
  EXPECT_NEAR(value(barlow_twins(constant, normal_tensor({6, 5}, 1), 0.1).loss), 5.0, 1e-12);
}

TEST(BarlowTwins, EqualsLoops) {
  for (const auto& [n, d] : kShapes) {
    const auto z0 = normal_tensor({n, d}, 2);
    const auto z1 = z0 + 0.5 * normal_tensor({n, d}, 3);
    const auto expected = barlow_twins_by_loops(z0, z1);
    const auto terms = barlow_twins(z0, z1, 0.3);
    EXPECT_NEAR(value(terms.invariance), expected.invariance, 1e-10) << n << " x " << d;
    EXPECT_NEAR(value(terms.redundancy), expected.redundancy, 1e-10) << n << " x " << d;
    EXPECT_NEAR(value(terms.loss), expected.invariance + 0.3 * expected.redundancy, 1e-10);
    if (n >= 8) {  // the spread of fewer may be a small difference of large numbers
      // D^2 squares of at most 1, each with a few roundings.
      const double tolerance = 16.0 * kEps32 * static_cast<double>(d * d);
      const auto narrow = barlow_twins(z0.to(at::kFloat), z1.to(at::kFloat), 0.3);
      EXPECT_NEAR(value(narrow.loss), value(terms.loss), tolerance) << n << " x " << d;
    }
  }
}

TEST(BarlowTwins, DoesNotDependOnPlaceSpreadAndOrder) {
  const auto z0 = normal_tensor({9, 4}, 4);
  const auto z1 = z0 + normal_tensor({9, 4}, 5);
  const double expected = value(barlow_twins(z0, z1, 0.5).loss);
  EXPECT_NEAR(value(barlow_twins(z0 + 7.0, z1 - 3.0, 0.5).loss), expected, 1e-12);
  EXPECT_NEAR(value(barlow_twins(z0.flip(0), z1.flip(0), 0.5).loss), expected, 1e-12);
  EXPECT_NEAR(value(barlow_twins(z1, z0, 0.5).loss), expected, 1e-12);
  // Up to batch norm's epsilon.
  const auto spreads = at::arange(1, 5, at::kDouble).view({1, 4});
  EXPECT_NEAR(value(barlow_twins(z0 * spreads, z1 * 10.0, 0.5).loss), expected, 1e-3);
}

TEST(BarlowTwins, HasTheGradientOfItsDifferences) {
  for (const auto& [n, d] : std::vector<Shape>{{6, 3}, {5, 6}}) {
    const auto other = normal_tensor({n, d}, 6);
    const auto point = normal_tensor({n, d}, 7);
    expect_gradient_by_differences(
        [&](const at::Tensor& z) { return barlow_twins(z, other, 0.1).loss; }, point);
    expect_gradient_by_differences(
        [&](const at::Tensor& z) { return barlow_twins(other, z, 0.1).loss; }, point);
  }
}

TEST(BarlowTwins, StaysFiniteWithItsGradientForConstantOutputs) {
  const auto z = at::ones({4, 3}).requires_grad_(true);
  const auto loss = barlow_twins(z, z, 0.1).loss;
  loss.backward();
  EXPECT_TRUE(std::isfinite(value(loss)));
  EXPECT_TRUE(z.grad().isfinite().all().item<bool>());
}

TEST(BarlowTwins, KeepsFullPrecisionUnderAutocast) {
  const auto z0 = normal_tensor({16, 8}, 8, at::kFloat);
  const auto z1 = normal_tensor({16, 8}, 9, at::kFloat);
  const double expected = value(barlow_twins(z0, z1, 0.1).loss);
  const auto narrow0 = z0.to(at::kBFloat16);
  const auto narrow1 = z1.to(at::kBFloat16);
  const Autocast autocast;
  EXPECT_EQ(value(barlow_twins(z0, z1, 0.1).loss), expected);
  const auto loss = barlow_twins(narrow0, narrow1, 0.1).loss;
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_EQ(value(loss),
            value(barlow_twins(narrow0.to(at::kFloat), narrow1.to(at::kFloat), 0.1).loss));
}

TEST(BarlowTwins, RefusesUnequalShapesSingleImagesAndNegativeLambdas) {
  const auto z = normal_tensor({4, 3}, 10);
  EXPECT_THROW((void)barlow_twins(z, z.narrow(0, 0, 3), 0.1), ContractViolation);
  EXPECT_THROW((void)barlow_twins(z, z.narrow(1, 0, 2), 0.1), ContractViolation);
  EXPECT_THROW((void)barlow_twins(z[0], z[0], 0.1), ContractViolation);
  EXPECT_THROW((void)barlow_twins(z.narrow(0, 0, 1), z.narrow(0, 0, 1), 0.1), ContractViolation);
  EXPECT_THROW((void)barlow_twins(z, z, -0.1), ContractViolation);
  EXPECT_THROW((void)barlow_twins(z, z, std::numeric_limits<double>::quiet_NaN()),
               ContractViolation);
}

TEST(VicReg, IsZeroOnlyForViewsThatAgreeInSpreadUncorrelatedDimensions) {
  EXPECT_EQ(value(vicreg(square(), square()).loss), 0.0);
  // One of its three conditions broken at a time.
  const auto moved = vicreg(square(), square() + 0.1);
  EXPECT_NEAR(value(moved.loss), 25.0 * 0.01, 1e-12);
  const auto narrow = vicreg(0.3 * square(), 0.3 * square());
  EXPECT_NEAR(value(narrow.loss), 25.0 * (1.0 - std::sqrt(0.09 * 4.0 / 3.0 + 1e-4)), 1e-12);
  const auto twice = vicreg(line(), line());  // covariance 4/3 in both views
  EXPECT_NEAR(value(twice.loss), 2.0 * 16.0 / 9.0, 1e-12);
}

TEST(VicReg, StandsAt25Times099ForConstantOutputs) {
  const auto constant = at::full({6, 5}, 0.25, at::kDouble);
  const auto terms = vicreg(constant, constant);
  EXPECT_EQ(value(terms.invariance), 0.0);
  EXPECT_NEAR(value(terms.variance), 0.99, 1e-12);
  EXPECT_EQ(value(terms.covariance), 0.0);
  EXPECT_NEAR(value(terms.loss), 24.75, 1e-12);
}

// One constant view costs half of what two do; that of a spread dimension costs nothing, however
// large the spread.
TEST(VicReg, TakesTheMeanOverBothViewsOfWhatTheyLackInSpread) {
  const auto constant = at::zeros({4, 2}, at::kDouble);
  EXPECT_NEAR(value(vicreg(square(), constant).variance), 0.495, 1e-12);
  EXPECT_NEAR(value(vicreg(constant, 9.0 * square()).variance), 0.495, 1e-12);
  const auto half = at::cat({square().narrow(1, 0, 1), constant.narrow(1, 0, 1)}, 1);
  EXPECT_NEAR(value(vicreg(half, half).variance), 0.495, 1e-12);
}

TEST(VicReg, EqualsLoops) {
  for (const auto& [n, d] : kShapes) {
    const auto z0 = 0.9 * normal_tensor({n, d}, 11);
    const auto z1 = z0 + 0.5 * normal_tensor({n, d}, 12);
    const auto expected = vicreg_by_loops(z0, z1);
    const auto terms = vicreg(z0, z1);
    EXPECT_NEAR(value(terms.invariance), expected.invariance, 1e-12) << n << " x " << d;
    EXPECT_NEAR(value(terms.variance), expected.variance, 1e-12) << n << " x " << d;
    EXPECT_NEAR(value(terms.covariance), expected.covariance, 1e-11) << n << " x " << d;
    const double loss = 25.0 * expected.invariance + 25.0 * expected.variance + expected.covariance;
    EXPECT_NEAR(value(terms.loss), loss, 1e-10) << n << " x " << d;
    // Weights of 25 and squares of a few, each with a few roundings.
    EXPECT_NEAR(value(vicreg(z0.to(at::kFloat), z1.to(at::kFloat)).loss), loss,
                32.0 * kEps32 * (25.0 + loss))
        << n << " x " << d;
  }
}

TEST(VicReg, WeighsItsTerms) {
  const auto z0 = 0.5 * normal_tensor({6, 4}, 13);
  const auto z1 = 0.5 * normal_tensor({6, 4}, 14);
  const auto terms = vicreg(z0, z1);
  const auto loss = [&](const VicRegWeights& weights) {
    return value(vicreg(z0, z1, weights).loss);
  };
  EXPECT_NEAR(loss({.invariance = 1, .variance = 0, .covariance = 0}), value(terms.invariance),
              1e-15);
  EXPECT_NEAR(loss({.invariance = 0, .variance = 2, .covariance = 0}), 2.0 * value(terms.variance),
              1e-15);
  EXPECT_NEAR(loss({.invariance = 0, .variance = 0, .covariance = 3}),
              3.0 * value(terms.covariance), 1e-15);
  EXPECT_GT(value(terms.variance), 0.01);
  EXPECT_GT(value(terms.covariance), 0.001);
}

TEST(VicReg, DoesNotDependOnTheOrderOfImagesAndViews) {
  const auto z0 = normal_tensor({7, 4}, 15);
  const auto z1 = 0.5 * normal_tensor({7, 4}, 16);
  const double expected = value(vicreg(z0, z1).loss);
  EXPECT_NEAR(value(vicreg(z1, z0).loss), expected, 1e-12);
  EXPECT_NEAR(value(vicreg(z0.flip(0), z1.flip(0)).loss), expected, 1e-12);
  EXPECT_NEAR(value(vicreg(z0 + 3.0, z1 + 3.0).loss), expected, 1e-11);
}

// Spreads of 0.2 and 3 lie on both sides of the hinge's corner.
TEST(VicReg, HasTheGradientOfItsDifferences) {
  for (const auto& [n, d] : std::vector<Shape>{{6, 3}, {4, 5}}) {
    const auto other = 0.2 * normal_tensor({n, d}, 17);
    const VicRegWeights weights{.invariance = 1.0, .variance = 1.0, .covariance = 0.1};
    for (const double spread : {0.2, 3.0}) {
      const auto point = spread * normal_tensor({n, d}, 18);
      expect_gradient_by_differences(
          [&](const at::Tensor& z) { return vicreg(z, other, weights).loss; }, point);
      expect_gradient_by_differences(
          [&](const at::Tensor& z) { return vicreg(other, z, weights).loss; }, point);
    }
  }
}

TEST(VicReg, StaysFiniteWithItsGradientForConstantOutputs) {
  const auto z = at::ones({4, 3}).requires_grad_(true);
  const auto loss = vicreg(z, z).loss;
  loss.backward();
  EXPECT_TRUE(std::isfinite(value(loss)));
  EXPECT_TRUE(z.grad().isfinite().all().item<bool>());
}

TEST(VicReg, KeepsFullPrecisionUnderAutocast) {
  const auto z0 = 0.5 * normal_tensor({16, 8}, 19, at::kFloat);
  const auto z1 = 0.5 * normal_tensor({16, 8}, 20, at::kFloat);
  const double expected = value(vicreg(z0, z1).loss);
  const auto narrow0 = z0.to(at::kBFloat16);
  const auto narrow1 = z1.to(at::kBFloat16);
  const Autocast autocast;
  EXPECT_EQ(value(vicreg(z0, z1).loss), expected);
  const auto loss = vicreg(narrow0, narrow1).loss;
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_EQ(value(loss), value(vicreg(narrow0.to(at::kFloat), narrow1.to(at::kFloat)).loss));
}

TEST(VicReg, RefusesUnequalShapesAndSingleImages) {
  const auto z = normal_tensor({4, 3}, 21);
  EXPECT_THROW((void)vicreg(z, z.narrow(0, 0, 3)), ContractViolation);
  EXPECT_THROW((void)vicreg(z, z.narrow(1, 0, 2)), ContractViolation);
  EXPECT_THROW((void)vicreg(z[0], z[0]), ContractViolation);
  EXPECT_THROW((void)vicreg(z.narrow(0, 0, 1), z.narrow(0, 0, 1)), ContractViolation);
}

// One process has rows [rank * n, rank * n + n) of a batch whose loss is known. Every process
// computes the loss of all rows, so the gradient of a row is their number times what it is in one:
// the mean over the processes, which is taken of parameters, is right.
void expect_the_loss_of_the_whole_batch(
    const Communicator& processes,
    std::int64_t n,
    const std::function<at::Tensor(const at::Tensor&, const at::Tensor&, const Communicator&)>&
        loss_of) {
  const auto z0 = 0.7 * normal_tensor({n * processes.size(), 3}, 22);
  const auto z1 = z0 + 0.5 * normal_tensor({n * processes.size(), 3}, 23);
  const auto whole = z0.clone().requires_grad_(true);
  const auto expected = loss_of(whole, z1, {});
  expected.backward();
  const auto here = [&](const at::Tensor& z) {
    return z.narrow(0, processes.rank() * n, n).clone();
  };
  const auto own = here(z0).requires_grad_(true);
  const auto loss = loss_of(own, here(z1), processes);
  loss.backward();
  EXPECT_NEAR(value(loss), value(expected), 1e-12);
  EXPECT_TRUE(own.grad().allclose(here(whole.grad()) * processes.size(), 1e-10, 1e-12));
}

TEST(BarlowTwins, IsThatOfTheWholeBatchInEveryProcess) {
  testing::in_joined_processes(2, [](const Communicator& processes) {
    for (const std::int64_t n : {1, 5}) {
      expect_the_loss_of_the_whole_batch(
          processes, n, [](const at::Tensor& z0, const at::Tensor& z1, const Communicator& all) {
            return barlow_twins(z0, z1, 0.1, all).loss;
          });
    }
  });
}

TEST(VicReg, IsThatOfTheWholeBatchInEveryProcess) {
  testing::in_joined_processes(2, [](const Communicator& processes) {
    for (const std::int64_t n : {1, 5}) {
      expect_the_loss_of_the_whole_batch(
          processes, n, [](const at::Tensor& z0, const at::Tensor& z1, const Communicator& all) {
            return vicreg(z0, z1, {}, all).loss;
          });
    }
  });
}

}  // namespace
}  // namespace viewfold
