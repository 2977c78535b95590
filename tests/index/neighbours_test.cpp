// Tests of exact nearest neighbours.
#include "viewfold/index/neighbours.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"

namespace viewfold {
namespace {

at::Tensor normal_matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Rng rng({.seed = seed, .stream = "test"});
  auto out = at::empty({rows, columns}, at::kFloat);
  auto* data = out.data_ptr<float>();
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    data[i] = static_cast<float>(rng.normal());
  }
  return out;
}

double cosine(const at::Tensor& a, const at::Tensor& b) {
  double dot = 0.0;
  double a2 = 0.0;
  double b2 = 0.0;
  for (std::int64_t i = 0; i < a.size(0); ++i) {
    const double x = a.data_ptr<float>()[i];
    const double y = b.data_ptr<float>()[i];
    dot += x * y;
    a2 += x * x;
    b2 += y * y;
  }
  return dot / std::sqrt(a2 * b2);
}

// Compares with all pairs, in double precision.
void expect_nearest(const at::Tensor& bank, const at::Tensor& queries, std::int64_t k) {
  const auto found = nearest_by_cosine(bank, queries, k);
  ASSERT_EQ(found.index.sizes(), (std::vector<std::int64_t>{queries.size(0), k}));
  for (std::int64_t q = 0; q < queries.size(0); ++q) {
    std::vector<double> expected;
    for (std::int64_t m = 0; m < bank.size(0); ++m) {
      expected.push_back(cosine(queries[q], bank[m]));
    }
    const auto by_row = expected;
    std::sort(expected.rbegin(), expected.rend());
    for (std::int64_t i = 0; i < k; ++i) {
      const auto row = found.index[q][i].item<std::int64_t>();
      const double similarity = found.similarity[q][i].item<double>();
      ASSERT_NEAR(similarity, expected[static_cast<std::size_t>(i)], 1e-5);
      ASSERT_NEAR(similarity, by_row[static_cast<std::size_t>(row)], 1e-5);
    }
  }
}

TEST(NearestByCosine, FindsWhatAllPairsFind) {
  // 19 / 20 queries and k 99 / 100 are where faiss changes its algorithm.
  for (const std::int64_t queries : {1, 19, 20, 33}) {
    for (const std::int64_t k : {1, 5, 99, 100, 130}) {
      SCOPED_TRACE(testing::Message() << queries << " queries, k " << k);
      expect_nearest(normal_matrix(130, 7, 1), normal_matrix(queries, 7, 2), k);
    }
  }
}

TEST(NearestByCosine, FindsEveryRowItselfAcrossChunks) {
  const auto bank = normal_matrix(9001, 16, 3);
  const auto found = nearest_by_cosine(bank, bank, 3);
  EXPECT_TRUE(found.index.select(1, 0).equal(at::arange(9001)));
  EXPECT_LT((found.similarity.select(1, 0) - 1.0).abs().max().item<double>(), 1e-5);
}

TEST(NearestByCosine, IgnoresTheLengthOfRows) {
  const auto bank = normal_matrix(50, 4, 4);
  const auto queries = normal_matrix(30, 4, 5);
  const auto plain = nearest_by_cosine(bank, queries, 6);
  const auto scaled = nearest_by_cosine(bank * 1000.0, queries * 0.001, 6);
  EXPECT_TRUE(plain.index.equal(scaled.index));
}

TEST(NearestByCosine, LeavesItsInputsAlone) {
  const auto bank = normal_matrix(20, 4, 6);
  const auto queries = normal_matrix(20, 4, 7);
  const auto bank_before = bank.clone();
  const auto queries_before = queries.clone();
  (void)nearest_by_cosine(bank, queries, 2);
  EXPECT_TRUE(bank.equal(bank_before));
  EXPECT_TRUE(queries.equal(queries_before));
}

TEST(NearestByCosine, OrdersEqualRowsByIndex) {
  const auto bank = at::ones({8, 3}, at::kFloat);
  const auto found = nearest_by_cosine(bank, normal_matrix(25, 3, 8), 8);
  EXPECT_TRUE(found.index.equal(at::arange(8).repeat({25, 1})));
}

TEST(NearestByCosine, GivesTheSameBitsAgain) {
  const auto bank = normal_matrix(500, 3, 9).round();  // many ties
  const auto queries = normal_matrix(200, 3, 10).round();
  const auto first = nearest_by_cosine(bank, queries, 20);
  const auto second = nearest_by_cosine(bank, queries, 20);
  EXPECT_TRUE(first.index.equal(second.index));
  EXPECT_TRUE(first.similarity.equal(second.similarity));
}

TEST(NearestByCosine, GivesARowOfZerosSimilarityZero) {
  const auto found = nearest_by_cosine(at::eye(3), at::zeros({1, 3}), 3);
  EXPECT_TRUE(found.similarity.equal(at::zeros({1, 3})));
}

TEST(NearestByCosine, AcceptsColumnMajorInput) {
  const auto bank = normal_matrix(6, 40, 11).t();
  const auto queries = normal_matrix(6, 25, 12).t();
  EXPECT_TRUE(
      nearest_by_cosine(bank, queries, 4)
          .index.equal(nearest_by_cosine(bank.contiguous(), queries.contiguous(), 4).index));
}

TEST(NearestByCosine, RefusesWhatDoesNotFit) {
  const auto bank = normal_matrix(5, 3, 13);
  EXPECT_THROW((void)nearest_by_cosine(bank, bank, 0), ContractViolation);
  EXPECT_THROW((void)nearest_by_cosine(bank, bank, 6), ContractViolation);
  EXPECT_THROW((void)nearest_by_cosine(bank, normal_matrix(5, 4, 14), 1), ContractViolation);
  EXPECT_THROW((void)nearest_by_cosine(bank, bank.to(at::kDouble), 1), ContractViolation);
  EXPECT_THROW((void)nearest_by_cosine(bank, bank[0], 1), ContractViolation);
  auto broken = bank.clone();
  broken[2][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW((void)nearest_by_cosine(broken, bank, 1), ContractViolation);
  EXPECT_EQ(nearest_by_cosine(bank, bank.narrow(0, 0, 0), 2).index.size(0), 0);
}

}  // namespace
}  // namespace viewfold
