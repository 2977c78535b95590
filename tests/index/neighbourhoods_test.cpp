// Tests of the neighbourhoods of a data set.
#include "viewfold/index/neighbourhoods.hpp"

#include <set>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

at::Tensor on_circle(const std::vector<double>& degrees) {
  const auto angle = at::tensor(degrees, at::kDouble) * (3.14159265358979323846 / 180.0);
  return at::stack({angle.cos(), angle.sin()}, 1).to(at::kFloat).contiguous();
}

std::vector<std::int64_t> row(const at::Tensor& index, std::int64_t i) {
  const auto values = index[i].contiguous();
  return {values.data_ptr<std::int64_t>(), values.data_ptr<std::int64_t>() + values.size(0)};
}

// Distances in order are the same by cosine and by L2 on unit vectors.
TEST(Neighbourhoods, AreThoseOfFiveVectorsOnACircle) {
  const auto found = find_neighbourhoods(on_circle({0, 10, 25, 90, 100}), 2);
  EXPECT_EQ(row(found.index, 0), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(row(found.index, 1), (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(row(found.index, 2), (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(row(found.index, 3), (std::vector<std::int64_t>{4, 2}));
  EXPECT_EQ(row(found.index, 4), (std::vector<std::int64_t>{3, 2}));
  EXPECT_NEAR(found.similarity[0][0].item<double>(), std::cos(10 * 3.14159265 / 180), 1e-6);
  EXPECT_EQ(found.recall, 1.0);
}

TEST(Neighbourhoods, LeaveTheRowItselfOutEvenAmongItsEquals) {
  const auto found = find_neighbourhoods(on_circle({0, 0, 0, 0, 90}), 2);
  for (std::int64_t i = 0; i < 5; ++i) {
    const auto neighbours = row(found.index, i);
    EXPECT_EQ(std::set(neighbours.begin(), neighbours.end()).size(), 2U) << i;
    EXPECT_EQ(std::count(neighbours.begin(), neighbours.end(), i), 0) << i;
  }
}

TEST(Neighbourhoods, RefuseMoreNeighboursThanThereAreOthers) {
  EXPECT_THROW((void)find_neighbourhoods(on_circle({0, 10, 20}), 3), ContractViolation);
  EXPECT_THROW((void)find_neighbourhoods(on_circle({0, 10, 20}), 0), ContractViolation);
}

TEST(Neighbourhoods, ComeFromAGraphThatFindsNearlyAll) {
  torch::manual_seed(1);
  const auto features = at::randn({3000, 16});
  const auto exact = find_neighbourhoods(features, 10);
  const auto graph = find_neighbourhoods(features, 10, {.exact_up_to = 100});
  const auto same = (exact.index.unsqueeze(2) == graph.index.unsqueeze(1)).any(2);
  const double recall = same.to(at::kDouble).mean().item<double>();
  EXPECT_GT(recall, 0.95);
  EXPECT_NEAR(graph.recall, recall, 0.02);
  EXPECT_EQ((graph.index == at::arange(3000, at::kLong).unsqueeze(1)).sum().item<std::int64_t>(),
            0);
}

TEST(Neighbourhoods, AreMutualWhereBothCountEachOther) {
  // 2 counts 1 and 0 among its two, 3 counts 4 and 2; nobody but 4 counts 3.
  const auto found = find_neighbourhoods(on_circle({0, 10, 25, 90, 100}), 2);
  const auto mutual = mutual_neighbours(found.index);
  EXPECT_TRUE(mutual[0].all().item<bool>());
  EXPECT_TRUE(mutual[3][0].item<bool>());
  EXPECT_FALSE(mutual[3][1].item<bool>());
  const auto confidence = manifold_confidence(found);
  EXPECT_NEAR(confidence[3].item<double>(), std::cos(10 * 3.14159265 / 180) / 2, 1e-6);
  EXPECT_GT(confidence[0].item<double>(), 0.9);
}

TEST(Neighbourhoods, HaveThePurityOfTheirLabels) {
  const auto found = find_neighbourhoods(on_circle({0, 10, 25, 90, 100}), 2);
  const auto purity = neighbour_purity(found.index, at::tensor({0, 0, 1, 1, 1}, at::kLong));
  EXPECT_NEAR(purity[0].item<double>(), 4.0 / 5, 1e-12);  // 2's nearest is 1
  EXPECT_NEAR(purity[1].item<double>(), (1 + 1 + 0 + 2 + 2) / 10.0, 1e-12);
}

}  // namespace
}  // namespace viewfold
