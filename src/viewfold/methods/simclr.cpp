// SimCLR (Chen et al., arXiv:2002.05709): the other view of an image against all other images of
// the batch.
#include <cmath>

#include <fmt/format.h>

#include "viewfold/methods/method.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/nt_xent.hpp"

namespace viewfold::methods {
namespace {

struct SimClrConfig final : Config {
  // Large: temperature 0.1 and a 2-layer head 2048-2048-128 (Sec. 4.2, App. B.6). Small:
  // temperature 0.5 (App. B.9), 128 outputs.
  explicit SimClrConfig(ImageScale scale) : temperature(scale == ImageScale::kSmall ? 0.5 : 0.1) {}

  double temperature;
  std::int64_t hidden_dim = 0;
  std::int64_t output_dim = 128;

  void visit(FieldVisitor& v) override {
    v.field("temperature", temperature,
            {.doc = "tau of the NT-Xent loss, Eq. 1", .min = 1e-3, .max = 100});
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the projector's hidden layer; 0 takes the width of the features",
             .min = 0,
             .max = 65536});
    v.field("output_dim", output_dim, {.doc = "width of the projection z", .min = 1, .max = 65536});
  }
};

class SimClr final : public Method {
 public:
  SimClr(const SimClrConfig& config, const MethodContext& context)
      : config_(config),
        encoder_(make_encoder(context.encoder)) {
    const auto features = encoder_->feature_dim();
    const auto hidden = config.hidden_dim > 0 ? config.hidden_dim : features;
    projector_ = std::make_shared<Mlp>(
        MlpSpec{.in = features, .widths = {hidden, config.output_dim}, .hidden_norm = false});
    module_.register_module("encoder", encoder_);
    module_.register_module("projector", projector_);
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    const auto features = encoder_->forward(batch.groups.front());  // [2N, F]
    z_ = projector_->forward(features).chunk(2);                    // [N, D] each
    return {.output = {.loss = nt_xent(z_[0], z_[1], config_.temperature, context.communicator),
                       .embedding = z_[0].detach()},
            .features = features.chunk(2),
            .outputs = z_,
            .targets = z_};
  }

  at::Tensor outputs(const at::Tensor& images) override {
    return projector_->forward(encoder_->forward(images));
  }
  [[nodiscard]] std::int64_t output_dim() const override { return config_.output_dim; }

  at::Tensor pair_loss(const at::Tensor& outputs,
                       const at::Tensor& target,
                       const StepContext& context) override {
    return nt_xent_of(outputs, target, z_, config_.temperature, context.communicator).mul(0.5);
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t n) const override {
    return {
        {.name = "ln(2N-1)",
         .value = std::log(static_cast<double>(2 * n - 1)),
         .cause =
             "every image looks alike to the network: likely a learning rate that is too high, or "
             "views that share nothing"}};
  }

 private:
  SimClrConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Mlp> projector_;
  std::vector<at::Tensor> z_;  // of the last step
  torch::nn::Module module_;
};

void train_defaults(ImageScale scale, TrainConfig& config) {
  config.optimizer = "lars";
  config.decay_norm_and_bias = false;
  config.warmup_epochs = 10;  // Sec. 2.3 (ImageNet); the CIFAR runs of the repository use the same
  if (scale == ImageScale::kSmall) {
    config.base_lr = 1.0;        // repository README, CIFAR-10: 1.0 per 256 images
    config.weight_decay = 1e-4;  // ibid.
  } else {
    config.base_lr = 0.3;        // Sec. 2.3: 0.3 * batch / 256
    config.weight_decay = 1e-6;  // ibid.
  }
}

}  // namespace

MethodEntry simclr_entry() {
  return method_entry<SimClr, SimClrConfig>(
      {.name = "simclr",
       .paper = "arXiv:2002.05709",
       .summary = "pulls two views of an image together and pushes the batch's other images away",
       .recipe = "simclr",
       .views = 2,
       .has_targets = true,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
