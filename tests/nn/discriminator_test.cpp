// Tests of the discriminators.
#include "viewfold/nn/discriminator.hpp"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace viewfold {
namespace {

const DiscriminatorSpec kSpec{.size = 16, .bands = 3, .condition_dim = 6, .channels = 8};

std::shared_ptr<Encoder> small_encoder() {
  return make_encoder(
      {.name = "resnet18", .width = 8, .stem = "cifar", .in_channels = 3, .input_size = 16});
}

std::vector<std::shared_ptr<Discriminator>> both() {
  torch::manual_seed(1);
  return {make_pixel_discriminator(kSpec),
          make_projected_discriminator(kSpec, small_encoder(), at::randn({20, 3, 16, 16}))};
}

TEST(Discriminators, AnswerForEveryImage) {
  const auto x = at::randn({5, 3, 16, 16});
  const auto h = at::randn({5, 6});
  EXPECT_EQ(both()[0]->forward(x, h).sizes(), at::IntArrayRef({1, 5}));
  EXPECT_EQ(both()[1]->forward(x, h).sizes(),
            at::IntArrayRef({16 + 16 + 16 + 4 + 16, 5}));  // places of pixels and stages
}

TEST(Discriminators, AreAffineInTheCondition) {
  const auto x = at::randn({5, 3, 16, 16});
  const auto h1 = at::randn({5, 6});
  const auto h2 = at::randn({5, 6});
  for (const auto& d : both()) {
    d->eval();
    const auto mixed = d->forward(x, 0.3 * h1 + 0.7 * h2);
    const auto expected = 0.3 * d->forward(x, h1) + 0.7 * d->forward(x, h2);
    EXPECT_TRUE(at::allclose(mixed, expected, 1e-3, 1e-3));
    EXPECT_FALSE(at::allclose(d->forward(x, h1), d->forward(x, h2), 1e-3, 1e-3));
  }
}

TEST(Discriminators, TakeSeveralConditionsForEachImage) {
  const auto x = at::randn({5, 3, 16, 16});
  const auto h = at::randn({2, 5, 6});
  for (const auto& d : both()) {
    d->eval();
    const auto answers = d->forward(x, h);
    EXPECT_TRUE(at::allclose(answers[0], d->forward(x, h[0]), 1e-4, 1e-5));
    EXPECT_TRUE(at::allclose(answers[1], d->forward(x, h[1]), 1e-4, 1e-5));
  }
}

TEST(Discriminators, IgnoreTheConditionWithoutProjection) {
  const auto x = at::randn({5, 3, 16, 16});
  for (const auto& d : both()) {
    d->eval();
    for (const auto& item : d->named_parameters()) {
      if (item.key().find("projection.weight") != std::string::npos) {
        const torch::NoGradGuard no_grad;
        item.value().zero_();
      }
    }
    EXPECT_TRUE(d->forward(x, at::randn({5, 6})).equal(d->forward(x, at::randn({5, 6}))));
  }
}

TEST(Discriminators, LetGradientsThroughToTheImages) {
  for (const auto& d : both()) {
    const auto x = at::randn({5, 3, 16, 16}).set_requires_grad(true);
    d->forward(x, at::randn({5, 6})).sum().backward();
    EXPECT_GT(x.grad().abs().sum().item<double>(), 0.0);
  }
}

TEST(ProjectedDiscriminator, NeverMovesItsEncoder) {
  torch::manual_seed(1);
  const auto encoder = small_encoder();
  const auto d = make_projected_discriminator(kSpec, encoder, at::randn({20, 3, 16, 16}));
  d->train();
  const auto before = encoder->named_buffers()["bn1.running_mean"].clone();
  d->forward(at::randn({5, 3, 16, 16}) + 3.0, at::randn({5, 6})).sum().backward();
  EXPECT_TRUE(before.equal(encoder->named_buffers()["bn1.running_mean"]));
  for (const auto& parameter : encoder->parameters()) {
    EXPECT_FALSE(parameter.requires_grad());
    EXPECT_FALSE(parameter.grad().defined());
  }
  for (const auto& item : d->named_parameters()) {
    EXPECT_EQ(item.key().find("conv1"), std::string::npos);  // the encoder is no part of it
  }
}

}  // namespace
}  // namespace viewfold
