// SwAV (Caron et al., arXiv:2006.09882): predicts from one view to which prototypes another is
// assigned, in assignments that share the batch out evenly.
#include <cmath>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/assignments.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/queue.hpp"

namespace viewfold::methods {
namespace {

// The crops that are assigned, of all the crops that predict (the authors' crops_for_assign).
constexpr std::int64_t kAssigned = 2;

struct SwavConfig final : Config {
  // Large: the authors' code, scripts/swav_200ep_bs256_pretrain.sh. Small: Un-Mix's CIFAR preset
  // (script_unmix_c10.sh), whose queue of 120 is shorter than its batch and so does nothing.
  explicit SwavConfig(ImageScale scale)
      : prototypes(scale == ImageScale::kSmall ? 100 : 3000),
        hidden_dim(scale == ImageScale::kSmall ? 512 : 2048),
        queue_size(scale == ImageScale::kSmall ? 0 : 3840) {}

  double temperature = 0.1;  // the authors' code, as all that does not depend on the scale
  double epsilon = 0.05;
  std::int64_t iterations = 3;
  std::int64_t prototypes;
  std::int64_t hidden_dim;
  std::int64_t output_dim = 128;
  std::int64_t queue_size;
  std::int64_t queue_from = 15;
  // The authors' 5005 steps of 256 images and 313 steps of 4096 are one epoch of ImageNet. Un-Mix
  // keeps the 5005, which are 13 epochs of its CIFAR runs.
  std::int64_t freeze_epochs = 1;
  bool sinkhorn = true;

  void visit(FieldVisitor& v) override {
    v.field("temperature", temperature,
            {.doc = "T of the predicted assignment", .min = 1e-3, .max = 100});
    v.field("epsilon", epsilon,
            {.doc = "smoothness of the assignments; lower it where the loss stands at ln K",
             .min = 1e-4,
             .max = 100});
    v.field("iterations", iterations,
            {.doc = "of Sinkhorn-Knopp, towards assignments that use all prototypes alike",
             .min = 1,
             .max = 1000});
    v.field("prototypes", prototypes,
            {.doc = "K, to which views are assigned", .min = 2, .max = 1 << 20});
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the projector's hidden layer", .min = 1, .max = 65536});
    v.field("output_dim", output_dim,
            {.doc = "width of embeddings and prototypes", .min = 1, .max = 65536});
    v.field("queue_size", queue_size,
            {.doc = "embeddings of earlier batches that are assigned together with the batch, for "
                    "batches smaller than the prototypes; a multiple of the batch size, 0: none",
             .min = 0,
             .max = 1 << 24});
    v.field("queue_from", queue_from,
            {.doc = "epoch from which the queue fills; it is used once it is full",
             .min = 0,
             .max = 1 << 20});
    v.field("freeze_epochs", freeze_epochs,
            {.doc = "epochs at the start in which the prototypes stay where they are",
             .min = 0,
             .max = 1 << 20});
    v.field("sinkhorn", sinkhorn,
            {.doc = "share the batch out evenly; off, each view is assigned by itself, and all may "
                    "go to one prototype"});
  }
};

void check_batch(const Config& config, std::int64_t batch_size) {
  const auto& swav = dynamic_cast<const SwavConfig&>(config);
  if (swav.queue_size == 0) {
    return;
  }
  try {
    check_queue_size(swav.queue_size, batch_size);
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("method.queue_size and train.batch_size = {}: {}, or 0 for none",
                                 batch_size, error.what()));
  }
}

class Swav final : public Method {
 public:
  Swav(const SwavConfig& config, const MethodContext& context)
      : config_(config),
        encoder_(make_encoder(context.encoder)) {
    projector_ = std::make_shared<Mlp>(
        MlpSpec{.in = encoder_->feature_dim(), .widths = {config.hidden_dim, config.output_dim}});
    prototypes_ = module_.register_parameter(
        "prototypes", unit_rows(at::randn({config.prototypes, config.output_dim})));
    module_.register_module("encoder", encoder_);
    module_.register_module("projector", projector_);
    if (config.queue_size > 0) {
      for (std::int64_t v = 0; v < kAssigned; ++v) {
        queues_.push_back(
            std::make_shared<KeyQueue>(config.queue_size, config.output_dim, context.seed));
        module_.register_module(fmt::format("queue{}", v), queues_.back());
      }
      queued_ = module_.register_buffer("queued", at::zeros({}, at::kLong));
    }
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    const auto n = batch.size();
    if (config_.queue_size > 0) {
      check_queue_size(config_.queue_size, context.communicator.size() * n);
    }
    normalise_prototypes();
    // Without a gradient the optimiser leaves them alone: momentum and decay move nothing either.
    prototypes_.set_requires_grad(batch.epoch >= config_.freeze_epochs);
    const Crops crops = crops_of(batch);
    const auto all_scores = scores_of(at::cat(crops.embeddings));  // [V * N, K]
    const auto count = static_cast<std::int64_t>(crops.embeddings.size());
    const auto scores = all_scores.chunk(count);
    const auto targets = targets_of(crops, batch, context.communicator);
    const auto loss =
        multi_crop_cross_entropy(all_scores.div(config_.temperature).chunk(count), targets);
    return {.output = {.loss = loss, .embedding = crops.embeddings[0].detach()},
            .features = {crops.features[0], crops.features[1]},
            .outputs = {scores[0], scores[1]},
            .targets = targets};
  }

  at::Tensor outputs(const at::Tensor& images) override {
    return scores_of(unit_rows(projector_->forward(encoder_->forward(images))));
  }
  [[nodiscard]] std::int64_t output_dim() const override { return config_.prototypes; }

  at::Tensor pair_loss(const at::Tensor& outputs,
                       const at::Tensor& target,
                       const StepContext& /*context*/) override {
    return soft_cross_entropy(outputs.div(config_.temperature), target).mul(0.5);
  }

  // The queue must not hold what is assigned together with it.
  void after_optimizer_step(const StepContext& /*context*/) override {
    prototypes_.set_requires_grad(true);  // an optimiser takes what requires gradients at its start
    if (fresh_.empty()) {
      return;
    }
    for (std::size_t v = 0; v < fresh_.size(); ++v) {
      queues_[v]->enqueue(fresh_[v]);
    }
    queued_.add_(fresh_.front().size(0)).clamp_max_(config_.queue_size);
    fresh_.clear();
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t /*n*/) const override {
    return {{.name = "ln(K)",
             .value = std::log(static_cast<double>(config_.prototypes)),
             .cause = "all prototypes are predicted alike: likely an epsilon that is too high, too "
                      "many prototypes for the batch, or prototypes that moved too early "
                      "(freeze_epochs)"},
            {.name = "its minimum",
             .value = 0.0,
             .cause = "all views are assigned to one prototype: likely assignments that are not "
                      "balanced (sinkhorn)"}};
  }

 private:
  // Of each crop, the large ones first.
  struct Crops {
    std::vector<at::Tensor> features;    // [N, F]
    std::vector<at::Tensor> embeddings;  // [N, D] unit rows
  };

  // One crop at a time: batch norm sees the statistics of one crop. (In the authors' code, those of
  // all crops of one size, and in the projector of all.)
  [[nodiscard]] Crops crops_of(const ViewBatch& batch) const {
    const auto n = batch.size();
    if (batch.groups.front().size(0) < kAssigned * n) {
      throw UsageError(
          fmt::format("SwAV assigns {} large views of each image, the recipe makes {} (set "
                      "--views.large.views {})",
                      kAssigned, batch.groups.front().size(0) / n, kAssigned));
    }
    Crops crops;
    for (const auto& group : batch.groups) {  // [v * N, C, S, S]
      const auto views = group.size(0) / n;
      for (const auto& features : encoder_->forward_parts(group, views).chunk(views)) {
        crops.features.push_back(features);
        crops.embeddings.push_back(unit_rows(projector_->forward(features)));
      }
    }
    return crops;
  }

  // embeddings  [M, D] unit rows
  // returns     [M, K] cosines; divided by epsilon, they need more than bfloat16's 8 bits
  [[nodiscard]] at::Tensor scores_of(const at::Tensor& embeddings) const {
    const FullPrecision full_precision;
    return embeddings.mm(prototypes_.t());
  }

  // Of each large crop, [N, K] without gradients, from the embeddings of all processes: they are
  // narrower than their scores.
  std::vector<at::Tensor> targets_of(const Crops& crops,
                                     const ViewBatch& batch,
                                     const Communicator& processes) {
    const torch::NoGradGuard no_grad;
    const auto n = batch.size();
    const bool queues = config_.queue_size > 0 && batch.epoch >= config_.queue_from;
    const bool full = queues && queued_.item<std::int64_t>() >= config_.queue_size;
    std::vector<at::Tensor> targets;
    fresh_.clear();
    for (std::size_t v = 0; v < kAssigned; ++v) {
      const auto own = crops.embeddings[v].detach();  // [N, D]
      if (!config_.sinkhorn) {
        targets.push_back(scores_of(own).div(config_.epsilon).softmax(1));
        continue;
      }
      const auto all = processes.all_gather(own);  // [N of all, D]
      const auto rows =
          full ? at::cat({all, queues_[v]->rows().to(all.scalar_type())}) : all;  // [B, D]
      targets.push_back(log_sinkhorn(scores_of(rows), config_.epsilon, config_.iterations)
                            .narrow(0, processes.rank() * n, n));
      if (queues) {
        fresh_.push_back(all);
      }
    }
    return targets;
  }

  void normalise_prototypes() {
    const torch::NoGradGuard no_grad;
    prototypes_.copy_(unit_rows(prototypes_));
  }

  SwavConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Mlp> projector_;
  at::Tensor prototypes_;                          // [K, D]
  std::vector<std::shared_ptr<KeyQueue>> queues_;  // of each large crop; empty without
  at::Tensor queued_;                              // [] int64, rows in each queue
  std::vector<at::Tensor> fresh_;                  // what is to be queued, of all processes
  torch::nn::Module module_;
};

void train_defaults(ImageScale scale, TrainConfig& config) {
  config.optimizer = "lars";
  config.base_lr = 0.6;  // the authors' code, at 256 images; Un-Mix's CIFAR preset at 128
  config.weight_decay = 1e-6;
  config.decay_norm_and_bias = true;  // the authors' LARC takes all parameters
  // The authors' code at 4096 images (at 256 it has none); Un-Mix's CIFAR preset.
  config.warmup_epochs = scale == ImageScale::kSmall ? 5 : 10;
}

}  // namespace

MethodEntry swav_entry() {
  return method_entry<Swav, SwavConfig>(
      {.name = "swav",
       .paper = "arXiv:2006.09882",
       .summary = "predicts to which prototypes the other views are assigned, all used alike",
       .recipe = "swav",
       .views = 0,
       .has_targets = true,
       .targets_are_embeddings = false,
       .train_defaults = train_defaults,
       .check_batch = check_batch});
}

}  // namespace viewfold::methods
