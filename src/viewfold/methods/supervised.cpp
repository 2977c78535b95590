// Supervised learning: one linear layer tells the class of each view; a baseline of audits, with
// the views of the contrastive methods.
#include <cmath>

#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

#include "viewfold/methods/method.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/losses/uniformity.hpp"

namespace viewfold::methods {
namespace {

struct SupervisedConfig final : Config {
  explicit SupervisedConfig(ImageScale /*scale*/) {}

  double uniformity_weight = 0.0;
  double uniformity_t = 2.0;  // Wang and Isola, arXiv:2005.10242
  double label_smoothing = 0.0;

  void visit(FieldVisitor& v) override {
    v.field("uniformity_weight", uniformity_weight,
            {.doc = "weight of the uniformity of the features (arXiv:2206.05259, whose weight is "
                    "not known)",
             .min = 0,
             .max = 1000});
    v.field("uniformity_t", uniformity_t, {.doc = "t of uniformity", .min = 1e-3, .max = 100});
    v.field("label_smoothing", label_smoothing,
            {.doc = "share of each target that all classes divide", .min = 0, .max = 0.999});
  }
};

class Supervised final : public Method {
 public:
  Supervised(const SupervisedConfig& config, const MethodContext& context)
      : config_(config),
        labels_(context.labels),
        classes_(context.classes),
        encoder_(make_encoder(context.encoder)),
        classifier_(encoder_->feature_dim(), context.classes) {
    module_.register_module("encoder", encoder_);
    module_.register_module("classifier", classifier_);
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    const auto features = encoder_->forward(batch.groups.front());  // [2N, F]
    const auto labels = labels_of(labels_, batch);
    const auto logits = classifier_->forward(features);  // [2N, classes]
    const auto losses = [&] {
      const FullPrecision full_precision;
      const auto wide = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
      return at::cross_entropy_loss(wide, at::cat({labels, labels}), {}, at::Reduction::Mean, -100,
                                    config_.label_smoothing);
    }();
    MethodStep step{.output = {.loss = losses, .embedding = features.detach().chunk(2)[0]},
                    .features = features.chunk(2)};
    if (config_.uniformity_weight > 0) {
      const auto uniformity = uniformity_loss(features, config_.uniformity_t, context.communicator);
      step.output.loss = step.output.loss + uniformity * config_.uniformity_weight;
      step.output.scalars = {{"uniformity", uniformity.item<double>()}};
    }
    return step;
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t /*n*/) const override {
    if (config_.uniformity_weight > 0) {
      return {};
    }
    return {{.name = "ln(classes)",
             .value = std::log(static_cast<double>(classes_)),
             .cause = "the classifier guesses: likely a learning rate that is too high, or labels "
                      "that have nothing to do with the images"}};
  }

 private:
  SupervisedConfig config_;
  at::Tensor labels_;
  std::int64_t classes_;
  std::shared_ptr<Encoder> encoder_;
  torch::nn::Linear classifier_;
  torch::nn::Module module_;
};

void train_defaults(ImageScale scale, TrainConfig& config) {
  config.optimizer = "sgd";
  if (scale == ImageScale::kSmall) {
    config.base_lr = 0.1;        // He et al., arXiv:1512.03385, Sec. 4.2: 0.1 at 128 images
    config.weight_decay = 5e-4;  // Zagoruyko and Komodakis, arXiv:1605.07146, Sec. 3
    config.warmup_epochs = 1;
  } else {
    config.base_lr = 0.1;        // arXiv:1512.03385, Sec. 3.4
    config.weight_decay = 1e-4;  // ibid.
    config.warmup_epochs = 5;    // Goyal et al., arXiv:1706.02677, Sec. 2.2
  }
}

}  // namespace

MethodEntry supervised_entry() {
  return method_entry<Supervised, SupervisedConfig>(
      {.name = "supervised",
       .paper = "arXiv:1512.03385",
       .summary = "tells the class of each view; reads labels, as a baseline for audits",
       .recipe = "simclr",  // the same as the contrastive methods', as arXiv:2206.05259 compares
       .views = 2,
       .needs_labels = true,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
