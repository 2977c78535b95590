// ReLICv2 (Tomasev et al., arXiv:2201.05119): finds the image in the targets of a slowly moving
// copy, from large and small crops, and asks that it is found alike from both sides.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/relic.hpp"
#include "viewfold/nn/momentum.hpp"

namespace viewfold::methods {
namespace {

// A mask that covers less or more of a view than this is taken for a failed one: ours, from masks
// that were made without labels.
constexpr double kLeastForeground = 0.05;
constexpr double kMostForeground = 0.70;

struct ReLicV2Config final : Config {
  // Large: heads and momentum of BYOL (arXiv:2006.07733 Sec. 3.3), on whose code the authors'
  // repository says that it relies. Small: heads of BYOL in lightly's CIFAR-10 benchmark, its
  // momentum for short runs. Neither the authors' repository nor any text that we have names
  // temperature, weights and the number of negatives: 10 negatives are the paper's from memory, the
  // weights are those of the summaries that add the two terms, 0.2 suits 10 negatives.
  explicit ReLicV2Config(ImageScale scale)
      : hidden_dim(scale == ImageScale::kSmall ? 1024 : 4096),
        momentum(scale == ImageScale::kSmall ? 0.99 : 0.996) {}

  double temperature = 0.2;
  std::int64_t negatives = 10;
  double alpha = 1.0;
  double beta = 1.0;
  std::string stop_gradient = "entropy";  // from memory of the paper
  bool include_same_view = true;          // the paper's pseudo-code
  double mask_probability = 0.0;  // the paper's 0.1, from memory, needs a data set with masks
  std::int64_t hidden_dim;
  std::int64_t output_dim = 256;
  double momentum;

  void visit(FieldVisitor& v) override {
    v.field("temperature", temperature, {.doc = "tau of both terms", .min = 1e-3, .max = 100});
    v.field("negatives", negatives,
            {.doc = "n_e: images of the batch that each image is told from, drawn for each pair of "
                    "views; the batch size or more takes all others",
             .min = 1,
             .max = 1 << 24});
    v.field("alpha", alpha, {.doc = "weight of the contrastive term", .min = 0, .max = 1e6});
    v.field("beta", beta, {.doc = "weight of the invariance term", .min = 0, .max = 1e6});
    v.field("stop_gradient", stop_gradient,
            {.doc = "what of KL(P || Q) sends no gradient: the entropy of P, or P altogether",
             .choices = {"entropy", "distribution"}});
    v.field("include_same_view", include_same_view,
            {.doc = "compare a large view with the target of itself as well"});
    v.field("mask_probability", mask_probability,
            {.doc = "share of the large views whose background becomes one random grey; for "
                    "programs that use the library: no data set of the program has masks",
             .min = 0,
             .max = 1});
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the projector's hidden layer", .min = 1, .max = 65536});
    v.field("output_dim", output_dim, {.doc = "width of the projection", .min = 1, .max = 65536});
    v.field(
        "momentum", momentum,
        {.doc = "of the target network at the start; a cosine takes it to 1", .min = 0, .max = 1});
  }
};

template <class T>
at::Tensor zeros_of(const Image& mask) {
  const auto values = mask.values<T>();
  auto zero = at::empty({mask.height(), mask.width()}, at::kBool);
  std::transform(values.begin(), values.end(), zero.data_ptr<bool>(),
                 [](T value) { return value == 0; });
  return zero;
}

// Where the background is in a view of `size` pixels a side, [S, S]; nothing where the mask is not
// to be trusted.
std::optional<at::Tensor> background_of(const Image& mask, std::int64_t size) {
  auto background = mask.type() == PixelType::kUint16 ? zeros_of<std::uint16_t>(mask)
                                                      : zeros_of<std::uint8_t>(mask);
  const double foreground = 1.0 - background.to(at::kDouble).mean().item<double>();
  if (foreground < kLeastForeground || foreground > kMostForeground) {
    return std::nullopt;
  }
  if (mask.height() != size || mask.width() != size) {  // views may have been made smaller
    background =
        at::upsample_nearest2d(background.to(at::kFloat).unsqueeze(0).unsqueeze(0), {size, size})
            .to(at::kBool)
            .view({size, size});
  }
  return background;
}

class ReLicV2 final : public Method {
 public:
  ReLicV2(const ReLicV2Config& config, const MethodContext& context)
      : config_(config),
        encoder_(make_encoder(context.encoder)),
        target_encoder_(make_encoder(context.encoder)) {
    const MlpSpec projector{.in = encoder_->feature_dim(),
                            .widths = {config.hidden_dim, config.output_dim},
                            .output_bias = false};
    projector_ = std::make_shared<Mlp>(projector);
    target_projector_ = std::make_shared<Mlp>(projector);
    copy_parameters(*encoder_, *target_encoder_);
    copy_parameters(*projector_, *target_projector_);
    module_.register_module("encoder", encoder_);
    module_.register_module("projector", projector_);
    module_.register_module("target_encoder", target_encoder_);
    module_.register_module("target_projector", target_projector_);
  }

  // The first group of views are the large ones, L of them. All others are small: S of them, which
  // have no targets.
  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    if (batch.views() < 2) {
      throw UsageError(
          "relicv2 compares views of one image: it needs two or more (raise --views.large.views)");
    }
    const auto large = large_views(batch, context.communicator);  // [LN, C, S, S]
    const auto larges = large.size(0) / batch.size();
    auto features = encoder_->forward_parts(large, larges).chunk(larges);  // [N, F] each
    for (std::size_t g = 1; g < batch.groups.size(); ++g) {
      const auto smalls = batch.groups[g].size(0) / batch.size();
      for (const auto& of_view : encoder_->forward_parts(batch.groups[g], smalls).chunk(smalls)) {
        features.push_back(of_view);
      }
    }
    std::vector<at::Tensor> online;
    for (const auto& of_view : features) {
      online.push_back(projector_->forward(of_view));
    }
    auto targets = targets_of(large, larges);
    auto output = compare(at::stack(online, 1), at::stack(targets, 1), context.communicator);
    targets.resize(2);  // of one large view, the other has none
    return {.output = std::move(output),
            .features = {features[0], features[1]},
            .outputs = {online[0], online[1]},
            .targets = std::move(targets)};
  }

  at::Tensor outputs(const at::Tensor& images) override {
    return projector_->forward(encoder_->forward(images));
  }
  [[nodiscard]] std::int64_t output_dim() const override { return config_.output_dim; }

  // Half of one pair of views: step() takes the mean of all pairs. Negatives are drawn anew.
  at::Tensor pair_loss(const at::Tensor& outputs,
                       const at::Tensor& target,
                       const StepContext& context) override {
    const auto& processes = context.communicator;
    const auto terms = terms_of({.online = outputs,
                                 .target = target,
                                 .all_online = processes.all_gather(outputs),
                                 .all_targets = processes.all_gather(target)},
                                processes);
    return loss_of(terms).mul(0.5);
  }

  void after_optimizer_step(const StepContext& context) override {
    const double momentum = cosine_momentum(config_.momentum, context.progress());
    ema_update(*target_encoder_, *encoder_, momentum);
    ema_update(*target_projector_, *projector_, momentum);
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t n) const override {
    const auto candidates = static_cast<double>(std::min(1 + config_.negatives, n));
    return {{.name = "alpha ln(1+n_e)",
             .value = config_.alpha * std::log(candidates),
             .cause = "every image looks alike to the network: likely a learning rate that is too "
                      "high, or a momentum that is too low"}};
  }

 private:
  [[nodiscard]] RelicTerms terms_of(const RelicRows& rows, const Communicator& processes) const {
    const auto n = rows.online.size(0);
    // Of all processes, so that an image's negatives do not depend on their number.
    const auto negatives = draw_negatives(rows.all_online.size(0), config_.negatives);
    const auto stop =
        config_.stop_gradient == "entropy" ? RelicStop::kEntropy : RelicStop::kDistribution;
    return relic(rows, negatives.narrow(0, processes.rank() * n, n), config_.temperature, stop);
  }

  [[nodiscard]] at::Tensor loss_of(const RelicTerms& terms) const {
    return config_.alpha * terms.nll + config_.beta * terms.kl;
  }

  // online   [N, L + S, D] projections of all views, of the images of this process
  // targets  [N, L, D]
  [[nodiscard]] StepOutput compare(const at::Tensor& online,
                                   const at::Tensor& targets,
                                   const Communicator& processes) const {
    const auto all_online = processes.all_gather(online);    // [B, L + S, D]
    const auto all_targets = processes.all_gather(targets);  // [B, L, D]
    std::vector<at::Tensor> nll;
    std::vector<at::Tensor> kl;
    for (std::int64_t i = 0; i < online.size(1); ++i) {
      for (std::int64_t j = 0; j < targets.size(1); ++j) {
        if (i == j && !config_.include_same_view) {
          continue;
        }
        const auto terms = terms_of({.online = online.select(1, i),
                                     .target = targets.select(1, j),
                                     .all_online = all_online.select(1, i),
                                     .all_targets = all_targets.select(1, j)},
                                    processes);
        nll.push_back(terms.nll);
        kl.push_back(terms.kl);
      }
    }
    const RelicTerms mean{.nll = at::stack(nll).mean(), .kl = at::stack(kl).mean()};
    return {.loss = loss_of(mean),
            .embedding = online.select(1, 0).detach(),
            .scalars = {{"nll", mean.nll.item<double>()}, {"kl", mean.kl.item<double>()}}};
  }

  // Of each of `count` views, [N, D]. The target network is in training mode: it normalises by its
  // batches.
  [[nodiscard]] std::vector<at::Tensor> targets_of(const at::Tensor& views,
                                                   std::int64_t count) const {
    const torch::NoGradGuard no_grad;
    std::vector<at::Tensor> targets;
    for (const auto& features : target_encoder_->forward_parts(views, count).chunk(count)) {
      targets.push_back(target_projector_->forward(features));
    }
    return targets;
  }

  // The views of the first group. With the probability of the settings, drawn for each crop by
  // itself, the background of one becomes a grey from -1 to 1 standard deviations around the mean
  // colour, which is 0 in normalised views.
  [[nodiscard]] at::Tensor large_views(const ViewBatch& batch,
                                       const Communicator& processes) const {
    const auto& views = batch.groups.front();
    if (config_.mask_probability == 0.0) {
      return views;
    }
    if (batch.annotations.empty()) {
      throw UsageError(
          "the data set has no masks of the background, which --method.mask_probability needs (set "
          "it to 0, or take a data set with masks)");
    }
    const auto n = batch.size();
    const auto count = views.size(0) / n;
    // Of all processes, so that a view's draws do not depend on their number.
    const auto draws = at::rand({2, count, n * processes.size()}, at::kDouble);
    const auto draw = draws.accessor<double, 3>();
    auto masked = views.clone();
    for (std::int64_t v = 0; v < count; ++v) {
      for (std::int64_t i = 0; i < n; ++i) {
        const auto in_batch = processes.rank() * n + i;
        const auto& mask = batch.annotations_of(v, i).mask;
        if (!mask || draw[0][v][in_batch] >= config_.mask_probability) {
          continue;
        }
        if (const auto background = background_of(*mask, views.size(2))) {
          masked.select(0, v * n + i).masked_fill_(*background, 2.0 * draw[1][v][in_batch] - 1.0);
        }
      }
    }
    return masked;
  }

  ReLicV2Config config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Encoder> target_encoder_;
  std::shared_ptr<Mlp> projector_;
  std::shared_ptr<Mlp> target_projector_;
  torch::nn::Module module_;
};

// BYOL's: the authors' repository relies on it, and names no optimiser for this training.
void train_defaults(ImageScale scale, TrainConfig& config) {
  if (scale == ImageScale::kSmall) {
    config.optimizer = "sgd";  // lightly's CIFAR-10 benchmark: 0.06 at 128 images
    config.base_lr = 0.12;
    config.weight_decay = 5e-4;
    config.decay_norm_and_bias = true;
    config.warmup_epochs = 0;
  } else {
    config.optimizer = "lars";  // BYOL, Sec. 3.3
    config.base_lr = 0.2;
    config.weight_decay = 1.5e-6;
    config.decay_norm_and_bias = false;
    config.warmup_epochs = 10;
  }
}

}  // namespace

MethodEntry relicv2_entry() {
  return method_entry<ReLicV2, ReLicV2Config>(
      {.name = "relicv2",
       .paper = "arXiv:2201.05119",
       .summary = "finds an image in large and small crops, and alike when the views swap roles",
       .recipe = "relicv2",
       .views = 0,
       .has_targets = true,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
