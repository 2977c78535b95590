// Tests of the instance-conditioned generator.
#include "viewfold/nn/generator.hpp"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

GeneratorSpec small_spec() {
  return {.size = 16,
          .bands = 3,
          .condition_dim = 12,
          .channels = 8,
          .embedding_dim = 6,
          .noise_chunk = 5};
}

at::Tensor unit(const at::Tensor& rows) {
  return rows / rows.norm(2, 1, true);
}

TEST(GeneratorScale, DoublesFourToSevenPixels) {
  EXPECT_EQ(generator_scale(32).start, 4);
  EXPECT_EQ(generator_scale(32).blocks, 3);
  EXPECT_EQ(generator_scale(28).start, 7);
  EXPECT_EQ(generator_scale(28).blocks, 2);
  EXPECT_EQ(generator_scale(96).start, 6);
  EXPECT_EQ(generator_scale(96).blocks, 4);
  for (const std::int64_t size : {4, 7, 31, 36, 44}) {
    EXPECT_THROW((void)generator_scale(size), UsageError) << size;
  }
}

TEST(Generator, MakesImagesWithinMinusOneAndOne) {
  torch::manual_seed(1);
  Generator generator(small_spec());
  EXPECT_EQ(generator.noise_dim(), 15);  // first layer and two blocks
  const auto images = generator.forward(at::randn({4, 15}) * 10, unit(at::randn({4, 12})));
  EXPECT_EQ(images.sizes(), at::IntArrayRef({4, 3, 16, 16}));
  EXPECT_LE(images.abs().max().item<double>(), 1.0);
}

TEST(Generator, UsesConditionAndEveryChunkOfItsNoise) {
  torch::manual_seed(1);
  Generator generator(small_spec());
  generator.eval();
  const auto z = at::randn({1, 15});
  const auto h = unit(at::randn({1, 12}));
  const auto image = generator.forward(z, h);
  EXPECT_FALSE(image.equal(generator.forward(z, unit(at::randn({1, 12})))));
  for (std::int64_t chunk = 0; chunk < 3; ++chunk) {
    auto other = z.clone();
    other.narrow(1, 5 * chunk, 5).normal_();
    EXPECT_FALSE(image.equal(generator.forward(other, h))) << chunk;
  }
}

// In evaluation no image depends on those beside it; in training batch norm makes them depend.
TEST(Generator, MakesEachImageByItselfInEvaluation) {
  torch::manual_seed(1);
  Generator generator(small_spec());
  const auto z = at::randn({3, 15});
  const auto h = unit(at::randn({3, 12}));
  const auto alone = [&] { return generator.forward(z.narrow(0, 0, 1), h.narrow(0, 0, 1)); };
  generator.eval();
  EXPECT_TRUE(at::allclose(generator.forward(z, h).narrow(0, 0, 1), alone(), 1e-5, 1e-6));
  generator.train();
  EXPECT_FALSE(at::allclose(generator.forward(z, h).narrow(0, 0, 1), alone(), 1e-3, 1e-3));
}

TEST(ConditionalNorm, IsBatchNormWithoutItsWeights) {
  torch::manual_seed(1);
  ConditionalNorm norm(4, 6);
  {
    const torch::NoGradGuard no_grad;
    norm.scale->weight.zero_();
    norm.shift->weight.zero_();
  }
  const auto x = at::randn({5, 4, 3, 3}) * 3.0 + 1.0;
  const auto plain = at::batch_norm(x, {}, {}, {}, {}, true, 0.1, 1e-5, false);
  EXPECT_TRUE(at::allclose(norm.forward(x, at::randn({5, 6})), plain, 1e-4, 1e-5));
}

TEST(Generator, RefusesWhatDoesNotFit) {
  Generator generator(small_spec());
  EXPECT_THROW((void)generator.forward(at::randn({2, 14}), at::randn({2, 12})), ContractViolation);
  EXPECT_THROW((void)generator.forward(at::randn({2, 15}), at::randn({3, 12})), ContractViolation);
  EXPECT_THROW((void)generator.forward(at::randn({2, 15}), at::randn({2, 11})), ContractViolation);
}

}  // namespace
}  // namespace viewfold
