// Images of an instance-conditioned generator (IC-GAN, Casanova et al., arXiv:2109.05070).
#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/manifold/ic_gan_task.hpp"
#include "viewfold/manifold/manifold.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold::operators {
namespace {

// Standard normal; beyond +-truncation drawn again.
float draw_noise(Rng& rng, double truncation) {
  double value = rng.normal();
  while (truncation > 0.0 && std::abs(value) > truncation) {
    value = rng.normal();
  }
  return static_cast<float>(value);
}

// [N, C, S, S] in [-1, 1] to images of uint8, height x width x bands.
void write_images(const at::Tensor& pictures, std::span<Image> images) {
  const auto bytes = pictures.add(1.0).mul_(127.5).round_().clamp_(0, 255).to(at::kByte);
  const auto compact = bytes.permute({0, 2, 3, 1}).contiguous();  // [N, S, S, C]
  const auto* from = compact.data_ptr<std::uint8_t>();
  for (auto& image : images) {
    image.reshape(static_cast<int>(compact.size(1)), static_cast<int>(compact.size(2)),
                  static_cast<int>(compact.size(3)), PixelType::kUint8);
    std::copy_n(from, image.value_count(), image.values<std::uint8_t>().begin());
    from += image.value_count();
  }
}

class IcGan final : public Manifold {
 public:
  explicit IcGan(const ManifoldContext& context)
      : context_(context),
        generator_(read_generator(generator_file(context.folder)).generator) {
    const auto& spec = generator_->spec();
    if (spec.condition_dim != context.manifold->features.size(1) || spec.bands != context.bands) {
      throw DataError(fmt::format(
          "{}: the generator is of conditions of {} numbers and images of {} bands, the manifold "
          "beside it of {} and {} (fit the manifold again)",
          generator_file(context.folder).string(), spec.condition_dim, spec.bands,
          context.manifold->features.size(1), context.bands));
    }
  }

  void sample(std::span<const std::uint32_t> samples,
              const RngKey& key,
              std::span<Image> images) const override {
    const at::NoGradGuard no_grad;
    for (std::size_t begin = 0; begin < samples.size(); begin += kBatch) {
      const std::size_t count = std::min(kBatch, samples.size() - begin);
      write_images(generate(samples.subspan(begin, count), key), images.subspan(begin, count));
    }
  }

 private:
  static constexpr std::size_t kBatch = 256;

  [[nodiscard]] at::Tensor generate(std::span<const std::uint32_t> samples,
                                    const RngKey& key) const {
    const auto n = static_cast<std::int64_t>(samples.size());
    auto z = at::empty({n, generator_->noise_dim()}, at::kFloat);
    auto rows = at::empty({n}, at::kLong);
    for (std::int64_t i = 0; i < n; ++i) {
      RngKey own = key;
      own.sample = samples[static_cast<std::size_t>(i)];
      rows[i] = static_cast<std::int64_t>(own.sample);
      Rng rng(own);
      auto* row = z.data_ptr<float>() + i * z.size(1);
      std::generate_n(row, z.size(1), [&] { return draw_noise(rng, context_.truncation); });
    }
    const AutocastGuard autocast(uses_bf16("auto"));
    return generator_->forward(z, context_.manifold->features.index_select(0, rows));
  }

  ManifoldContext context_;
  std::shared_ptr<Generator> generator_;
};

}  // namespace

ManifoldEntry ic_gan_entry() {
  return {.name = "ic_gan",
          .summary = "an image of the generator fitted to the neighbourhoods (arXiv:2109.05070)",
          .is_costly = true,
          .make = [](const ManifoldContext& context) -> std::unique_ptr<Manifold> {
            return std::make_unique<IcGan>(context);
          }};
}

}  // namespace viewfold::operators
