// Tests of attacks on features.
#include "viewfold/eval/adversarial.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

using testing::ImageList;
using testing::normal_matrix;
using testing::random_images;
using testing::small_spec;
using testing::used_encoder;

/// Features [w . x, 1]: a change by d of w . x turns those of (0, 1) by the angle atan(d).
class LinearEncoder final : public Encoder {
 public:
  explicit LinearEncoder(const at::Tensor& weights)
      : weights_(register_parameter("weights", weights.clone())) {}
  at::Tensor forward(const at::Tensor& x) override {
    saw_training = saw_training || is_training();
    const auto product = x.contiguous().flatten(1).mv(weights_);
    return at::stack({product, at::ones_like(product)}, 1);
  }
  [[nodiscard]] std::int64_t feature_dim() const override { return 2; }

  bool saw_training = false;

 private:
  at::Tensor weights_;
};

/// Codes of 0 and 1, which have no gradient.
class CodingEncoder final : public Encoder {
 public:
  at::Tensor forward(const at::Tensor& x) override { return x.flatten(1).gt(0.0).to(at::kFloat); }
  [[nodiscard]] std::int64_t feature_dim() const override { return 48; }
};

Normalization normalization_of(std::size_t bands) {
  return {.mean = std::vector<double>(bands, 0.5), .std = std::vector<double>(bands, 0.25)};
}

Preprocess preprocess_of(const EncoderSpec& spec) {
  return {.input_size = spec.input_size,
          .bands = spec.in_channels,
          .normalization = normalization_of(static_cast<std::size_t>(spec.in_channels))};
}

at::Tensor random_pixels(std::int64_t count, std::int64_t bands, std::int64_t side) {
  return normal_matrix(count, bands * side * side, 3)
      .mul(0.3)
      .add(0.5)
      .clamp(0.0, 1.0)
      .view({count, bands, side, side});
}

// The largest by which a value moved.
double largest(const at::Tensor& changed, const at::Tensor& pixels) {
  return (changed.to(at::kDouble) - pixels.to(at::kDouble)).abs().max().item<double>();
}

// Mean over images of the cosine between features before and after.
double mean_cosine(Encoder& encoder, const at::Tensor& pixels, const at::Tensor& changed) {
  const torch::NoGradGuard no_grad;
  const auto features = [&](const at::Tensor& x) { return encoder.forward((x - 0.5) / 0.25); };
  return at::cosine_similarity(features(pixels), features(changed), 1).mean().item<double>();
}

TEST(AttackPixels, FindTheWorstChangeOfALinearEncoder) {
  const auto weights = normal_matrix(1, 3 * 4 * 4, 1).flatten();
  LinearEncoder encoder(weights);
  const auto pixels = at::full({5, 3, 4, 4}, 0.5F);  // w . x is 0
  const Normalization normalization{.mean = {0.5, 0.5, 0.5}, .std = {0.25, 0.5, 0.125}};
  const auto std = at::tensor({0.25, 0.5, 0.125}, at::kDouble).view({3, 1, 1});
  const double norm = (weights.to(at::kDouble).view({3, 4, 4}) / std).abs().sum().item<double>();
  constexpr double kEpsilon = 0.01;
  for (const auto attack : {Attack::kFgsm, Attack::kPgd}) {
    const auto changed = attack_pixels(encoder, pixels, normalization,
                                       {.attack = attack, .epsilon = kEpsilon, .steps = 4});
    for (std::int64_t i = 0; i < 5; ++i) {
      const auto change = (changed[i] - pixels[i]).flatten();
      const auto along = (change * weights).sum().sign();  // up or down: as the start fell
      EXPECT_LT((change - along * kEpsilon * weights.sign()).abs().max().item<double>(), 1e-6);
      const double moved = (changed[i].to(at::kDouble) - 0.5)
                               .div(std)
                               .flatten()
                               .dot(weights.to(at::kDouble))
                               .item<double>();
      EXPECT_NEAR(std::abs(moved), kEpsilon * norm, 1e-5);
    }
  }
}

TEST(AttackPixels, ChangeBySignsAtRandomForAControl) {
  LinearEncoder encoder(normal_matrix(1, 48, 1).flatten());
  const auto pixels = at::full({20, 3, 4, 4}, 0.5F);
  const auto changed = attack_pixels(encoder, pixels, normalization_of(3),
                                     {.attack = Attack::kNoise, .epsilon = 1.0 / 64.0});
  const auto signs = (changed - pixels) * 64.0;
  EXPECT_TRUE(signs.abs().eq(1.0).all().item<bool>());
  constexpr double kFourDeviations = 4.0 / 31.0;  // of a mean of 960 signs
  EXPECT_LT(std::abs(signs.mean().item<double>()), kFourDeviations);
}

TEST(AttackPixels, NeverLeaveEpsilonNorTheRangeOfPixels) {
  const auto encoder = used_encoder(small_spec());
  const auto pixels = random_pixels(6, 3, 8);
  ASSERT_EQ(pixels.min().item<float>(), 0.0F);
  ASSERT_EQ(pixels.max().item<float>(), 1.0F);
  for (const double epsilon : {1.0 / 255.0, 0.1, 1.0}) {
    for (const auto attack : {Attack::kNoise, Attack::kFgsm, Attack::kPgd}) {
      const auto changed = attack_pixels(*encoder, pixels, normalization_of(3),
                                         {.attack = attack, .epsilon = epsilon, .steps = 3});
      EXPECT_LE(largest(changed, pixels), epsilon + 1e-7);
      EXPECT_GT(largest(changed, pixels), 0.9 * epsilon);
      EXPECT_GE(changed.min().item<float>(), 0.0F);
      EXPECT_LE(changed.max().item<float>(), 1.0F);
      EXPECT_EQ(changed.sizes(), pixels.sizes());
    }
  }
}

TEST(AttackPixels, AreWorseWithStepsThanWithOneAndThatThanAtRandom) {
  const auto encoder = used_encoder(small_spec());
  const auto pixels = random_pixels(24, 3, 8);
  const auto cosine_after = [&](Attack attack) {
    return mean_cosine(*encoder, pixels,
                       attack_pixels(*encoder, pixels, normalization_of(3),
                                     {.attack = attack, .epsilon = 8.0 / 255.0}));
  };
  const double noise = cosine_after(Attack::kNoise);
  const double fgsm = cosine_after(Attack::kFgsm);
  const double pgd = cosine_after(Attack::kPgd);
  EXPECT_LT(pgd, fgsm);
  EXPECT_LT(fgsm, noise);
  EXPECT_LT(noise, 1.0);
}

TEST(AttackPixels, DoNotDependOnTheOtherImages) {
  const auto encoder = used_encoder(small_spec());
  const auto pixels = random_pixels(6, 3, 8);
  for (const auto attack : {Attack::kNoise, Attack::kPgd}) {
    const AttackSpec spec{.attack = attack, .epsilon = 0.02, .steps = 2, .seed = 9};
    const auto together = attack_pixels(*encoder, pixels, normalization_of(3), spec);
    EXPECT_TRUE(together.equal(attack_pixels(*encoder, pixels, normalization_of(3), spec)));
    AttackSpec later = spec;
    later.first = 4;
    const auto alone = attack_pixels(*encoder, pixels.narrow(0, 4, 2), normalization_of(3), later);
    // Other batches round otherwise, which turns the sign of a gradient of next to nothing.
    const auto same = (alone - together.narrow(0, 4, 2)).abs().lt(1e-6).to(at::kDouble);
    EXPECT_GT(same.mean().item<double>(), 0.98);
    AttackSpec other = spec;
    other.seed = 10;
    EXPECT_FALSE(together.equal(attack_pixels(*encoder, pixels, normalization_of(3), other)));
  }
}

TEST(AttackPixels, ChangeNothingWithinZero) {
  const auto encoder = used_encoder(small_spec());
  const auto pixels = random_pixels(2, 3, 8);
  for (const auto attack : {Attack::kNoise, Attack::kFgsm, Attack::kPgd}) {
    EXPECT_TRUE(
        attack_pixels(*encoder, pixels, normalization_of(3), {.attack = attack, .epsilon = 0.0})
            .equal(pixels));
  }
}

TEST(AttackPixels, LeaveTheEncoderAsItWas) {
  const auto encoder = used_encoder(small_spec());
  encoder->train();
  encoder->parameters()[1].requires_grad_(false);
  std::vector<at::Tensor> before;
  for (const auto& item : module_state(*encoder)) {
    before.push_back(item.tensor.clone());
  }
  const torch::NoGradGuard no_grad;  // a caller who wants no gradients gets none
  const auto changed = attack_pixels(*encoder, random_pixels(4, 3, 8), normalization_of(3),
                                     {.epsilon = 0.05, .steps = 2});
  EXPECT_FALSE(changed.requires_grad());
  const auto after = module_state(*encoder);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(std::memcmp(before[i].data_ptr(), after[i].tensor.data_ptr(), before[i].nbytes()), 0)
        << after[i].name;
  }
  const auto parameters = encoder->parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_FALSE(parameters[i].grad().defined());
    EXPECT_EQ(parameters[i].requires_grad(), i != 1);
  }
  EXPECT_TRUE(encoder->is_training());
  LinearEncoder linear(normal_matrix(1, 48, 1).flatten());
  (void)attack_pixels(linear, at::full({2, 3, 4, 4}, 0.5F), normalization_of(3), {});
  EXPECT_FALSE(linear.saw_training);
}

TEST(AttackPixels, RefuseFeaturesWithoutAGradient) {
  CodingEncoder encoder;
  const auto pixels = random_pixels(2, 3, 4);
  EXPECT_THROW((void)attack_pixels(encoder, pixels, normalization_of(3), {}), UsageError);
  EXPECT_NO_THROW(
      (void)attack_pixels(encoder, pixels, normalization_of(3), {.attack = Attack::kNoise}));
}

TEST(AttackPixels, RefuseWhatDoesNotFit) {
  LinearEncoder encoder(normal_matrix(1, 48, 1).flatten());
  const auto good = at::full({2, 3, 4, 4}, 0.5F);
  const auto attack = [&](const at::Tensor& pixels, std::size_t bands, const AttackSpec& spec) {
    (void)attack_pixels(encoder, pixels, normalization_of(bands), spec);
  };
  EXPECT_THROW(attack(good + 0.6, 3, {}), ContractViolation);
  EXPECT_THROW(attack(good * std::numeric_limits<float>::quiet_NaN(), 3, {}), ContractViolation);
  EXPECT_THROW(attack(good.to(at::kDouble), 3, {}), ContractViolation);
  EXPECT_THROW(attack(good[0], 3, {}), ContractViolation);
  EXPECT_THROW(attack(good, 1, {}), ContractViolation);
  EXPECT_THROW(attack(good, 3, {.epsilon = -0.1}), ContractViolation);
  EXPECT_THROW(attack(good, 3, {.epsilon = std::nan("")}), ContractViolation);
  EXPECT_THROW(attack(good, 3, {.steps = 0}), ContractViolation);
}

struct SmallAudit {
  std::shared_ptr<Encoder> encoder;
  Preprocess preprocess;
  std::shared_ptr<const Dataset> images = {};
  EvaluationInput bank = {};
};

// The bank holds the images themselves.
SmallAudit small_audit() {
  const auto spec = small_spec();
  SmallAudit audit{.encoder = used_encoder(spec), .preprocess = preprocess_of(spec)};
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < 12; ++i) {
    labels.push_back(i % 3);
  }
  audit.images = std::make_shared<ImageList>(random_images(12, 8, 3), labels);
  audit.bank.train = extract_features(*audit.encoder, *audit.images, audit.preprocess, 12, 1);
  audit.bank.classes = {"a", "b", "c"};
  return audit;
}

TEST(MeasureAdversarial, HasCosineOneAndCleanAccuracyWithinZero) {
  const auto audit = small_audit();
  const auto measured =
      measure_adversarial(*audit.encoder, audit.preprocess, audit.bank,
                          {.images = audit.images, .epsilons = {0.0}, .batch_size = 5});
  ASSERT_EQ(measured.rows.size(), 1U);
  const double clean = measured.result.numbers.at("clean_accuracy");
  auto input = audit.bank;
  input.test = audit.bank.train;
  const auto& knn = find_evaluation("knn");
  EXPECT_EQ(clean, knn.run(input, *knn.config()).numbers.at("accuracy"));
  for (const auto& outcome :
       {measured.rows[0].noise, measured.rows[0].fgsm, measured.rows[0].pgd}) {
    EXPECT_EQ(outcome.cosine, 1.0);
    EXPECT_EQ(outcome.accuracy, clean);
  }
}

TEST(MeasureAdversarial, AttacksThePixelsThatTheEncoderSees) {
  const auto audit = small_audit();
  std::vector<std::size_t> done;
  const auto measured = measure_adversarial(
      *audit.encoder, audit.preprocess, audit.bank,
      {.images = audit.images, .epsilons = {0.02, 8.0 / 255.0}, .steps = 3, .batch_size = 12},
      [&](std::size_t now, std::size_t all) {
        EXPECT_EQ(all, 12U);
        done.push_back(now);
      });
  EXPECT_EQ(done, (std::vector<std::size_t>{12}));
  const auto pixels =
      pixel_features(*audit.images,
                     {.input_size = 8,
                      .bands = 3,
                      .normalization = {.mean = {0.0, 0.0, 0.0}, .std = {1.0, 1.0, 1.0}}},
                     1)
          .features.view({12, 8, 8, 3})
          .permute({0, 3, 1, 2})
          .clamp(0.0, 1.0);
  const auto changed = attack_pixels(*audit.encoder, pixels, audit.preprocess.normalization,
                                     {.epsilon = 8.0 / 255.0, .steps = 3});
  EXPECT_NEAR(measured.rows[1].pgd.cosine, mean_cosine(*audit.encoder, pixels, changed), 1e-5);
  const auto& numbers = measured.result.numbers;
  EXPECT_EQ(numbers.at("cosine_pgd_8"), measured.rows[1].pgd.cosine);
  EXPECT_EQ(numbers.at("accuracy_noise_5.1"), measured.rows[0].noise.accuracy);
  EXPECT_DOUBLE_EQ(numbers.at("cosine"),
                   (measured.rows[0].pgd.cosine + measured.rows[1].pgd.cosine) / 2.0);
  EXPECT_LT(measured.rows[1].pgd.cosine, measured.rows[1].noise.cosine);
  EXPECT_LT(measured.rows[1].pgd.cosine, measured.rows[0].pgd.cosine);
}

TEST(MeasureAdversarial, GivesTheSameForBatchesOfAnotherSize) {
  const auto audit = small_audit();
  const auto measure = [&](std::int64_t batch) {
    return measure_adversarial(*audit.encoder, audit.preprocess, audit.bank,
                               {.images = audit.images,
                                .epsilons = {0.02},
                                .steps = 2,
                                .batch_size = batch,
                                .threads = 2})
        .rows[0];
  };
  const auto whole = measure(12);
  const auto parts = measure(5);
  EXPECT_NEAR(whole.noise.cosine, parts.noise.cosine, 1e-6);
  EXPECT_NEAR(whole.pgd.cosine, parts.pgd.cosine, 1e-3);
}

TEST(MeasureAdversarial, RefusesWhatItCannotMeasure) {
  const auto audit = small_audit();
  const auto measure = [&](const AdversarialSpec& spec) {
    (void)measure_adversarial(*audit.encoder, audit.preprocess, audit.bank, spec);
  };
  EXPECT_THROW(measure({.images = std::make_shared<ImageList>(random_images(3, 8, 3))}), DataError);
  EXPECT_THROW(measure({.images = nullptr}), ContractViolation);
  EXPECT_THROW(measure({.images = audit.images, .epsilons = {}}), ContractViolation);
  EXPECT_THROW(measure({.images = audit.images, .epsilons = {2.0}}), ContractViolation);
  EXPECT_THROW(measure({.images = audit.images, .steps = 0}), ContractViolation);
  EXPECT_THROW(measure({.images = audit.images, .batch_size = 0}), ContractViolation);
}

}  // namespace
}  // namespace viewfold
