// The encoder of patches: its codes against products and comparisons of LibTorch, and both of its
// ways through a batch against each other.
#include "viewfold/nn/patch_encoder.hpp"

#include <algorithm>
#include <cmath>

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

constexpr float kThreshold = 0.2F;

at::Tensor unit_rows(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  const auto values = normal_tensor({rows, columns}, seed, at::kFloat);
  return values / values.norm(2, {1}, /*keepdim=*/true);
}

// [L, D] bool
at::Tensor dense(const PatchCodes& codes, std::int64_t elements) {
  auto out = at::zeros({static_cast<std::int64_t>(codes.patches()), elements}, at::kBool);
  for (std::size_t l = 0; l < codes.patches(); ++l) {
    for (const auto element : codes.of(l)) {
      out[static_cast<std::int64_t>(l)][element] = true;
    }
  }
  return out;
}

// Noise without its finest detail, so that patches resemble one another.
at::Tensor smooth_images(std::int64_t count, std::int64_t width, std::uint64_t seed) {
  const auto noise = normal_tensor({count, 3, 16, width}, seed, at::kFloat);
  return at::avg_pool2d(noise, {5, 5}, {1, 1}, {2, 2}) * 5.0;
}

EncoderSpec spec_of(std::int64_t width, const std::string& stem = "cifar") {
  return {.name = "patches", .width = width, .stem = stem, .in_channels = 3, .input_size = 16};
}

// An encoder whose dictionary and whitening come from images, as a method leaves it.
std::shared_ptr<PatchEncoder> encoder_of_images(const at::Tensor& x) {
  torch::manual_seed(3);
  auto encoder = std::make_shared<PatchEncoder>(spec_of(2));
  const at::NoGradGuard no_grad;
  const auto rows = encoder->contrast_patches(x).flatten(0, 1);
  const auto mean = rows.mean(0);
  const auto centred = rows - mean;
  const auto covariance = centred.t().mm(centred) / static_cast<double>(rows.size(0));
  const auto picks = at::arange(encoder->elements(), at::kLong) * 3;
  encoder->set_dictionary(rows.index_select(0, picks), mean, covariance);
  return encoder;
}

TEST(PatchDictionary, FindsTheElementsWhoseProductIsAboveTheThreshold) {
  for (const std::int64_t elements : {1, 255, 256, 700}) {
    const auto dictionary = unit_rows(elements, 27, 1);
    const auto patches = unit_rows(19, 27, 2);
    const auto codes = PatchDictionary(dictionary, at::kFloat).codes(patches, kThreshold);
    ASSERT_EQ(codes.patches(), 19U);
    const auto products = patches.mm(dictionary.t());
    const auto unsure = products.sub(kThreshold).abs().lt(1e-6);
    EXPECT_TRUE(
        dense(codes, elements).logical_or(unsure).equal(products.gt(kThreshold).logical_or(unsure)))
        << elements;
    for (std::size_t l = 0; l < codes.patches(); ++l) {
      EXPECT_TRUE(std::is_sorted(codes.of(l).begin(), codes.of(l).end()));
    }
  }
}

TEST(PatchDictionary, DiffersInBfloat16OnlyNearTheThreshold) {
  const auto dictionary = unit_rows(512, 108, 1);
  const auto patches = unit_rows(64, 108, 2);
  const auto codes =
      PatchDictionary(dictionary, at::kBFloat16).codes(patches.to(at::kBFloat16), kThreshold);
  const auto products = patches.mm(dictionary.t());
  const auto unsure = products.sub(kThreshold).abs().lt(4e-3);  // two roundings to 8 bits
  EXPECT_TRUE(
      dense(codes, 512).logical_or(unsure).equal(products.gt(kThreshold).logical_or(unsure)));
  EXPECT_GT(products.gt(kThreshold).logical_and(unsure.logical_not()).sum().item<int>(), 100);
}

TEST(SumOfEmbeddings, IsThatOfTheRows) {
  const auto table = normal_tensor({50, 83}, 4, at::kFloat);
  const std::vector<std::int32_t> elements{0, 7, 7, 49};
  std::vector<float> sum(83, 5.0F);
  sum_embeddings(elements, table.data_ptr<float>(), sum);
  const auto expected = table.index_select(0, at::tensor({0, 7, 7, 49}, at::kLong)).sum(0);
  EXPECT_TRUE(at::from_blob(sum.data(), {83}).allclose(expected, 1e-5, 1e-6));
  sum_embeddings({}, table.data_ptr<float>(), sum);
  EXPECT_EQ(*std::max_element(sum.begin(), sum.end()), 0.0F);
}

TEST(PatchEncoder, HasPatchesOfNoMeanAndUnitContrast) {
  const PatchEncoder encoder(spec_of(1));
  const auto x = normal_tensor({2, 3, 16, 16}, 5, at::kFloat);
  const auto patches = encoder.contrast_patches(x);
  ASSERT_EQ(patches.sizes(), (std::vector<std::int64_t>{2, 121, 108}));
  EXPECT_LT(patches.mean(2).abs().max().item<float>(), 1e-5F);
  EXPECT_TRUE(patches.square().mean(2).allclose(at::ones({2, 121}), 1e-4));
  // Patch 12 begins at row 1, column 1.
  const auto raw = x[1].slice(1, 1, 7).slice(2, 1, 7).reshape({-1});
  const auto expected = (raw - raw.mean()) / raw.std(/*unbiased=*/false);
  EXPECT_TRUE(patches[1][12].allclose(expected, 1e-3, 1e-4));
  // A flat image has no contrast, and no NaN.
  EXPECT_EQ(encoder.contrast_patches(at::ones({1, 3, 16, 16})).abs().max().item<float>(), 0.0F);
}

TEST(PatchEncoder, WhitensWhatItsDictionaryIsMadeOf) {
  const auto x = normal_tensor({8, 3, 16, 16}, 6, at::kFloat);
  const auto encoder = encoder_of_images(x);
  const auto buffers = encoder->named_buffers();
  EXPECT_TRUE(buffers["dictionary"].norm(2, {1}).allclose(at::ones({256}), 4e-3));
  const auto& whitening = buffers["whitening"];
  EXPECT_TRUE(whitening.allclose(whitening.t(), 1e-4, 1e-5));
  const auto rows = encoder->contrast_patches(x).flatten(0, 1);
  const auto centred = rows - rows.mean(0);
  const auto covariance = centred.t().mm(centred) / static_cast<double>(rows.size(0));
  // W C W + 0.1 W W = I
  const auto unity = whitening.mm(covariance).mm(whitening) + 0.1 * whitening.mm(whitening);
  EXPECT_TRUE(unity.allclose(at::eye(108), 1e-3, 1e-3));
}

TEST(PatchEncoder, GivesTheSameFeaturesByCodesAndByProducts) {
  const auto x = smooth_images(40, 20, 7);
  const auto encoder = encoder_of_images(smooth_images(8, 16, 6));
  const auto by_products = encoder->forward(x).detach();
  const at::NoGradGuard no_grad;
  const auto by_codes = encoder->forward(x);
  ASSERT_EQ(by_codes.sizes(), (std::vector<std::int64_t>{40, encoder->feature_dim()}));
  // A patch at the threshold may fall to either side, in one cell of one image.
  const auto same = (by_codes - by_products).abs().amax(1).lt(1e-3);
  EXPECT_GE(same.sum().item<int>(), 38);
  EXPECT_TRUE(by_codes.allclose(by_products, 0.0, 0.2));
  // Cells have length 1, or, where no patch resembles anything, 0.
  const auto lengths = encoder->cells(x).reshape({40, -1, 16}).norm(2, {1});
  EXPECT_LT(at::min((lengths - 1.0).abs(), lengths).max().item<float>(), 1e-3F);
  EXPECT_GT(lengths.mean().item<float>(), 0.2F);
}

TEST(PatchEncoder, WeighsPrincipalComponentsByTheirDeviation) {
  const auto encoder = std::make_shared<PatchEncoder>(spec_of(1));
  const std::int64_t values = encoder->cell_values();
  // A covariance with known axes: the first coordinates, of falling variance.
  auto variance = at::full({values}, 1e-3);
  const std::int64_t known = 4;
  for (std::int64_t i = 0; i < known; ++i) {
    variance[i] = 16.0 / static_cast<double>(1 << i);
  }
  const auto mean = normal_tensor({values}, 9, at::kFloat);
  encoder->set_projection(mean, at::diag(variance));
  const auto projection = encoder->named_buffers()["projection"];
  for (std::int64_t i = 0; i < known; ++i) {
    const auto column = projection.select(1, projection.size(1) - 1 - i);
    EXPECT_NEAR(column[i].abs().item<double>(), std::pow(variance[i].item<double>(), -0.375), 1e-3);
    EXPECT_NEAR(column.norm().item<double>(), column[i].abs().item<double>(), 1e-3);
  }
  const at::NoGradGuard no_grad;
  const auto x = normal_tensor({2, 3, 16, 16}, 10, at::kFloat);
  EXPECT_TRUE(encoder->forward(x).allclose((encoder->cells(x) - mean).mm(projection), 1e-4, 1e-4));
}

TEST(LeadingEigenvectors, AreThoseOfAFullDecomposition) {
  const auto factor = normal_tensor({60, 60}, 12, at::kFloat);
  auto matrix = factor.mm(factor.t());
  torch::manual_seed(1);
  const auto leading = leading_eigenvectors(matrix, 60);
  const auto expected = std::get<0>(at::linalg_eigh(matrix.to(at::kDouble), "L"));
  EXPECT_TRUE(leading.values.to(at::kDouble).allclose(expected, 1e-3, 1e-3));
  EXPECT_TRUE(matrix.mm(leading.vectors).allclose(leading.vectors * leading.values, 1e-2, 1e-2));
  EXPECT_THROW((void)leading_eigenvectors(matrix, 61), ContractViolation);
}

TEST(PatchEncoder, TakesStepsAsLongAsItsStemSays) {
  const auto x = normal_tensor({1, 3, 16, 16}, 8, at::kFloat);
  EXPECT_EQ(PatchEncoder(spec_of(1, "half")).contrast_patches(x).size(1), 36);
  EXPECT_EQ(PatchEncoder(spec_of(1, "imagenet")).contrast_patches(x).size(1), 9);
}

TEST(PatchEncoder, RefusesWhatHasNoPatches) {
  auto spec = spec_of(1);
  spec.input_size = 7;
  EXPECT_THROW((void)PatchEncoder(spec), UsageError);
  PatchEncoder encoder(spec_of(1));
  EXPECT_THROW((void)encoder.forward(at::zeros({1, 3, 5, 5})), ContractViolation);
  EXPECT_THROW((void)encoder.forward(at::zeros({1, 1, 16, 16})), ContractViolation);
}

}  // namespace
}  // namespace viewfold
