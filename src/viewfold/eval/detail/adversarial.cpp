// Implements attacks on features in the space of pixels.
#include "viewfold/eval/adversarial.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/fast_hash.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/eval/detail/evaluation_mode.hpp"
#include "viewfold/eval/invariance.hpp"
#include "viewfold/nn/fused/block.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

constexpr double kFgsmStart = 0.1;  // of epsilon; ours
constexpr double kStep = 2.5;       // of epsilon, over all steps together

// No parameter wants a gradient for as long as it lives; then those that did do again.
class FrozenParameters {
 public:
  explicit FrozenParameters(const torch::nn::Module& module) {
    for (const auto& parameter : module.parameters()) {
      if (parameter.requires_grad()) {
        wanting_.push_back(parameter.requires_grad_(false));
      }
    }
  }
  ~FrozenParameters() {
    for (const auto& parameter : wanting_) {
      parameter.requires_grad_(true);
    }
  }
  FrozenParameters(const FrozenParameters&) = delete;
  FrozenParameters& operator=(const FrozenParameters&) = delete;

 private:
  std::vector<at::Tensor> wanting_;
};

// An encoder of pixels in [0, 1], to length 1.
class PixelEncoder {
 public:
  PixelEncoder(Encoder& encoder, const Normalization& normalization)
      : encoder_(encoder),
        device_(at::kCPU),
        mean_(per_band(normalization.mean)),
        std_(per_band(normalization.std)) {
    if (const auto state = module_state(encoder); !state.empty()) {
      device_ = state.front().tensor.device();
    }
  }

  // [N, C, H, W] to [N, D], on the CPU
  [[nodiscard]] at::Tensor features(const at::Tensor& pixels) const {
    const auto input = (pixels - mean_) / std_;
    return encoder_.forward(input.to(device_)).to(at::kCPU, at::kFloat);
  }

  // The same on the unit sphere.
  [[nodiscard]] at::Tensor directions(const at::Tensor& pixels) const {
    const auto rows = features(pixels);
    return rows / at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, true).clamp_min(1e-12);
  }

  // The gradient at `pixels` of the sum of 1 - cosine to `clean`. As half the square of a distance,
  // which says the same: near the clean features nothing cancels.
  [[nodiscard]] at::Tensor gradient(const at::Tensor& pixels, const at::Tensor& clean) const {
    const at::AutoGradMode with_gradients(true);
    const auto x = pixels.detach().requires_grad_(true);
    const auto loss = (directions(x) - clean).square().sum() / 2.0;
    at::Tensor gradient;
    if (loss.requires_grad()) {
      gradient = torch::autograd::grad({loss}, {x}, {}, c10::nullopt, false, true)[0];
    }
    if (!gradient.defined()) {
      throw UsageError(
          "the features of this encoder have no gradient down to the pixels, and cannot be "
          "attacked along one (codes of 0 and 1 have none)");
    }
    return gradient;
  }

 private:
  // [C, 1, 1]
  static at::Tensor per_band(const std::vector<double>& values) {
    return at::tensor(values, at::kFloat).view({-1, 1, 1});
  }

  Encoder& encoder_;
  at::Device device_;
  at::Tensor mean_;
  at::Tensor std_;
};

// Numbers in [-1, 1), or of -1 and 1 alone: [N, C, H, W] in the memory format of `like`.
at::Tensor random_changes(const at::Tensor& like, const AttackSpec& spec) {
  auto changes = at::empty(like.sizes(), at::kFloat);
  const std::int64_t values = like.numel() / like.size(0);
  auto* value = changes.data_ptr<float>();
  for (std::int64_t i = 0; i < like.size(0); ++i) {
    Rng rng({.seed = spec.seed,
             .stream = "attack",
             .sample = spec.first + static_cast<std::uint32_t>(i),
             .op = static_cast<std::uint16_t>(spec.attack)});
    for (std::int64_t j = 0; j < values; ++j) {
      const double drawn = rng.uniform(-1.0, 1.0);
      const double sign = drawn < 0.0 ? -1.0 : 1.0;
      *value++ = static_cast<float>(spec.attack == Attack::kNoise ? sign : drawn);
    }
  }
  return changes.contiguous(like.suggest_memory_format());
}

// The nearest to `changed` that are pixels and within epsilon of `pixels`.
at::Tensor project(const at::Tensor& changed, const at::Tensor& pixels, double epsilon) {
  const auto low = (pixels - epsilon).clamp_min_(0.0);
  const auto high = (pixels + epsilon).clamp_max_(1.0);
  return at::minimum(at::maximum(changed, low), high);
}

void check_attack(const at::Tensor& pixels, const Normalization& normalization) {
  check(pixels.defined() && pixels.dim() == 4 && pixels.scalar_type() == at::kFloat &&
            pixels.numel() >= 1 && pixels.device().is_cpu(),
        "pixels to attack must be float32 [N, C, H, W]");
  const auto bands = static_cast<std::size_t>(pixels.size(1));
  check(normalization.mean.size() == bands && normalization.std.size() == bands,
        fmt::format("pixels {} need one mean and one std per band", shape_text(pixels)));
  check(pixels.ge(0.0).logical_and_(pixels.le(1.0)).all().item<bool>(),
        "pixels to attack must be in [0, 1]");
}

void check_strength(double epsilon, std::int64_t steps) {
  check(epsilon >= 0.0 && epsilon <= 1.0 && steps >= 1,
        fmt::format("{} steps of an attack within {} cannot be (1 or more, within 0 to 1)", steps,
                    epsilon));
}

std::uint64_t state_hash(const torch::nn::Module& module) {
  std::vector<std::uint64_t> hashes;
  for (const auto& item : module_state(module)) {
    const auto values = item.tensor.cpu().contiguous();
    hashes.push_back(
        fast_hash({static_cast<const std::byte*>(values.data_ptr()), values.nbytes()}));
  }
  return fast_hash(std::as_bytes(std::span(hashes)));
}

// Accuracy of the vote of `bank` on features.
double accuracy_of(const EvaluationInput& bank,
                   const at::Tensor& features,
                   const at::Tensor& labels) {
  const auto& knn = find_evaluation("knn");
  EvaluationInput input = bank;
  input.test = {.features = features, .labels = labels};
  return knn.run(input, *knn.config()).numbers.at("accuracy");
}

// The images of one measurement, a batch at a time.
class Batches {
 public:
  Batches(const Preprocess& preprocess, const AdversarialSpec& spec)
      : preprocess_(preprocess),
        spec_(spec) {
    const auto bands = static_cast<std::size_t>(preprocess.bands);
    preprocess_.normalization = {.mean = std::vector<double>(bands, 0.0),
                                 .std = std::vector<double>(bands, 1.0)};
  }

  // Calls body(pixels [n, C, S, S], channels-last; the number of the first of them).
  void for_each(const std::function<void(const at::Tensor&, std::size_t)>& body) const {
    const std::size_t size = spec_.images->size();
    const auto step = static_cast<std::size_t>(spec_.batch_size);
    for (std::size_t first = 0; first < size; first += step) {
      std::vector<std::uint32_t> indices(std::min(step, size - first));
      std::iota(indices.begin(), indices.end(), static_cast<std::uint32_t>(first));
      const auto count = static_cast<std::int64_t>(indices.size());
      const auto some = make_subset(spec_.images, std::move(indices));
      const auto values = pixel_features(*some, preprocess_, spec_.threads).features;
      const std::int64_t side = preprocess_.input_size;
      // Rounding makes 1 + 6e-8 of white.
      body(values.view({count, side, side, preprocess_.bands})
               .permute({0, 3, 1, 2})
               .clamp_(0.0, 1.0),
           first);
    }
  }

 private:
  Preprocess preprocess_;
  const AdversarialSpec& spec_;
};

constexpr std::array kAttacks = {Attack::kNoise, Attack::kFgsm, Attack::kPgd};
constexpr std::array kNames = {"noise", "fgsm", "pgd"};

// Features of all images under each attack: parts [epsilon][attack] of rows in order.
using AttackedParts = std::vector<std::array<std::vector<at::Tensor>, kAttacks.size()>>;

AttackedParts attack_all(Encoder& encoder,
                         const Preprocess& preprocess,
                         const AdversarialSpec& spec,
                         const std::function<void(std::size_t, std::size_t)>& progress) {
  const PixelEncoder frozen(encoder, preprocess.normalization);
  AttackedParts parts(spec.epsilons.size());
  Batches(preprocess, spec).for_each([&](const at::Tensor& pixels, std::size_t first) {
    for (std::size_t e = 0; e < spec.epsilons.size(); ++e) {
      for (std::size_t a = 0; a < kAttacks.size(); ++a) {
        const auto changed = attack_pixels(encoder, pixels, preprocess.normalization,
                                           {.attack = kAttacks[a],
                                            .epsilon = spec.epsilons[e],
                                            .steps = spec.steps,
                                            .seed = spec.seed,
                                            .first = static_cast<std::uint32_t>(first)});
        parts[e][a].push_back(frozen.features(changed));
      }
    }
    if (progress) {
      progress(first + static_cast<std::size_t>(pixels.size(0)), spec.images->size());
    }
  });
  return parts;
}

void add_row(const AdversarialRow& row, std::size_t rows, std::map<std::string, double>& numbers) {
  const std::array outcomes = {row.noise, row.fgsm, row.pgd};
  for (std::size_t a = 0; a < outcomes.size(); ++a) {
    const auto ending = fmt::format("{}_{:.4g}", kNames.at(a), 255.0 * row.epsilon);
    numbers["accuracy_" + ending] = outcomes.at(a).accuracy;
    numbers["cosine_" + ending] = outcomes.at(a).cosine;
  }
  numbers["accuracy"] += row.pgd.accuracy / static_cast<double>(rows);
  numbers["cosine"] += row.pgd.cosine / static_cast<double>(rows);
}

}  // namespace

at::Tensor attack_pixels(Encoder& encoder,
                         const at::Tensor& pixels,
                         const Normalization& normalization,
                         const AttackSpec& spec) {
  const at::NoGradGuard no_grad;
  check_attack(pixels, normalization);
  check_strength(spec.epsilon, spec.steps);
  if (spec.epsilon == 0.0) {
    return pixels.clone();
  }
  const auto changes = random_changes(pixels, spec);
  if (spec.attack == Attack::kNoise) {
    return project(pixels + spec.epsilon * changes, pixels, spec.epsilon);
  }
  const bool once = spec.attack == Attack::kFgsm;
  const fused::FusedGuard plain(false);
  const EvaluationMode mode(encoder);
  const FrozenParameters frozen(encoder);
  const PixelEncoder encode(encoder, normalization);
  const auto clean = encode.directions(pixels);
  const double start = once ? kFgsmStart * spec.epsilon : spec.epsilon;
  auto changed = project(pixels + start * changes, pixels, spec.epsilon);
  const std::int64_t steps = once ? 1 : spec.steps;
  // 2 epsilon lead from any start to the rim on the other side.
  const double step =
      once ? 2.0 * spec.epsilon : kStep * spec.epsilon / static_cast<double>(spec.steps);
  for (std::int64_t i = 0; i < steps; ++i) {
    const auto direction = encode.gradient(changed, clean).sign_();
    changed = project(changed + step * direction, pixels, spec.epsilon);
  }
  return changed;
}

AdversarialResult measure_adversarial(
    Encoder& encoder,
    const Preprocess& preprocess,
    const EvaluationInput& bank,
    const AdversarialSpec& spec,
    const std::function<void(std::size_t, std::size_t)>& progress) {
  const at::NoGradGuard no_grad;
  check(spec.images != nullptr && spec.batch_size >= 1 && !spec.epsilons.empty(),
        "an attack needs images, batches of one or more, and an epsilon");
  for (const double epsilon : spec.epsilons) {
    check_strength(epsilon, spec.steps);
  }
  const auto before = state_hash(encoder);
  const fused::FusedGuard plain(false);
  const EvaluationMode mode(encoder);
  const auto labels = labels_of(*spec.images);
  std::vector<at::Tensor> parts;
  Batches(preprocess, spec).for_each([&](const at::Tensor& pixels, std::size_t /*first*/) {
    parts.push_back(PixelEncoder(encoder, preprocess.normalization).features(pixels));
  });
  check(!parts.empty(), "an attack needs images");
  const auto clean = at::cat(parts);  // [N, D]
  AdversarialResult measured;
  measured.result.numbers["clean_accuracy"] = accuracy_of(bank, clean, labels);
  const auto attacked = attack_all(encoder, preprocess, spec, progress);
  for (std::size_t e = 0; e < spec.epsilons.size(); ++e) {
    const auto outcome = [&](std::size_t attack) -> AttackOutcome {
      const auto features = at::cat(attacked[e].at(attack));
      // Of these vectors, whitened or not: exactly 1 between equal ones.
      const auto cosine = whitened_cosine(clean.to(at::kDouble), features.to(at::kDouble));
      return {.cosine = mean_over_grid(cosine).mean,
              .accuracy = accuracy_of(bank, features, labels)};
    };
    measured.rows.push_back(
        {.epsilon = spec.epsilons[e], .noise = outcome(0), .fgsm = outcome(1), .pgd = outcome(2)});
    add_row(measured.rows.back(), spec.epsilons.size(), measured.result.numbers);
  }
  check(state_hash(encoder) == before, "an attack changed the encoder");
  measured.result.protocol = fmt::format(
      "unsupervised attacks on the features of {} test images, within epsilon of each pixel: FGSM "
      "(arXiv:1412.6572), PGD of {} steps of 2.5 epsilon / steps (arXiv:1706.06083), and signs at "
      "random; cosine to the clean features, and kNN vote (k = 200, T = 0.1) of {} clean training "
      "images; accuracy and cosine: means of PGD over {} epsilons",
      spec.images->size(), spec.steps, bank.train.features.size(0), spec.epsilons.size());
  return measured;
}

}  // namespace viewfold
