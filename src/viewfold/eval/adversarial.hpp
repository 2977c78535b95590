// How far features move, and what a vote on them loses, under the worst small changes of pixels.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "viewfold/data/dataset.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/eval/features.hpp"
#include "viewfold/nn/encoder.hpp"
#include "viewfold/tensor/image_tensor.hpp"

namespace viewfold {

/// How pixels are changed, each by epsilon at most, so that the features turn away.
enum class Attack {
  kNoise,  // by epsilon up or down, at random: the control
  kFgsm,   // one step along the signs of the gradient (Goodfellow et al., arXiv:1412.6572)
  kPgd,    // several, projected (Madry et al., arXiv:1706.06083, Sec. 2.1)
};

struct AttackSpec {
  Attack attack = Attack::kPgd;
  double epsilon = 4.0 / 255.0;  // of a range of pixels of [0, 1]; 0 changes nothing
  std::int64_t steps = 10;       // of kPgd, each 2.5 epsilon / steps (ibid., where epsilon varies)
  std::uint64_t seed = 0;
  std::uint32_t first = 0;  // number of the first image: image i draws by first + i
};

/// The images, changed so that the cosine between their features and those of `pixels` falls. No
/// label is asked for. Where nothing has been changed the cosine has no gradient, so that kPgd
/// starts anywhere within epsilon, and kFgsm within epsilon / 10 (ours). What one image becomes
/// does not depend on the others. The encoder is in evaluation mode meanwhile, its parameters get
/// no gradients; runs by LibTorch's own operations.
/// pixels         [N, C, H, W] float32 in [0, 1], before normalisation
/// normalization  what the encoder wants, a mean and a std per band
/// returns        the same shape, in [0, 1], within epsilon of `pixels` (and rounding)
/// Throws UsageError when the features have no gradient down to the pixels (codes of 0 and 1 have
/// none), ContractViolation when shapes, types or settings do not fit.
[[nodiscard]] at::Tensor attack_pixels(Encoder& encoder,
                                       const at::Tensor& pixels,
                                       const Normalization& normalization,
                                       const AttackSpec& spec);

/// What is attacked, and how much.
struct AdversarialSpec {
  std::shared_ptr<const Dataset> images;  // labelled test images; the labels only judge
  std::vector<double> epsilons{1.0 / 255.0, 2.0 / 255.0, 4.0 / 255.0, 8.0 / 255.0};
  std::int64_t steps = 10;
  std::uint64_t seed = 0;
  std::int64_t batch_size = 50;  // images at a time; all their maps are held for the gradient
  int threads = 1;               // that decode
};

/// What is left under one attack.
struct AttackOutcome {
  double cosine = 0.0;    // mean, of the features of an image before and after
  double accuracy = 0.0;  // of the vote, in [0, 1]
};

/// What is left under changes of one size.
struct AdversarialRow {
  double epsilon = 0.0;
  AttackOutcome noise = {};
  AttackOutcome fgsm = {};
  AttackOutcome pgd = {};
};

struct AdversarialResult {
  // "clean_accuracy"; for each epsilon, with E = 255 epsilon, "accuracy_pgd_E", "cosine_pgd_E", and
  // the same of fgsm and noise; "accuracy" and "cosine": means of those of pgd.
  EvaluationResult result;
  std::vector<AdversarialRow> rows;  // in the order of the epsilons
};

/// Accuracy of a kNN vote (its defaults) with a bank of clean training features, on images attacked
/// in the space of pixels, as they enter the encoder; and the cosine of their features to the clean
/// ones. An image costs (5 + 3 steps) forward passes or so for each epsilon. Changed pixels are
/// not rounded to 8 bits. An upper bound of the accuracy under the worst change: stronger attacks
/// may exist.
/// bank      features of training images with labels
/// progress  called after each batch with how many images of all are done; may be empty
/// Throws UsageError as attack_pixels() does, DataError without labels, ContractViolation when the
/// settings do not fit, or the encoder has changed.
[[nodiscard]] AdversarialResult measure_adversarial(
    Encoder& encoder,
    const Preprocess& preprocess,
    const EvaluationInput& bank,
    const AdversarialSpec& spec,
    const std::function<void(std::size_t done, std::size_t all)>& progress = {});

}  // namespace viewfold
