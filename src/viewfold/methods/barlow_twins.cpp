// Barlow Twins (Zbontar et al., arXiv:2103.03230): outputs that agree between views, dimension by
// dimension, and are otherwise uncorrelated; no negatives, no momentum.
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/redundancy.hpp"

namespace viewfold::methods {
namespace {

struct BarlowTwinsConfig final : Config {
  // Large: projector 8192-8192-8192, loss scaled by 0.024 (see train_defaults()). Small: projector
  // 2048-2048-2048 and 0.1 of solo-learn's CIFAR configuration.
  explicit BarlowTwinsConfig(ImageScale scale)
      : scale_loss(scale == ImageScale::kSmall ? 0.1 : 0.024),
        hidden_dim(scale == ImageScale::kSmall ? 2048 : 8192),
        output_dim(scale == ImageScale::kSmall ? 2048 : 8192) {}

  double lambda = 0.0051;  // authors' code
  double scale_loss;
  std::int64_t hidden_dim;
  std::int64_t output_dim;

  void visit(FieldVisitor& v) override {
    v.field("lambda", lambda,
            {.doc = "weight of the correlations between different outputs, Eq. 1; 0 lets all "
                    "outputs say the same",
             .min = 0,
             .max = 100});
    v.field("scale_loss", scale_loss,
            {.doc = "factor of the whole loss; with lars it acts on biases and batch norm only, "
                    "apart from weight decay",
             .min = 1e-6,
             .max = 1000});
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the projector's two hidden layers", .min = 1, .max = 65536});
    v.field("output_dim", output_dim, {.doc = "width of the projection z", .min = 1, .max = 65536});
  }
};

class BarlowTwins final : public Method {
 public:
  BarlowTwins(const BarlowTwinsConfig& config, const MethodContext& context)
      : config_(config),
        encoder_(make_encoder(context.encoder)) {
    projector_ = std::make_shared<Mlp>(
        MlpSpec{.in = encoder_->feature_dim(),
                .widths = {config.hidden_dim, config.hidden_dim, config.output_dim},
                .output_bias = false});
    module_.register_module("encoder", encoder_);
    module_.register_module("projector", projector_);
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    // One view at a time: batch norm sees the statistics of one view, as in the authors' code.
    const auto features = encoder_->forward_parts(batch.groups.front(), 2).chunk(2);
    const auto z0 = projector_->forward(features[0]);  // [N, D]
    const auto z1 = projector_->forward(features[1]);  // [N, D]
    const auto parts = barlow_twins(z0, z1, config_.lambda, context.communicator);
    return {.output = {.loss = parts.loss * config_.scale_loss,
                       .embedding = z0.detach(),
                       .scalars = {{"invariance", parts.invariance.item<double>()},
                                   {"redundancy", parts.redundancy.item<double>()}}},
            .features = features,
            .outputs = {},
            .targets = {}};
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t /*n*/) const override {
    return {{.name = "scale_loss D",
             .value = config_.scale_loss * static_cast<double>(config_.output_dim),
             .cause =
                 "no output of one view says anything about those of the other: likely outputs "
                 "that are constant, from a learning rate that is too high, or views that "
                 "share nothing"}};
  }

 private:
  BarlowTwinsConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Mlp> projector_;
  torch::nn::Module module_;
};

void train_defaults(ImageScale scale, TrainConfig& config) {
  config.optimizer = "lars";
  config.decay_norm_and_bias = false;
  config.warmup_epochs = 10;  // authors' code; solo-learn
  if (scale == ImageScale::kSmall) {
    // solo-learn's CIFAR configuration, at 256 images. Its LARS takes the smaller of a layer's
    // adapted rate (eta 0.02) and 0.3; ours multiplies them.
    config.base_lr = 0.3;
    config.lars_trust = 0.02;
    config.weight_decay = 1e-4;
  } else {
    // The paper has two rates, 0.2 for weights and 0.0048 for biases and batch norm. There is one
    // here: but for weight decay, LARS takes no notice of a loss that is scaled by 0.024; biases
    // and batch norm, which it does not adapt, then move by 0.2 * 0.024 = 0.0048. The authors' code
    // did the same at first (--scale-loss 0.024).
    config.base_lr = 0.2;
    config.weight_decay = 1.5e-6;  // the paper; authors' code: 1e-6
  }
}

}  // namespace

MethodEntry barlow_twins_entry() {
  return method_entry<BarlowTwins, BarlowTwinsConfig>(
      {.name = "barlow_twins",
       .paper = "arXiv:2103.03230",
       .summary = "takes the correlation of the two views' outputs to the identity matrix",
       .recipe = "byol",  // the paper's augmentations are BYOL's
       .views = 2,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
