// VICReg (Bardes et al., arXiv:2105.04906): two views agree, while every dimension keeps its spread
// and tells something of its own; no negatives, no momentum.
#include <cmath>

#include "viewfold/methods/method.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/redundancy.hpp"

namespace viewfold::methods {
namespace {

struct VicRegConfig final : Config {
  // Large: expander 8192-8192-8192 (authors' code). Small: 2048-2048-2048 of solo-learn's CIFAR
  // configuration.
  explicit VicRegConfig(ImageScale scale)
      : hidden_dim(scale == ImageScale::kSmall ? 2048 : 8192),
        output_dim(scale == ImageScale::kSmall ? 2048 : 8192) {}

  VicRegWeights weights;  // 25, 25 and 1 at both scales: authors' code and solo-learn
  std::int64_t hidden_dim;
  std::int64_t output_dim;

  void visit(FieldVisitor& v) override {
    v.field("invariance_weight", weights.invariance,
            {.doc = "lambda: of the distance between the views", .min = 0, .max = 1e6});
    v.field(
        "variance_weight", weights.variance,
        {.doc = "mu: of the spread that outputs lack; 0 shows the collapse", .min = 0, .max = 1e6});
    v.field("covariance_weight", weights.covariance,
            {.doc = "nu: of the covariances between different outputs", .min = 0, .max = 1e6});
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the expander's two hidden layers", .min = 1, .max = 65536});
    v.field("output_dim", output_dim, {.doc = "width of the embedding z", .min = 1, .max = 65536});
  }
};

class VicReg final : public Method {
 public:
  VicReg(const VicRegConfig& config, const MethodContext& context)
      : config_(config),
        encoder_(make_encoder(context.encoder)) {
    expander_ = std::make_shared<Mlp>(
        MlpSpec{.in = encoder_->feature_dim(),
                .widths = {config.hidden_dim, config.hidden_dim, config.output_dim},
                .output_bias = false});
    module_.register_module("encoder", encoder_);
    module_.register_module("expander", expander_);
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    // One view at a time: batch norm sees the statistics of one view, as in the authors' code.
    const auto features = encoder_->forward_parts(batch.groups.front(), 2).chunk(2);
    const auto z0 = expander_->forward(features[0]);  // [N, D]
    const auto z1 = expander_->forward(features[1]);  // [N, D]
    const auto parts = vicreg(z0, z1, config_.weights, context.communicator);
    return {.output = {.loss = parts.loss,
                       .embedding = z0.detach(),
                       .scalars = {{"invariance", parts.invariance.item<double>()},
                                   {"variance", parts.variance.item<double>()},
                                   {"covariance", parts.covariance.item<double>()}}},
            .features = features,
            .outputs = {},
            .targets = {}};
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t /*n*/) const override {
    return {{.name = "variance_weight (1 - sqrt(1e-4))",
             .value = config_.weights.variance * (kVicRegGamma - std::sqrt(kVicRegEpsilon)),
             .cause = "the outputs of all images are the same: likely a variance weight that is "
                      "too low, or a learning rate that is too high"}};
  }

 private:
  VicRegConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Mlp> expander_;
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
    config.base_lr = 0.2;        // authors' code
    config.weight_decay = 1e-6;  // ibid.
  }
}

}  // namespace

MethodEntry vicreg_entry() {
  return method_entry<VicReg, VicRegConfig>(
      {.name = "vicreg",
       .paper = "arXiv:2105.04906",
       .summary = "pulls two views together and keeps every output spread and uncorrelated",
       .recipe = "byol",  // as in the authors' code
       .views = 2,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
