// Implements the encoder of patches.
#include "viewfold/nn/patch_encoder.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kPatch = 6;  // pixels a side; as Chen et al. on CIFAR-10
constexpr std::int64_t kGrid = 4;   // cells a side; ours
constexpr std::int64_t kElementsPerWidth = 128;
constexpr std::int64_t kMostDims = 384;         // of an embedding; Chen et al.
constexpr std::int64_t kMostComponents = 1024;  // ours, see the header
constexpr double kWhiteningPower = 0.75;        // of the principal components; ours, ditto
constexpr double kLeastVariance = 0.1;          // of a component, of the mean over all dimensions
constexpr double kThreshold = 0.4;              // ours, see the header
constexpr double kRidge = 0.1;                  // of the whitening; ours, ditto
constexpr double kContrastFloor =
    1e-5;                        // variance of normalised values: less than rounding to 8 bits
constexpr double kTiny = 1e-12;  // keeps what has no length from dividing by it

std::int64_t step_of(const std::string& stem) {
  if (stem == "cifar") {
    return 1;
  }
  return stem == "half" ? 2 : 4;
}

at::Tensor unit(const at::Tensor& x, std::int64_t dim) {
  return torch::nn::functional::normalize(
      x, torch::nn::functional::NormalizeFuncOptions().p(2).dim(dim).eps(kTiny));
}

// The places of cell `i` of kGrid along a side of `places`: those of adaptive average pooling.
struct Span {
  std::int64_t first = 0;
  std::int64_t end = 0;
};

Span cell(std::int64_t i, std::int64_t places) {
  return {i * places / kGrid, ((i + 1) * places + kGrid - 1) / kGrid};
}

// Adds `embedding` to the cells that its place lies in.
void add_to_cells(const std::vector<float>& embedding,
                  std::int64_t y,
                  std::int64_t x,
                  std::int64_t height,
                  std::int64_t width,
                  float* cells) {
  for (std::int64_t i = 0; i < kGrid; ++i) {
    const auto rows = cell(i, height);
    if (y < rows.first || y >= rows.end) {
      continue;
    }
    for (std::int64_t j = 0; j < kGrid; ++j) {
      const auto columns = cell(j, width);
      if (x < columns.first || x >= columns.end) {
        continue;
      }
      const auto area = (rows.end - rows.first) * (columns.end - columns.first);
      const float share = 1.0F / static_cast<float>(area);
      float* target = cells + (i * kGrid + j) * static_cast<std::int64_t>(embedding.size());
      for (std::size_t k = 0; k < embedding.size(); ++k) {
        target[k] += share * embedding[k];
      }
    }
  }
}

void bring_to_unit_length(std::vector<float>& values) {
  double square = 0.0;
  for (const float value : values) {
    square += static_cast<double>(value) * value;
  }
  const auto scale = static_cast<float>(1.0 / std::max(std::sqrt(square), kTiny));
  for (float& value : values) {
    value *= scale;
  }
}

}  // namespace

PatchEncoder::PatchEncoder(const EncoderSpec& spec) : step_(step_of(spec.stem)) {
  const std::int64_t least = kPatch + 2;
  if (spec.input_size < least) {
    throw UsageError(fmt::format("patches of {} pixels need images of {} or more, not {}", kPatch,
                                 least, spec.input_size));
  }
  const std::int64_t d = kPatch * kPatch * spec.in_channels;
  const std::int64_t elements = kElementsPerWidth * spec.width;
  const std::int64_t dims = std::min(kMostDims, elements / 2);
  mean_ = register_buffer("mean", at::zeros({d}));
  whitening_ = register_buffer("whitening", at::eye(d));
  dictionary_ = register_buffer("dictionary",
                                unit(at::randn({elements, d}), 1).to(at::kBFloat16).to(at::kFloat));
  embedding_ = register_parameter(
      "embedding", at::randn({elements, dims}).div_(std::sqrt(static_cast<double>(dims))));
  const std::int64_t values = kGrid * kGrid * dims;
  cell_mean_ = register_buffer("cell_mean", at::zeros({values}));
  projection_ =
      register_buffer("projection", at::randn({values, std::min(kMostComponents, values / 2)})
                                        .div_(std::sqrt(static_cast<double>(values))));
}

std::int64_t PatchEncoder::feature_dim() const {
  return projection_.size(1);
}

std::int64_t PatchEncoder::places(std::int64_t pixels) const {
  return (pixels - kPatch) / step_ + 1;
}

at::Tensor PatchEncoder::contrast_patches(const at::Tensor& x) const {
  check(x.dim() == 4 && kPatch * kPatch * x.size(1) == patch_dim(),
        "images do not have the bands of this encoder");
  check(std::min(x.size(2), x.size(3)) >= kPatch,
        fmt::format("images of {} x {} pixels have no patch of {}", x.size(2), x.size(3), kPatch));
  auto patches =
      at::im2col(x.to(at::kFloat).contiguous(), {kPatch, kPatch}, {1, 1}, {0, 0}, {step_, step_})
          .transpose(1, 2);  // [N, L, d]
  patches = patches - patches.mean(2, /*keepdim=*/true);
  return patches / patches.square().mean(2, /*keepdim=*/true).add(kContrastFloor).sqrt();
}

at::Tensor PatchEncoder::whitened(const at::Tensor& patches) const {
  return unit((patches - mean_).matmul(whitening_), -1).to(at::kBFloat16).to(at::kFloat);
}

std::vector<PatchCodes> PatchEncoder::codes(const at::Tensor& x) const {
  // The values are those of bfloat16 in either type.
  static const auto type = __builtin_cpu_supports("avx512bf16") != 0 ? at::kBFloat16 : at::kFloat;
  const at::NoGradGuard no_grad;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  const auto patches = whitened(contrast_patches(x)).to(type).contiguous();  // [N, L, d]
  const PatchDictionary dictionary(dictionary_, type);
  std::vector<PatchCodes> codes(static_cast<std::size_t>(x.size(0)));
  at::parallel_for(0, x.size(0), 1, [&](std::int64_t first, std::int64_t end) {
    const at::NoGradGuard no_grad_here;
    for (std::int64_t i = first; i < end; ++i) {
      codes[static_cast<std::size_t>(i)] =
          dictionary.codes(patches[i], static_cast<float>(kThreshold));
    }
  });
  return codes;
}

// [N, K, kGrid, kGrid], by way of the codes.
at::Tensor PatchEncoder::cells_by_codes(const at::Tensor& x) const {
  constexpr std::int64_t kAtATime = 32;  // images: their patches take 10 MB at 32 pixels
  const std::int64_t height = places(x.size(2));
  const std::int64_t width = places(x.size(3));
  const auto dims = embedding_.size(1);
  const auto embedding = embedding_.detach().contiguous();
  auto cells = at::zeros({x.size(0), kGrid, kGrid, dims});
  for (std::int64_t begin = 0; begin < x.size(0); begin += kAtATime) {
    const auto count = std::min(kAtATime, x.size(0) - begin);
    const auto found = codes(x.narrow(0, begin, count));
    at::parallel_for(0, count, 1, [&](std::int64_t first, std::int64_t end) {
      std::vector<float> sum(static_cast<std::size_t>(dims));
      for (std::int64_t i = first; i < end; ++i) {
        const auto& image = found[static_cast<std::size_t>(i)];
        float* target = cells.data_ptr<float>() + (begin + i) * kGrid * kGrid * dims;
        for (std::size_t l = 0; l < image.patches(); ++l) {
          if (image.of(l).empty()) {
            continue;
          }
          sum_embeddings(image.of(l), embedding.data_ptr<float>(), sum);
          bring_to_unit_length(sum);
          const auto place = static_cast<std::int64_t>(l);
          add_to_cells(sum, place / width, place % width, height, width, target);
        }
      }
    });
  }
  return cells.permute({0, 3, 1, 2});
}

// The same by LibTorch's operations on codes with all their zeros.
at::Tensor PatchEncoder::cells_by_products(const at::Tensor& x) const {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  const auto products = whitened(contrast_patches(x)).matmul(dictionary_.t());  // [N, L, D]
  const auto codes = products.gt(kThreshold).to(at::kFloat);
  const auto embedded = unit(codes.matmul(embedding_), 2);  // [N, L, K]
  const auto map = embedded.transpose(1, 2).reshape(
      {-1, embedding_.size(1), places(x.size(2)), places(x.size(3))});
  return at::adaptive_avg_pool2d(map, {kGrid, kGrid});
}

at::Tensor PatchEncoder::cells(const at::Tensor& x) const {
  const bool by_products = (at::GradMode::is_enabled() && embedding_.requires_grad()) ||
                           torch::jit::tracer::isTracing() || !x.device().is_cpu();
  const auto means = by_products ? cells_by_products(x) : cells_by_codes(x);
  return unit(means.sign() * means.abs().add(kTiny).sqrt(), 1).flatten(1);
}

at::Tensor PatchEncoder::forward(const at::Tensor& x) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  return (cells(x) - cell_mean_).matmul(projection_);
}

void PatchEncoder::set_dictionary(const at::Tensor& patches,
                                  const at::Tensor& mean,
                                  const at::Tensor& covariance) {
  check(patches.sizes() == dictionary_.sizes() && mean.sizes() == mean_.sizes() &&
            covariance.sizes() == whitening_.sizes(),
        "a dictionary of other sizes than this encoder's");
  const at::NoGradGuard no_grad;
  const auto [values, vectors] = at::linalg_eigh(covariance.to(at::kDouble), "L");
  const auto scales = values.clamp_min(0.0).add(kRidge).rsqrt();
  whitening_.copy_((vectors * scales).mm(vectors.t()));
  mean_.copy_(mean);
  dictionary_.copy_(whitened(patches));
}

void PatchEncoder::set_projection(const at::Tensor& mean, const at::Tensor& covariance) {
  check(mean.sizes() == cell_mean_.sizes() && covariance.size(0) == mean.size(0) &&
            covariance.size(1) == mean.size(0),
        "moments of other sizes than this encoder's cells");
  const at::NoGradGuard no_grad;
  const auto leading = leading_eigenvectors(covariance, projection_.size(1));
  const double least = kLeastVariance * covariance.diagonal().mean().item<double>();
  projection_.copy_(leading.vectors *
                    leading.values.clamp_min(std::max(least, kTiny)).pow(-kWhiteningPower / 2.0));
  cell_mean_.copy_(mean);
}

// 12 rounds with 32 vectors more than wanted bring those wanted to the precision of float32 where
// the spectrum falls as steeply as those of patches do.
LeadingEigenvectors leading_eigenvectors(const at::Tensor& matrix, std::int64_t count) {
  constexpr int kRounds = 12;
  constexpr std::int64_t kSpare = 32;
  check(matrix.dim() == 2 && matrix.size(0) == matrix.size(1) && count >= 1 &&
            count <= matrix.size(0),
        "a square matrix has at most as many eigenvectors as rows");
  const std::int64_t columns = std::min(matrix.size(0), count + kSpare);
  auto basis = std::get<0>(at::linalg_qr(at::randn({matrix.size(0), columns})));
  for (int round = 0; round < kRounds; ++round) {
    basis = std::get<0>(at::linalg_qr(matrix.mm(basis)));
  }
  const auto small = basis.t().mm(matrix.mm(basis));
  const auto [values, vectors] = at::linalg_eigh((small + small.t()).div(2.0), "L");
  return {.values = values.narrow(0, columns - count, count),
          .vectors = basis.mm(vectors.narrow(1, columns - count, count))};
}

}  // namespace viewfold
