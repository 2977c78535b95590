// SimSiam (Chen and He, arXiv:2011.10566): no negatives, no momentum; a predictor and a
// stop-gradient.
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/losses/cosine.hpp"

namespace viewfold::methods {
namespace {

struct SimSiamConfig final : Config {
  // Large: 3-layer projector 2048, predictor 2048-512-2048 (Sec. 3). Small: 2-layer projector (App.
  // D).
  explicit SimSiamConfig(ImageScale scale)
      : projector_layers(scale == ImageScale::kSmall ? 2 : 3) {}

  std::int64_t projector_layers;
  std::int64_t output_dim = 2048;
  std::int64_t predictor_dim = 512;
  bool fix_predictor_lr = true;
  bool stop_gradient = true;

  void visit(FieldVisitor& v) override {
    v.field("projector_layers", projector_layers,
            {.doc = "layers of the projector", .min = 2, .max = 8});
    v.field("output_dim", output_dim,
            {.doc = "width of projection and prediction", .min = 2, .max = 65536});
    v.field("predictor_dim", predictor_dim,
            {.doc = "width of the predictor's hidden layer, a quarter of output_dim in the paper",
             .min = 1,
             .max = 65536});
    v.field(
        "fix_predictor_lr", fix_predictor_lr,
        {.doc = "keep the predictor's learning rate at its peak (the authors' code, fix_pred_lr)"});
    v.field("stop_gradient", stop_gradient,
            {.doc = "no gradient through the target; off shows the collapse of Sec. 4.1"});
  }
};

class SimSiam final : public Method {
 public:
  SimSiam(const SimSiamConfig& config, const MethodContext& context)
      : config_(config),
        encoder_(make_encoder(context.encoder)) {
    projector_ = std::make_shared<Mlp>(
        MlpSpec{.in = encoder_->feature_dim(),
                .widths = std::vector<std::int64_t>(
                    static_cast<std::size_t>(config.projector_layers), config.output_dim),
                .output_norm = OutputNorm::kNoAffine});
    predictor_ = std::make_shared<Mlp>(
        MlpSpec{.in = config.output_dim, .widths = {config.predictor_dim, config.output_dim}});
    module_.register_module("encoder", encoder_);
    module_.register_module("projector", projector_);
    module_.register_module("predictor", predictor_);
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    // One view at a time: batch norm must see the statistics of one view, as in the paper's Alg. 1.
    const auto features = encoder_->forward_parts(batch.groups.front(), 2).chunk(2);
    const auto z0 = projector_->forward(features[0]);  // [N, D]
    const auto z1 = projector_->forward(features[1]);  // [N, D]
    const auto p0 = predictor_->forward(z0);           // [N, D]
    const auto p1 = predictor_->forward(z1);           // [N, D]
    return {.output = {.loss = pair_loss(p0, z1, context).add(pair_loss(p1, z0, context)),
                       .embedding = z0.detach()},  // Eq. 4
            .features = features,
            .outputs = {p0, p1},
            .targets = {z0, z1}};
  }

  at::Tensor outputs(const at::Tensor& images) override {
    return predictor_->forward(projector_->forward(encoder_->forward(images)));
  }
  [[nodiscard]] std::int64_t output_dim() const override { return config_.output_dim; }

  at::Tensor pair_loss(const at::Tensor& outputs,
                       const at::Tensor& target,
                       const StepContext& /*context*/) override {
    const auto distance = config_.stop_gradient
                              ? negative_cosine(outputs, target)
                              : (unit_rows(outputs) * unit_rows(target)).sum(1).mean().neg();
    return distance.mul(0.5);
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  bool has_fixed_lr(const std::string& parameter) const override {
    return config_.fix_predictor_lr && parameter.starts_with("predictor.");
  }

  std::vector<KnownConstant> known_constants(std::int64_t /*n*/) const override {
    return {{.name = "its minimum",
             .value = -1.0,
             .cause = "both views of every image give one and the same output: likely a missing "
                      "stop-gradient "
                      "or predictor"}};
  }

 private:
  SimSiamConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Mlp> projector_;
  std::shared_ptr<Mlp> predictor_;
  torch::nn::Module module_;
};

void train_defaults(ImageScale scale, TrainConfig& config) {
  config.optimizer = "sgd";
  config.decay_norm_and_bias =
      true;  // App. A: decay on all parameters, batch norm and biases included
  config.warmup_epochs = 0;
  if (scale == ImageScale::kSmall) {
    // App. D has 0.03, for 800 epochs of CIFAR-10: after 10 the encoder is still as an untrained
    // one (results/README.md). Ours lies between lightly's 0.12 and solo-learn's 0.5 at 256 images.
    config.base_lr = 0.24;
    config.weight_decay = 5e-4;  // App. D
  } else {
    config.base_lr = 0.05;       // Sec. 3
    config.weight_decay = 1e-4;  // ibid.
  }
}

}  // namespace

MethodEntry simsiam_entry() {
  return method_entry<SimSiam, SimSiamConfig>(
      {.name = "simsiam",
       .paper = "arXiv:2011.10566",
       .summary = "predicts one view's projection from the other's, without negatives",
       .recipe = "simsiam",
       .views = 2,
       .has_targets = true,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
