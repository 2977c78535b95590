// SupCon (Khosla et al., arXiv:2004.11362): SimCLR with all images of a class as positives; learns
// from labels, as a baseline of audits.
#include "viewfold/nn/losses/sup_con.hpp"

#include <cmath>

#include "viewfold/methods/method.hpp"
#include "viewfold/nn/heads.hpp"

namespace viewfold::methods {
namespace {

struct SupConConfig final : Config {
  // Temperature 0.1 and a head of the width of the features with 128 outputs at both scales (Sec. 4
  // and 3.1; the CIFAR command of the authors' repository has 0.1, too).
  explicit SupConConfig(ImageScale /*scale*/) {}

  double temperature = 0.1;
  std::int64_t hidden_dim = 0;
  std::int64_t output_dim = 128;

  void visit(FieldVisitor& v) override {
    v.field("temperature", temperature, {.doc = "tau of the loss, Eq. 2", .min = 1e-3, .max = 100});
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the projector's hidden layer; 0 takes the width of the features",
             .min = 0,
             .max = 65536});
    v.field("output_dim", output_dim, {.doc = "width of the projection z", .min = 1, .max = 65536});
  }
};

class SupCon final : public Method {
 public:
  SupCon(const SupConConfig& config, const MethodContext& context)
      : config_(config),
        labels_(context.labels),
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
    const auto z = projector_->forward(features).chunk(2);          // [N, D] each
    return {.output = {.loss = sup_con(z[0], z[1], labels_of(labels_, batch), config_.temperature,
                                       context.communicator),
                       .embedding = z[0].detach()},
            .features = features.chunk(2)};
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t n) const override {
    return {{.name = "ln(2N-1)",
             .value = std::log(static_cast<double>(2 * n - 1)),
             .cause = "every image looks alike to the network: likely a learning rate that is too "
                      "high"}};
  }

 private:
  SupConConfig config_;
  at::Tensor labels_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Mlp> projector_;
  torch::nn::Module module_;
};

void train_defaults(ImageScale scale, TrainConfig& config) {
  config.optimizer = "sgd";
  config.warmup_epochs = 10;   // authors' repository, batches beyond 256
  config.weight_decay = 1e-4;  // ibid., both data sets
  // Repository: CIFAR 0.5 at 1024 images; ImageNet 0.4 to 0.6 per 256 with momentum.
  config.base_lr = scale == ImageScale::kSmall ? 0.125 : 0.5;
}

}  // namespace

MethodEntry sup_con_entry() {
  return method_entry<SupCon, SupConConfig>(
      {.name = "sup_con",
       .paper = "arXiv:2004.11362",
       .summary = "SimCLR with all images of a class as positives; reads labels, as a baseline",
       .recipe = "simclr",
       .views = 2,
       .needs_labels = true,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
