// Tests of ReLIC's loss against closed forms and loops, and of the draw of its negatives.
#include "viewfold/nn/losses/relic.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "nn/loss_checks.hpp"
#include "tensor/normal_tensor.hpp"

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/info_nce.hpp"

namespace viewfold {
namespace {

RelicRows whole(const at::Tensor& o, const at::Tensor& t) {
  return {.online = o, .target = t, .all_online = o, .all_targets = t};
}

RelicRows part(const at::Tensor& o, const at::Tensor& t, std::int64_t first, std::int64_t n) {
  return {.online = o.narrow(0, first, n),
          .target = t.narrow(0, first, n),
          .all_online = o,
          .all_targets = t};
}

at::Tensor negatives_of(std::int64_t batch, std::int64_t count, std::uint64_t seed = 1) {
  torch::manual_seed(seed);
  return draw_negatives(batch, count);
}

double nll(const RelicRows& rows, const at::Tensor& negatives, double temperature) {
  return relic(rows, negatives, temperature, RelicStop::kEntropy).nll.item<double>();
}

double kl(const RelicRows& rows,
          const at::Tensor& negatives,
          double temperature,
          RelicStop stop = RelicStop::kEntropy) {
  return relic(rows, negatives, temperature, stop).kl.item<double>();
}

// Logarithms of the softmax of image i over its candidates: itself, then its negatives.
std::vector<double> log_shares(const std::vector<double>& logits) {
  double sum = 0.0;
  for (const double logit : logits) {
    sum += std::exp(logit);
  }
  std::vector<double> shares;
  shares.reserve(logits.size());
  for (const double logit : logits) {
    shares.push_back(logit - std::log(sum));
  }
  return shares;
}

struct LogShares {
  std::vector<double> p;
  std::vector<double> q;
};

LogShares log_shares_of(const RelicRows& rows,
                        std::int64_t i,
                        const at::Tensor& negatives,
                        double temperature) {
  const double own = cosine_of_rows(rows.online, i, rows.target, i) / temperature;
  std::vector<double> p{own};
  std::vector<double> q{own};
  for (std::int64_t k = 0; k < negatives.size(1); ++k) {
    const auto other = negatives[i][k].item<std::int64_t>();
    p.push_back(cosine_of_rows(rows.online, i, rows.all_targets, other) / temperature);
    q.push_back(cosine_of_rows(rows.all_online, other, rows.target, i) / temperature);
  }
  return {log_shares(p), log_shares(q)};
}

// Of ln P of `rows_p` and ln Q of `rows_q`, image by image.
double cross_entropy_by_loops(const RelicRows& rows_p,
                              const RelicRows& rows_q,
                              const at::Tensor& negatives,
                              double temperature) {
  const auto n = negatives.size(0);
  double sum = 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto p = log_shares_of(rows_p, i, negatives, temperature).p;
    const auto q = log_shares_of(rows_q, i, negatives, temperature).q;
    for (std::size_t k = 0; k < p.size(); ++k) {
      sum -= std::exp(p[k]) * q[k];
    }
  }
  return sum / static_cast<double>(n);
}

void expect_loops(const RelicRows& rows,
                  const at::Tensor& negatives,
                  double temperature,
                  double tolerance) {
  const auto n = negatives.size(0);
  double expected_nll = 0.0;
  double expected_kl = 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto [p, q] = log_shares_of(rows, i, negatives, temperature);
    expected_nll -= p[0] / static_cast<double>(n);
    for (std::size_t k = 0; k < p.size(); ++k) {
      expected_kl += std::exp(p[k]) * (p[k] - q[k]) / static_cast<double>(n);
    }
  }
  EXPECT_NEAR(nll(rows, negatives, temperature), expected_nll, tolerance);
  EXPECT_NEAR(kl(rows, negatives, temperature), expected_kl, tolerance);
}

TEST(Relic, IsTheLogOfTheCandidatesWhenAllLogitsAreZero) {
  const auto e = at::eye(2, at::kDouble);
  const auto rows = whole(e[0].repeat({33, 1}), e[1].repeat({33, 1}));
  for (const std::int64_t count : {1, 10, 31}) {
    const auto negatives = negatives_of(33, count);
    EXPECT_NEAR(nll(rows, negatives, 0.2), std::log(1.0 + static_cast<double>(count)), 1e-12);
    EXPECT_NEAR(kl(rows, negatives, 0.2), 0.0, 1e-12);
  }
  EXPECT_NEAR(nll(rows, negatives_of(33, 10), 0.2), 2.397895, 1e-6);
  EXPECT_NEAR(nll(rows, negatives_of(33, 1000), 0.2), std::log(33.0), 1e-12);
}

TEST(Relic, IsZeroForOneImage) {
  const auto rows = whole(normal_tensor({1, 4}, 1), normal_tensor({1, 4}, 2));
  EXPECT_NEAR(nll(rows, negatives_of(1, 10), 0.2), 0.0, 1e-15);
  EXPECT_NEAR(kl(rows, negatives_of(1, 10), 0.2), 0.0, 1e-15);
}

TEST(Relic, FindsNoDifferenceBetweenTheSidesOfSymmetricLogits) {
  const auto o = normal_tensor({9, 5}, 3);
  const auto negatives = negatives_of(9, 4);
  EXPECT_NEAR(kl(whole(o, o), negatives, 0.1), 0.0, 1e-12);
  // t = S o with a reflection S: Z_ik = o_i S o_k = Z_ki, and both views differ.
  const auto normal = normal_tensor({5, 1}, 4);
  const auto reflection =
      at::eye(5, at::kDouble) - 2.0 * normal.mm(normal.t()) / normal.square().sum();
  const auto t = o.mm(reflection);
  EXPECT_GT(nll(whole(o, t), negatives, 0.1), 0.1);
  EXPECT_NEAR(kl(whole(o, t), negatives, 0.1), 0.0, 1e-12);
}

TEST(Relic, EqualsLoopsForAllAndForSomeNegatives) {
  for (const std::int64_t n : {2, 3, 8}) {
    const auto o = normal_tensor({n, 5}, 5);
    const auto t = o + 0.5 * normal_tensor({n, 5}, 6);
    for (const std::int64_t count : {std::int64_t{1}, n - 1}) {
      const auto negatives = negatives_of(n, count);
      expect_loops(whole(o, t), negatives, 0.3, 1e-12);
      // A logit of 1 / 0.3 carries a few roundings, which KL weighs twice.
      expect_loops(whole(o.to(at::kFloat), t.to(at::kFloat)), negatives, 0.3, 64.0 * kEps32 / 0.3);
    }
  }
}

TEST(Relic, IsTheMeanOfThePartsOfABatch) {
  const auto o = normal_tensor({8, 5}, 7);
  const auto t = normal_tensor({8, 5}, 8);
  const auto negatives = negatives_of(8, 3);
  double sum_nll = 0.0;
  double sum_kl = 0.0;
  for (const std::int64_t first : {0, 4}) {
    const auto own = negatives.narrow(0, first, 4);
    expect_loops(part(o, t, first, 4), own, 0.2, 1e-12);
    sum_nll += nll(part(o, t, first, 4), own, 0.2);
    sum_kl += kl(part(o, t, first, 4), own, 0.2);
  }
  EXPECT_NEAR(nll(whole(o, t), negatives, 0.2), sum_nll / 2.0, 1e-12);
  EXPECT_NEAR(kl(whole(o, t), negatives, 0.2), sum_kl / 2.0, 1e-12);
}

TEST(Relic, IsInfoNceWithAllNegatives) {
  const auto t = normal_tensor({6, 4}, 9);
  const auto a = normal_tensor({6, 4}, 10).requires_grad_(true);
  const auto b = a.detach().clone().requires_grad_(true);
  const auto one = relic(whole(a, t), negatives_of(6, 5), 0.2, RelicStop::kEntropy).nll;
  const auto other = info_nce(b, t, 0.2);
  EXPECT_NEAR(one.item<double>(), other.item<double>(), 1e-12);
  one.backward();
  other.backward();
  EXPECT_TRUE(a.grad().allclose(b.grad(), 0.0, 1e-12));
}

TEST(Relic, HasAnInvarianceTermThatIsNeverNegative) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto rows = whole(normal_tensor({7, 3}, 2 * seed), normal_tensor({7, 3}, 2 * seed + 1));
    EXPECT_GT(kl(rows, negatives_of(7, 3, seed), 0.1), 0.0) << seed;
  }
}

TEST(Relic, HasTheGradientOfItsDifferencesInTheContrastiveTerm) {
  const auto t = normal_tensor({4, 3}, 11);
  const auto negatives = negatives_of(4, 2);
  expect_gradient_by_differences(
      [&](const at::Tensor& o) {
        return relic(whole(o, t), negatives, 0.5, RelicStop::kEntropy).nll;
      },
      normal_tensor({4, 3}, 12));
}

// Differences of the cross entropy of P and Q, in which what is stopped stays where it is.
TEST(Relic, StopsTheGradientOfTheEntropyOrOfTheWholeDistribution) {
  constexpr double kStep = 1e-5;
  const auto t = normal_tensor({4, 3}, 13);
  const auto point = normal_tensor({4, 3}, 14);
  const auto negatives = negatives_of(4, 2);
  const auto gradient = [&](RelicStop stop) {
    const auto leaf = point.clone().requires_grad_(true);
    relic(whole(leaf, t), negatives, 0.5, stop).kl.backward();
    return leaf.grad().view({-1}).clone();
  };
  const auto of_entropy = gradient(RelicStop::kEntropy);
  const auto of_distribution = gradient(RelicStop::kDistribution);
  for (std::int64_t i = 0; i < point.numel(); ++i) {
    const auto moved = [&](double by) {
      auto o = point.clone();
      o.view({-1})[i] += by;
      return whole(o, t);
    };
    const auto difference = [&](bool moves_p) {
      const auto value = [&](double by) {
        return cross_entropy_by_loops(moved(moves_p ? by : 0.0), moved(by), negatives, 0.5);
      };
      return (value(kStep) - value(-kStep)) / (2.0 * kStep);
    };
    EXPECT_NEAR(of_entropy[i].item<double>(), difference(true), 1e-8) << i;
    EXPECT_NEAR(of_distribution[i].item<double>(), difference(false), 1e-8) << i;
  }
  EXPECT_GT((of_entropy - of_distribution).norm().item<double>(), 1e-3);
  EXPECT_EQ(kl(whole(point, t), negatives, 0.5, RelicStop::kEntropy),
            kl(whole(point, t), negatives, 0.5, RelicStop::kDistribution));
}

TEST(Relic, SendsGradientsToAllOnlineRowsAndToNoTarget) {
  const auto leaf = [](std::int64_t n, std::uint64_t seed) {
    return normal_tensor({n, 3}, seed).requires_grad_(true);
  };
  const RelicRows rows{.online = leaf(2, 15),
                       .target = leaf(2, 16),
                       .all_online = leaf(4, 17),
                       .all_targets = leaf(4, 18)};
  const auto terms = relic(rows, negatives_of(4, 3).narrow(0, 0, 2), 0.5, RelicStop::kEntropy);
  terms.nll.add(terms.kl).backward();
  EXPECT_GT(rows.online.grad().norm().item<double>(), 1e-3);
  EXPECT_GT(rows.all_online.grad().norm().item<double>(), 1e-3);
  EXPECT_FALSE(rows.target.grad().defined());
  EXPECT_FALSE(rows.all_targets.grad().defined());
}

TEST(Relic, DoesNotDependOnLengthsOrOnTheOrderOfNegatives) {
  const auto o = normal_tensor({6, 4}, 19);
  const auto t = normal_tensor({6, 4}, 20);
  const auto negatives = negatives_of(6, 3);
  const auto scaled = whole(o * at::arange(1, 7, at::kDouble).view({6, 1}), t * 1e-3);
  EXPECT_NEAR(nll(scaled, negatives, 0.2), nll(whole(o, t), negatives, 0.2), 1e-12);
  EXPECT_NEAR(kl(scaled, negatives, 0.2), kl(whole(o, t), negatives, 0.2), 1e-12);
  EXPECT_NEAR(kl(whole(o, t), negatives.flip(1), 0.2), kl(whole(o, t), negatives, 0.2), 1e-12);
}

TEST(Relic, StaysFiniteForZeroRowsAndTinyTemperatures) {
  auto z = normal_tensor({4, 3}, 21, at::kFloat);
  z[1].zero_();
  const auto leaf = z.clone().requires_grad_(true);
  const auto terms = relic(whole(leaf, z.flip(0)), negatives_of(4, 2), 1e-3, RelicStop::kEntropy);
  terms.nll.add(terms.kl).backward();
  EXPECT_TRUE(terms.nll.isfinite().item<bool>());
  EXPECT_TRUE(terms.kl.isfinite().item<bool>());
  EXPECT_TRUE(leaf.grad().isfinite().all().item<bool>());
}

TEST(Relic, KeepsFullPrecisionUnderAutocast) {
  const auto o = normal_tensor({8, 16}, 22, at::kFloat);
  const auto t = normal_tensor({8, 16}, 23, at::kFloat);
  const auto negatives = negatives_of(8, 4);
  const double expected_nll = nll(whole(o, t), negatives, 0.1);
  const double expected_kl = kl(whole(o, t), negatives, 0.1);
  const Autocast autocast;
  EXPECT_EQ(nll(whole(o, t), negatives, 0.1), expected_nll);
  EXPECT_EQ(kl(whole(o, t), negatives, 0.1), expected_kl);
  const auto narrow = [](const at::Tensor& rows) { return rows.to(at::kBFloat16); };
  const auto terms = relic(whole(narrow(o), narrow(t)), negatives, 0.1, RelicStop::kEntropy);
  EXPECT_EQ(terms.nll.scalar_type(), at::kFloat);
  EXPECT_EQ(terms.kl.scalar_type(), at::kFloat);
}

TEST(Relic, RefusesWhatDoesNotFit) {
  const auto z = at::ones({4, 3});
  const auto negatives = negatives_of(4, 2);
  const auto value = [](const RelicRows& rows, const at::Tensor& others, double temperature) {
    (void)relic(rows, others, temperature, RelicStop::kEntropy);
  };
  EXPECT_NO_THROW(value(whole(z, z), negatives, 0.2));
  EXPECT_THROW(value(whole(z, at::ones({3, 3})), negatives, 0.2), ContractViolation);
  EXPECT_THROW(value({z, z, at::ones({4, 2}), at::ones({4, 2})}, negatives, 0.2),
               ContractViolation);
  EXPECT_THROW(value({z, z, z, at::ones({5, 3})}, negatives, 0.2), ContractViolation);
  EXPECT_THROW(value(whole(z, z), negatives.narrow(0, 0, 3), 0.2), ContractViolation);
  EXPECT_THROW(value(whole(z, z), negatives.to(at::kFloat), 0.2), ContractViolation);
  EXPECT_THROW(value(whole(z, z), negatives, 0.0), ContractViolation);
}

TEST(DrawNegatives, DrawsOthersWithoutRepeating) {
  for (const std::int64_t count : {1, 4, 7, 8, 100}) {
    const auto drawn = negatives_of(9, count);
    const auto expected = std::min<std::int64_t>(count, 8);
    ASSERT_EQ(drawn.sizes(), (std::vector<std::int64_t>{9, expected}));
    for (std::int64_t i = 0; i < 9; ++i) {
      std::set<std::int64_t> seen;
      for (std::int64_t k = 0; k < expected; ++k) {
        const auto other = drawn[i][k].item<std::int64_t>();
        EXPECT_TRUE(other >= 0 && other < 9 && other != i) << other << " of " << i;
        EXPECT_TRUE(seen.insert(other).second) << other << " twice for " << i;
      }
    }
  }
}

TEST(DrawNegatives, DrawsAllOthersEquallyOften) {
  constexpr int kDraws = 3000;
  torch::manual_seed(1);
  auto counts = at::zeros({6, 6});
  for (int draw = 0; draw < kDraws; ++draw) {
    counts.scatter_add_(1, draw_negatives(6, 2), at::ones({6, 2}));
  }
  // 2 of 5 others: 1200 times each, with a standard deviation of 27.
  const auto expected = at::full({6, 6}, kDraws * 2.0 / 5.0).fill_diagonal_(0.0);
  EXPECT_LT((counts - expected).abs().max().item<double>(), 150.0);
}

TEST(DrawNegatives, LeavesTheGeneratorAloneWhereNothingIsLeftToChance) {
  torch::manual_seed(1);
  const auto expected = at::rand({1});
  torch::manual_seed(1);
  (void)draw_negatives(5, 4);
  EXPECT_TRUE(at::rand({1}).equal(expected));
}

TEST(DrawNegatives, RefusesAnEmptyBatchAndNoNegatives) {
  EXPECT_THROW((void)draw_negatives(0, 1), ContractViolation);
  EXPECT_THROW((void)draw_negatives(4, 0), ContractViolation);
}

}  // namespace
}  // namespace viewfold
