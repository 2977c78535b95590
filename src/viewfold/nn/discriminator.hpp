// Tell images of a condition's neighbourhood from generated ones.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <torch/nn/module.h>

#include "viewfold/nn/encoder.hpp"

namespace viewfold {

/// Scores images against conditions by projection (Miyato and Koyama, arXiv:1802.05637): an image,
/// or a part of it, becomes phi, and the answer is w . phi + b + <V h, phi>. Real images go through
/// in one pass, generated ones in another.
class Discriminator : public torch::nn::Module {
 public:
  /// x        [N, C, S, S] float32, normalised
  /// h        [N, D] float32, unit rows; or [R, N, D]: R conditions for each image
  /// returns  [A, N] float32, or [R, A, N]: A answers to each pair, larger for what looks real
  virtual at::Tensor forward(const at::Tensor& x, const at::Tensor& h) = 0;
};

/// The shape of a discriminator.
struct DiscriminatorSpec {
  std::int64_t size = 32;          // of the images
  std::int64_t bands = 3;          // of the images
  std::int64_t condition_dim = 0;  // D
  std::int64_t channels = 64;
};

/// BigGAN's discriminator as IC-GAN has it at 32 px (arXiv:2109.05070): residual blocks with
/// spectral normalisation, the first two halve the size, the sum over all pixels of the last maps
/// is phi. One answer.
[[nodiscard]] std::shared_ptr<Discriminator> make_pixel_discriminator(
    const DiscriminatorSpec& spec);

/// Looks at the stages of a frozen encoder (Projected GANs, Sauer et al., arXiv:2111.01007): each
/// is brought to mean 0 and deviation 1 per channel, as measured on `images`, mixed by a fixed
/// random 1x1 convolution, and judged place by place (at most 7 x 7 of them) by a small head of its
/// own with batch normalisation; one more head looks at the pixels. Only the heads learn. An
/// encoder's own pretraining has made it blind to noise and colour, which is what the head on
/// pixels is for. images  [M, C, S, S] float32, normalised: some of the real ones
[[nodiscard]] std::shared_ptr<Discriminator> make_projected_discriminator(
    const DiscriminatorSpec& spec,
    const std::shared_ptr<Encoder>& encoder,
    const at::Tensor& images);

}  // namespace viewfold
