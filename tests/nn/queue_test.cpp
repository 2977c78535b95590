// Tests of the queue of keys and of the momentum copy.
#include "viewfold/nn/queue.hpp"

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/momentum.hpp"

namespace viewfold {
namespace {

TEST(KeyQueue, StartsAsUnitRowsThatDependOnTheSeedAlone) {
  const KeyQueue queue(12, 5, 3);
  EXPECT_TRUE(queue.rows().norm(2, {1}).allclose(at::ones({12}), 0.0, 1e-6));
  torch::manual_seed(99);
  EXPECT_TRUE(KeyQueue(12, 5, 3).rows().equal(queue.rows()));
  EXPECT_FALSE(KeyQueue(12, 5, 4).rows().equal(queue.rows()));
}

TEST(KeyQueue, ReplacesTheOldestRowsOnlyAndWraps) {
  KeyQueue queue(6, 3, 1);
  const auto start = queue.rows();
  std::vector<at::Tensor> keys;
  for (std::uint64_t i = 0; i < 4; ++i) {
    keys.push_back(normal_tensor({2, 3}, i, at::kFloat));
  }
  queue.enqueue(keys[0]);
  EXPECT_TRUE(queue.rows().narrow(0, 0, 2).equal(unit_rows(keys[0])));
  EXPECT_TRUE(queue.rows().narrow(0, 2, 4).equal(start.narrow(0, 2, 4)));
  queue.enqueue(keys[1]);
  queue.enqueue(keys[2]);
  EXPECT_TRUE(queue.rows().equal(unit_rows(at::cat({keys[0], keys[1], keys[2]}))));
  queue.enqueue(keys[3]);
  EXPECT_TRUE(queue.rows().equal(unit_rows(at::cat({keys[3], keys[1], keys[2]}))));
  EXPECT_TRUE(queue.rows().norm(2, {1}).allclose(at::ones({6}), 0.0, 1e-6));
}

TEST(KeyQueue, KeepsNoGraphAndWidensHalfPrecision) {
  KeyQueue queue(4, 3, 1);
  queue.enqueue(normal_tensor({4, 3}, 2, at::kFloat).to(at::kBFloat16).requires_grad_(true));
  EXPECT_FALSE(queue.rows().requires_grad());
  EXPECT_EQ(queue.rows().scalar_type(), at::kFloat);
}

TEST(KeyQueue, DoesNotChangeRowsThatWereHandedOut) {
  KeyQueue queue(4, 3, 1);
  const auto before = queue.rows();
  const auto copy = before.clone();
  queue.enqueue(normal_tensor({4, 3}, 2, at::kFloat));
  EXPECT_TRUE(before.equal(copy));
}

TEST(KeyQueue, CarriesItsPlaceInItsBuffers) {
  KeyQueue queue(6, 3, 1);
  queue.enqueue(normal_tensor({2, 3}, 2, at::kFloat));
  const auto buffers = queue.named_buffers();
  EXPECT_EQ(buffers["pointer"].item<std::int64_t>(), 2);
  EXPECT_TRUE(buffers["rows"].equal(queue.rows()));
  EXPECT_TRUE(queue.parameters().empty());
}

TEST(KeyQueue, RefusesBatchesThatDoNotFillItWhole) {
  KeyQueue queue(6, 3, 1);
  EXPECT_THROW(queue.enqueue(at::ones({4, 3})), UsageError);
  EXPECT_THROW(queue.enqueue(at::ones({12, 3})), UsageError);
  EXPECT_THROW(queue.enqueue(at::ones({2, 4})), ContractViolation);
  EXPECT_THROW(KeyQueue(0, 3, 1), ContractViolation);
  try {
    check_queue_size(1000, 96);
    FAIL() << "1000 is no multiple of 96";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("such as 960"), std::string::npos) << error.what();
  }
}

Mlp small_head() {
  return Mlp({.in = 3, .widths = {4, 2}});
}

TEST(Momentum, CopiesParametersAndTurnsOffGradients) {
  auto source = small_head();
  auto target = small_head();
  source.named_buffers()["layers.1.running_mean"].fill_(7.0);
  copy_parameters(source, target);
  const auto from = source.parameters();
  const auto to = target.parameters();
  for (std::size_t i = 0; i < from.size(); ++i) {
    EXPECT_TRUE(from[i].equal(to[i]));
    EXPECT_FALSE(to[i].requires_grad());
    EXPECT_TRUE(from[i].requires_grad());
    EXPECT_NE(from[i].data_ptr(), to[i].data_ptr());
  }
  EXPECT_EQ(target.named_buffers()["layers.1.running_mean"].abs().max().item<double>(), 0.0);
}

TEST(Momentum, FollowsTheFormulaExactly) {
  auto source = small_head();
  auto target = small_head();
  copy_parameters(small_head(), target);
  std::vector<at::Tensor> expected;
  for (std::size_t i = 0; i < source.parameters().size(); ++i) {
    expected.push_back((target.parameters()[i].to(at::kDouble) * 0.99 +
                        source.parameters()[i].detach().to(at::kDouble) * 0.01));
  }
  ema_update(target, source, 0.99);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // Weights are below 1: a product and a sum each round by at most 2^-24.
    EXPECT_TRUE(target.parameters()[i].to(at::kDouble).allclose(expected[i], 0.0, 1.2e-7));
    EXPECT_FALSE(target.parameters()[i].requires_grad());
  }
}

TEST(Momentum, OfOneKeepsTheTargetAndOfZeroTakesTheSource) {
  auto source = small_head();
  auto target = small_head();
  const auto before = target.parameters()[0].detach().clone();
  ema_update(target, source, 1.0);
  EXPECT_TRUE(target.parameters()[0].equal(before));
  ema_update(target, source, 0.0);
  EXPECT_TRUE(target.parameters()[0].equal(source.parameters()[0]));
}

TEST(Momentum, RefusesOtherShapesAndMomentaOutsideTheirRange) {
  auto source = small_head();
  auto target = small_head();
  Mlp wider({.in = 3, .widths = {5, 2}});
  Mlp deeper({.in = 3, .widths = {4, 2, 2}});
  EXPECT_THROW(copy_parameters(source, wider), ContractViolation);
  EXPECT_THROW(ema_update(deeper, source, 0.5), ContractViolation);
  EXPECT_THROW(ema_update(target, source, 1.1), ContractViolation);
  EXPECT_THROW(ema_update(target, source, std::nan("")), ContractViolation);
}

TEST(CosineMomentum, RisesToOneByHalfACosine) {
  EXPECT_NEAR(cosine_momentum(0.996, 0.0), 0.996, 1e-15);
  EXPECT_NEAR(cosine_momentum(0.996, 0.5), 0.998, 1e-15);
  EXPECT_NEAR(cosine_momentum(0.99, 0.5), 0.995, 1e-15);
  EXPECT_NEAR(cosine_momentum(0.99, 1.0), 1.0, 1e-15);
}

}  // namespace
}  // namespace viewfold
