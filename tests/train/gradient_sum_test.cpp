// Tests of gradients that are summed over processes while they are computed.
#include "viewfold/train/gradient_sum.hpp"

#include "tensor/normal_tensor.hpp"
#include "tensor/processes.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace viewfold {
namespace {

using testing::in_joined_processes;

// Larger than a bucket together; one of them is channels-last, one is never used, one is frozen.
std::vector<at::Tensor> make_parameters() {
  std::vector<at::Tensor> parameters{
      normal_tensor({700, 1000}, 1, at::kFloat),
      normal_tensor({8, 4, 3, 3}, 2, at::kFloat).contiguous(at::MemoryFormat::ChannelsLast),
      normal_tensor({600, 1000}, 3, at::kFloat),
      normal_tensor({5}, 4, at::kFloat),
      normal_tensor({7}, 5, at::kFloat),
      normal_tensor({6}, 6, at::kDouble)};
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].requires_grad_(i != 4);
  }
  return parameters;
}

// Each parameter is used twice, the fourth never.
void backward(const std::vector<at::Tensor>& parameters, int rank) {
  auto loss = at::zeros({}, at::kDouble);
  for (const std::size_t i : {0U, 1U, 2U, 5U}) {
    const auto p = parameters[i].to(at::kDouble);
    const auto slope = normal_tensor(p.sizes().vec(), 10 + 7 * i + static_cast<std::size_t>(rank));
    loss = loss + (p * slope).sum() + p.square().sum() * (rank + 1);
  }
  loss.backward();
}

TEST(GradientSum, IsTheMeanOverProcesses) {
  in_joined_processes(3, [](const Communicator& processes) {
    const auto parameters = make_parameters();
    GradientSum sum(parameters, processes);
    EXPECT_EQ(sum.buckets(), 3U);
    std::vector<at::Tensor> expected(parameters.size());
    for (int rank = 0; rank < 3; ++rank) {
      const auto alone = make_parameters();
      backward(alone, rank);
      for (const std::size_t i : {0U, 1U, 2U, 5U}) {
        const auto share = alone[i].grad() / 3;
        expected[i] = expected[i].defined() ? expected[i] + share : share;
      }
    }
    for (int step = 0; step < 2; ++step) {
      for (auto parameter : parameters) {
        parameter.mutable_grad().reset();
      }
      backward(parameters, processes.rank());
      sum.finish();
      for (const std::size_t i : {0U, 1U, 2U, 5U}) {
        EXPECT_TRUE(parameters[i].grad().allclose(expected[i], 1e-5, 1e-5)) << i;
      }
      EXPECT_FALSE(parameters[3].grad().defined());
      EXPECT_FALSE(parameters[4].grad().defined());
      EXPECT_TRUE(parameters[1].grad().is_contiguous(at::MemoryFormat::ChannelsLast));
    }
  });
}

TEST(GradientSum, LeavesNothingBehind) {
  in_joined_processes(2, [](const Communicator& processes) {
    const auto parameters = make_parameters();
    { const GradientSum sum(parameters, processes); }
    backward(parameters, processes.rank());  // would call into what is gone
    EXPECT_TRUE(parameters[0].grad().defined());
    processes.barrier();
  });
}

TEST(GradientSum, DoesNothingInOneProcess) {
  const auto parameters = make_parameters();
  GradientSum sum(parameters, {});
  EXPECT_EQ(sum.buckets(), 0U);
  backward(parameters, 0);
  const auto before = parameters[0].grad().clone();
  sum.finish();
  EXPECT_TRUE(parameters[0].grad().equal(before));
}

}  // namespace
}  // namespace viewfold
