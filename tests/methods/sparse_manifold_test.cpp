// The sparse manifold transform: its solution against the equations, and what it does on images
// whose kinds are known.
#include <string>

#include "tensor/normal_tensor.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/patch_encoder.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kSide = 16;
constexpr std::int64_t kImages = 48;

std::unique_ptr<Method> make(const std::string& encoder = "patches") {
  const auto& entry = find_method("sparse_manifold");
  torch::manual_seed(1);
  const auto config = entry.config(ImageScale::kSmall);
  ConfigSource settings;
  settings.set("every_patch", "1", "test");
  read_config(*config, settings);
  return entry.make(
      *config,
      {.encoder = {.name = encoder, .width = 1, .stem = "cifar", .input_size = kSide}, .seed = 1});
}

// Stripes along one of two diagonals, at random places and of random strength, under a little
// noise: whitening makes much of it.
at::Tensor striped_images(std::int64_t kinds, std::uint64_t seed) {
  auto images = normal_tensor({kImages, 3, kSide, kSide}, seed, at::kFloat).mul(0.03);
  const auto phase = normal_tensor({kImages, 2}, seed + 1, at::kFloat);
  const auto places = at::arange(kSide, at::kFloat);
  for (std::int64_t i = 0; i < kImages; ++i) {
    const double sign = i % kinds == 0 ? 1.0 : -1.0;
    const auto along = places.unsqueeze(0) + sign * places.unsqueeze(1);
    const double strength = 1.0 + 0.5 * std::abs(phase[i][0].item<double>());
    images[i] += (along * 1.5 + phase[i][1].item<double>() * 6.0).sin() * strength;
  }
  return images;
}

ViewBatch batch_of(const at::Tensor& images) {
  ViewBatch batch;
  batch.groups.push_back(images.contiguous(at::MemoryFormat::ChannelsLast));
  for (std::uint32_t i = 0; i < images.size(0); ++i) {
    batch.indices.push_back(i);
  }
  batch.records.resize(batch.indices.size());
  return batch;
}

constexpr std::int64_t kSteps = 6;  // one for the dictionary, three for moments, two for components

void take_step(Method& method, const at::Tensor& images, std::int64_t step) {
  torch::manual_seed(static_cast<std::uint64_t>(step));
  const StepContext context{.step = step, .total_steps = kSteps};
  const auto output = method.training_step(batch_of(images), context);
  EXPECT_TRUE(output.loss.isfinite().item<bool>());
  method.after_optimizer_step(context);
}

void solve(Method& method, const at::Tensor& images) {
  for (std::int64_t step = 0; step < kSteps; ++step) {
    take_step(method, images, step);
  }
}

// [L of all images, D] float32
at::Tensor codes_of(Method& method, const at::Tensor& images) {
  auto& encoder = dynamic_cast<PatchEncoder&>(method.encoder());
  std::vector<at::Tensor> rows;
  for (const auto& image : encoder.codes(images)) {
    auto dense = at::zeros({static_cast<std::int64_t>(image.patches()), encoder.elements()});
    for (std::size_t l = 0; l < image.patches(); ++l) {
      for (const auto element : image.of(l)) {
        dense[static_cast<std::int64_t>(l)][element] = 1.0;
      }
    }
    rows.push_back(dense);
  }
  return at::stack(rows);  // [N, L, D]
}

TEST(SparseManifold, SumsTheMomentsOfCodesAndOfTheirMeans) {
  const auto method = make();
  const auto images = striped_images(2, 1);
  solve(*method, images);
  const auto codes = codes_of(*method, images);  // [N, L, D]
  const auto rows = codes.flatten(0, 1);
  const auto buffers = method->module().named_buffers();
  EXPECT_TRUE(buffers["within"].allclose(3.0 * rows.t().mm(rows), 1e-5));  // in three steps
  const auto means = codes.mean(1);
  EXPECT_TRUE(buffers["between"].allclose(3.0 * means.t().mm(means), 1e-3, 1e-5));
}

TEST(SparseManifold, SolvesTheGeneralisedEigenproblem) {
  const auto method = make();
  solve(*method, striped_images(2, 1));
  const auto buffers = method->module().named_buffers();
  auto within = buffers["within"].to(at::kDouble);
  within = within / within.diagonal().mean();
  within.diagonal().add_(1e-3);
  const auto between = buffers["between"].to(at::kDouble);
  const auto embedding =
      dynamic_cast<PatchEncoder&>(method->encoder()).embedding().to(at::kDouble);  // [D, K]
  // Unit covariance of embedded patches: P' U P = I.
  const auto unity = embedding.t().mm(within).mm(embedding);
  EXPECT_TRUE(unity.allclose(at::eye(unity.size(0), at::kDouble), 1e-2, 1e-2));
  // Among all such, the most variance of images, but for the constant: the eigenvalues of the pair.
  const auto root = at::linalg_inv(at::linalg_cholesky(within));
  const auto values = std::get<0>(at::linalg_eigh(root.mm(between).mm(root.t()), "L"));
  const std::int64_t dims = embedding.size(1);
  const auto expected = values.narrow(0, values.size(0) - 1 - dims, dims).sum().item<double>();
  const auto reached = embedding.t().mm(between).mm(embedding).trace().item<double>();
  EXPECT_NEAR(reached, expected, 0.02 * expected);
}

TEST(SparseManifold, BringsImagesOfOneKindTogether) {
  const auto method = make();
  solve(*method, striped_images(2, 1));
  const at::NoGradGuard no_grad;
  const auto known = method->encoder().forward(striped_images(2, 11));
  const auto asked = method->encoder().forward(striped_images(2, 21));
  const auto cosine = (asked / asked.norm(2, {1}, true)).mm((known / known.norm(2, {1}, true)).t());
  const auto nearest = cosine.argmax(1);
  const auto kind = at::arange(kImages, at::kLong).remainder(2);
  EXPECT_GT(nearest.remainder(2).eq(kind).to(at::kFloat).mean().item<float>(), 0.95F);
}

TEST(SparseManifold, GoesOnFromItsSavedState) {
  const auto images = striped_images(2, 1);
  const auto whole = make();
  const std::int64_t stop = 3;
  for (std::int64_t step = 0; step < stop; ++step) {
    take_step(*whole, images, step);
  }
  const auto bytes = write_safetensors(module_state(whole->module()), {});
  const auto resumed = make();
  load_module_state(resumed->module(), parse_safetensors(bytes, "state"));
  for (std::int64_t step = stop; step < kSteps; ++step) {
    take_step(*whole, images, step);
    take_step(*resumed, images, step);
  }
  const auto left = module_state(whole->encoder());
  const auto right = module_state(resumed->encoder());
  for (std::size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(left[i].tensor.equal(right[i].tensor)) << left[i].name;
  }
}

TEST(SparseManifold, SaysWhatItCannotDo) {
  EXPECT_THROW((void)make("resnet18"), UsageError);
  const auto method = make();
  EXPECT_THROW(
      (void)method->training_step(batch_of(striped_images(2, 1)), {.step = 0, .total_steps = 2}),
      UsageError);
  // Images without contrast have no patches to tell apart.
  EXPECT_THROW(solve(*method, at::zeros({kImages, 3, kSide, kSide})), DivergedError);
}

}  // namespace
}  // namespace viewfold
