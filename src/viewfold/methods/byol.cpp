// BYOL (Grill et al., arXiv:2006.07733): predicts what a slowly moving copy of the network makes of
// the other view; no negatives.
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/cosine.hpp"
#include "viewfold/nn/momentum.hpp"

namespace viewfold::methods {
namespace {

struct ByolConfig final : Config {
  // Large: 4096 and 256, tau from 0.996 (Sec. 3.3). Small: heads of lightly's CIFAR-10 benchmark,
  // tau from 0.99, the paper's for 100 to 300 epochs (configs of the authors' repository).
  explicit ByolConfig(ImageScale scale)
      : hidden_dim(scale == ImageScale::kSmall ? 1024 : 4096),
        momentum(scale == ImageScale::kSmall ? 0.99 : 0.996) {}

  std::int64_t hidden_dim;
  std::int64_t output_dim = 256;
  double momentum;
  bool predictor = true;

  void visit(FieldVisitor& v) override {
    v.field(
        "hidden_dim", hidden_dim,
        {.doc = "width of the hidden layers of projector and predictor", .min = 1, .max = 65536});
    v.field("output_dim", output_dim,
            {.doc = "width of projection and prediction", .min = 1, .max = 65536});
    v.field("momentum", momentum,
            {.doc = "tau of the target network at the start; a cosine takes it to 1 (Sec. 3.3)",
             .min = 0,
             .max = 1});
    v.field("predictor", predictor,
            {.doc = "predict the target; off, with momentum 0, shows the collapse of Table 5"});
  }
};

class Byol final : public Method {
 public:
  Byol(const ByolConfig& config, const MethodContext& context)
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
    if (config.predictor) {
      predictor_ = std::make_shared<Mlp>(MlpSpec{.in = config.output_dim,
                                                 .widths = {config.hidden_dim, config.output_dim},
                                                 .output_bias = false});
      module_.register_module("predictor", predictor_);
    }
    module_.register_module("target_encoder", target_encoder_);
    module_.register_module("target_projector", target_projector_);
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    // One view at a time: batch norm sees the statistics of one view.
    const auto& views = batch.groups.front();  // [2N, C, S, S]
    const auto features = encoder_->forward_parts(views, 2).chunk(2);
    const auto z0 = projector_->forward(features[0]);  // [N, D]
    const auto p0 = predicted(z0);
    const auto p1 = predicted(projector_->forward(features[1]));
    const auto targets = targets_of(views);
    return {
        .output = {.loss =
                       pair_loss(p0, targets[1], context).add(pair_loss(p1, targets[0], context)),
                   .embedding = z0.detach()},  // Eq. 2
        .features = features,
        .outputs = {p0, p1},
        .targets = targets};
  }

  at::Tensor outputs(const at::Tensor& images) override {
    return predicted(projector_->forward(encoder_->forward(images)));
  }
  [[nodiscard]] std::int64_t output_dim() const override { return config_.output_dim; }

  at::Tensor pair_loss(const at::Tensor& outputs,
                       const at::Tensor& target,
                       const StepContext& /*context*/) override {
    return byol_regression(outputs, target);
  }

  void after_optimizer_step(const StepContext& context) override {
    const double tau = cosine_momentum(config_.momentum, context.progress());
    ema_update(*target_encoder_, *encoder_, tau);
    ema_update(*target_projector_, *projector_, tau);
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t /*n*/) const override {
    return {{.name = "its minimum",
             .value = 0.0,
             .cause = "both views of every image give one and the same output: likely a momentum "
                      "that is too low, or a missing predictor"}};
  }

 private:
  [[nodiscard]] at::Tensor predicted(const at::Tensor& z) const {
    return predictor_ ? predictor_->forward(z) : z;
  }

  // Of each view, [N, D]. The target network is in training mode: it normalises by its batches.
  [[nodiscard]] std::vector<at::Tensor> targets_of(const at::Tensor& views) const {
    const torch::NoGradGuard no_grad;
    std::vector<at::Tensor> targets;
    for (const auto& features : target_encoder_->forward_parts(views, 2).chunk(2)) {
      targets.push_back(target_projector_->forward(features));
    }
    return targets;
  }

  ByolConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Encoder> target_encoder_;
  std::shared_ptr<Mlp> projector_;
  std::shared_ptr<Mlp> target_projector_;
  std::shared_ptr<Mlp> predictor_;  // null without
  torch::nn::Module module_;
};

void train_defaults(ImageScale scale, TrainConfig& config) {
  if (scale == ImageScale::kSmall) {
    config.optimizer = "sgd";  // lightly's CIFAR-10 benchmark: 0.06 at 128 images
    config.base_lr = 0.12;
    config.weight_decay = 5e-4;
    config.decay_norm_and_bias = true;
    config.warmup_epochs = 0;
  } else {
    config.optimizer = "lars";  // Sec. 3.3
    config.base_lr = 0.2;
    config.weight_decay = 1.5e-6;
    config.decay_norm_and_bias = false;
    config.warmup_epochs = 10;
  }
}

}  // namespace

MethodEntry byol_entry() {
  return method_entry<Byol, ByolConfig>(
      {.name = "byol",
       .paper = "arXiv:2006.07733",
       .summary = "predicts what a slowly moving copy of itself makes of the other view",
       .recipe = "byol",
       .views = 2,
       .has_targets = true,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
