// DINO (Caron et al., arXiv:2104.14294): predicts the sharpened and centred output of a slowly
// moving teacher, from small crops as well; here for encoders such as ResNets.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/losses/assignments.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/momentum.hpp"

namespace viewfold::methods {
namespace {

// The crops that the teacher sees, of all the crops that the student sees.
constexpr std::int64_t kTaught = 2;

struct DinoConfig final : Config {
  // Large: the authors' code; the teacher's temperature as its README has it for longer training
  // (its ResNet-50 command stays at 0.04). Small: solo-learn's CIFAR recipe for the widths,
  // lightly's CIFAR-10 benchmark for batch norm in the head and for the momentum (there constant).
  explicit DinoConfig(ImageScale scale)
      : head_norm(scale == ImageScale::kSmall),
        output_dim(scale == ImageScale::kSmall ? 4096 : 65536),
        momentum(scale == ImageScale::kSmall ? 0.99 : 0.996),
        teacher_temperature(scale == ImageScale::kSmall ? 0.04 : 0.07),
        teacher_warmup_epochs(scale == ImageScale::kSmall ? 0 : 30) {}

  bool head_norm;
  std::int64_t hidden_dim = 2048;  // the authors' code, as all that does not depend on the scale
  std::int64_t bottleneck_dim = 256;
  std::int64_t output_dim;
  double momentum;
  double student_temperature = 0.1;
  double teacher_temperature;
  double first_teacher_temperature = 0.04;
  std::int64_t teacher_warmup_epochs;
  double centre_momentum = 0.9;
  std::int64_t freeze_epochs = 1;
  bool centring = true;

  void visit(FieldVisitor& v) override {
    v.field("head_norm", head_norm, {.doc = "batch norm in the head's hidden layers"});
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the head's hidden layers", .min = 1, .max = 65536});
    v.field("bottleneck_dim", bottleneck_dim,
            {.doc = "width of the unit vector that the last layer sees", .min = 1, .max = 65536});
    v.field("output_dim", output_dim,
            {.doc = "K, over which both networks spread each view", .min = 2, .max = 1 << 20});
    v.field("momentum", momentum,
            {.doc = "of the teacher at the start; a cosine takes it to 1. Higher for small "
                    "batches: the authors' code names 0.9995 for 256 images",
             .min = 0,
             .max = 1});
    v.field("student_temperature", student_temperature,
            {.doc = "of the predicted distribution", .min = 1e-3, .max = 100});
    v.field("teacher_temperature", teacher_temperature,
            {.doc = "of the teacher's distribution, after the warm-up", .min = 1e-3, .max = 100});
    v.field("first_teacher_temperature", first_teacher_temperature,
            {.doc = "of the teacher's distribution in the first epoch of the warm-up",
             .min = 1e-3,
             .max = 100});
    v.field("teacher_warmup_epochs", teacher_warmup_epochs,
            {.doc = "epochs in which the teacher's temperature moves, linearly; 0: none",
             .min = 0,
             .max = 1 << 20});
    v.field(
        "centre_momentum", centre_momentum,
        {.doc = "m of the centre, the running mean of the teacher's outputs", .min = 0, .max = 1});
    v.field("freeze_epochs", freeze_epochs,
            {.doc = "epochs at the start in which the last layer stays as it is",
             .min = 0,
             .max = 1 << 20});
    v.field(
        "centring", centring,
        {.doc = "subtract the centre from the teacher's outputs; off, one of them may win for all "
                "images"});
  }
};

// Linear layers with GELU to a bottleneck, then cosines with the rows of the last layer: the
// authors' weight-normalised layer with its lengths fixed to 1.
class DinoHead final : public torch::nn::Module {
 public:
  DinoHead(std::int64_t in, const DinoConfig& config)
      : last_(torch::nn::LinearOptions(config.bottleneck_dim, config.output_dim).bias(false)) {
    constexpr int kLayers = 3;  // the authors' code
    for (int layer = 1; layer < kLayers; ++layer) {
      append_linear(in, config.hidden_dim, !config.head_norm);  // normalisation removes a bias
      if (config.head_norm) {
        layers_->push_back(BatchNorm1d(torch::nn::BatchNorm1dOptions(config.hidden_dim)));
      }
      layers_->push_back(torch::nn::GELU());
      in = config.hidden_dim;
    }
    append_linear(in, config.bottleneck_dim, true);
    register_module("layers", layers_);
    register_module("last", last_);
  }

  // features  [N, F], a batch of its own for batch norm
  // returns   [N, D] unit rows
  at::Tensor bottleneck(const at::Tensor& features) {
    return unit_rows(layers_->forward(features));
  }

  // unit     [M, D] unit rows
  // returns  [M, K] cosines; divided by a temperature, they need more than bfloat16's 8 bits
  at::Tensor outputs(const at::Tensor& unit) {
    const FullPrecision full_precision;
    return unit.mm(unit_rows(last_->weight).t());
  }

  void train_last_layer(bool on) { last_->weight.set_requires_grad(on); }

 private:
  void append_linear(std::int64_t in, std::int64_t out, bool bias) {
    constexpr double kStd = 0.02;  // the authors' code
    torch::nn::Linear linear(torch::nn::LinearOptions(in, out).bias(bias));
    const torch::NoGradGuard no_grad;
    linear->weight.normal_(0.0, kStd);
    if (bias) {
      linear->bias.zero_();
    }
    layers_->push_back(linear);
  }

  torch::nn::Sequential layers_;
  torch::nn::Linear last_;
};

class Dino final : public Method {
 public:
  Dino(const DinoConfig& config, const MethodContext& context)
      : config_(config),
        encoder_(make_encoder(context.encoder)),
        teacher_encoder_(make_encoder(context.encoder)),
        head_(std::make_shared<DinoHead>(encoder_->feature_dim(), config)),
        teacher_head_(std::make_shared<DinoHead>(encoder_->feature_dim(), config)) {
    copy_parameters(*encoder_, *teacher_encoder_);
    copy_parameters(*head_, *teacher_head_);
    module_.register_module("encoder", encoder_);
    module_.register_module("head", head_);
    module_.register_module("teacher_encoder", teacher_encoder_);
    module_.register_module("teacher_head", teacher_head_);
    centre_ = module_.register_buffer("centre", at::zeros({config.output_dim}));
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    // Without a gradient the optimiser leaves it alone: momentum and decay move nothing either.
    head_->train_last_layer(batch.epoch >= config_.freeze_epochs);
    const Crops crops = crops_of(batch);
    const auto all_outputs = head_->outputs(at::cat(crops.bottlenecks));  // [V * N, K]
    const auto count = static_cast<std::int64_t>(crops.bottlenecks.size());
    const auto outputs = all_outputs.chunk(count);
    const auto targets = targets_of(batch, context.communicator);
    const auto loss = multi_crop_cross_entropy(
        all_outputs.div(config_.student_temperature).chunk(count), targets);
    return {.output = {.loss = loss, .embedding = crops.bottlenecks[0].detach()},
            .features = {crops.features[0], crops.features[1]},
            .outputs = {outputs[0], outputs[1]},
            .targets = targets};
  }

  at::Tensor outputs(const at::Tensor& images) override {
    return head_->outputs(head_->bottleneck(encoder_->forward(images)));
  }
  [[nodiscard]] std::int64_t output_dim() const override { return config_.output_dim; }

  at::Tensor pair_loss(const at::Tensor& outputs,
                       const at::Tensor& target,
                       const StepContext& /*context*/) override {
    return soft_cross_entropy(outputs.div(config_.student_temperature), target).mul(0.5);
  }

  void after_optimizer_step(const StepContext& context) override {
    head_->train_last_layer(true);  // an optimiser takes what requires gradients at its start
    const double m = cosine_momentum(config_.momentum, context.progress());
    ema_update(*teacher_encoder_, *encoder_, m);
    ema_update(*teacher_head_, *head_, m);
    if (config_.centring) {
      centre_.mul_(config_.centre_momentum).add_(fresh_centre_, 1.0 - config_.centre_momentum);
    }
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  // The two collapses of the paper: centring alone leads to one, sharpening alone to the other.
  std::vector<KnownConstant> known_constants(std::int64_t /*n*/) const override {
    return {{.name = "ln(K)",
             .value = std::log(static_cast<double>(config_.output_dim)),
             .cause = "all outputs are predicted alike: likely a teacher temperature that is too "
                      "high"},
            {.name = "its minimum",
             .value = 0.0,
             .cause = "one output wins for all images: likely a missing centring, or a centre "
                      "that follows too slowly"}};
  }

 private:
  // Of each crop that the student sees, the large ones first.
  struct Crops {
    std::vector<at::Tensor> features;     // [N, F]
    std::vector<at::Tensor> bottlenecks;  // [N, D] unit rows
  };

  // One crop at a time: batch norm sees the statistics of one crop. (In the authors' code, those of
  // all crops of one size, and in the head of all.)
  [[nodiscard]] Crops crops_of(const ViewBatch& batch) const {
    const auto n = batch.size();
    if (batch.groups.front().size(0) < kTaught * n) {
      throw UsageError(
          fmt::format("DINO's teacher sees {} large views of each image, the recipe makes {} (set "
                      "--views.large.views {})",
                      kTaught, batch.groups.front().size(0) / n, kTaught));
    }
    Crops crops;
    for (const auto& group : batch.groups) {  // [v * N, C, S, S]
      const auto views = group.size(0) / n;
      for (const auto& features : encoder_->forward_parts(group, views).chunk(views)) {
        crops.features.push_back(features);
        crops.bottlenecks.push_back(head_->bottleneck(features));
      }
    }
    return crops;
  }

  // Of each large crop, [N, K]: softmax((outputs - centre) / temperature). The teacher is in
  // training mode: it normalises by its batches.
  std::vector<at::Tensor> targets_of(const ViewBatch& batch, const Communicator& processes) {
    const torch::NoGradGuard no_grad;
    const auto large = batch.groups.front().narrow(0, 0, kTaught * batch.size());
    std::vector<at::Tensor> bottlenecks;
    for (const auto& features : teacher_encoder_->forward_parts(large, kTaught).chunk(kTaught)) {
      bottlenecks.push_back(teacher_head_->bottleneck(features));
    }
    const auto outputs = teacher_head_->outputs(at::cat(bottlenecks));  // [2N, K]
    if (config_.centring) {
      fresh_centre_ = outputs.sum(0);
      processes.all_reduce_sum(fresh_centre_);
      fresh_centre_.div_(static_cast<double>(outputs.size(0) * processes.size()));
    }
    return outputs.sub(centre_).div(teacher_temperature_at(batch.epoch)).softmax(1).chunk(kTaught);
  }

  // Linear over the epochs of the warm-up, the last of which has the final value.
  [[nodiscard]] double teacher_temperature_at(std::int64_t epoch) const {
    if (epoch >= config_.teacher_warmup_epochs) {
      return config_.teacher_temperature;
    }
    const auto last = std::max<std::int64_t>(config_.teacher_warmup_epochs - 1, 1);
    const double share = static_cast<double>(epoch) / static_cast<double>(last);
    return config_.first_teacher_temperature +
           share * (config_.teacher_temperature - config_.first_teacher_temperature);
  }

  DinoConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Encoder> teacher_encoder_;
  std::shared_ptr<DinoHead> head_;
  std::shared_ptr<DinoHead> teacher_head_;
  at::Tensor centre_;        // [K]
  at::Tensor fresh_centre_;  // [K], of the batch of all processes
  torch::nn::Module module_;
};

// The authors' command for ResNet-50 takes larger and smaller crops than the recipe as well: 14 ..
// 100 % and 5 .. 14 % of the area.
void train_defaults(ImageScale scale, TrainConfig& config) {
  config.optimizer = "sgd";
  if (scale == ImageScale::kSmall) {
    config.base_lr = 0.12;  // lightly's CIFAR-10 benchmark: 0.06 at 128 images
    config.weight_decay = 5e-4;
    config.decay_norm_and_bias = true;
    config.warmup_epochs = 0;
  } else {
    config.base_lr = 0.03;  // the authors' README, command for ResNet-50
    config.weight_decay = 1e-4;
    config.decay_norm_and_bias = false;  // the authors' code
    config.warmup_epochs = 10;           // ibid.
  }
}

}  // namespace

MethodEntry dino_entry() {
  return method_entry<Dino, DinoConfig>(
      {.name = "dino",
       .paper = "arXiv:2104.14294",
       .summary = "predicts the sharpened, centred output of a slowly moving teacher",
       .recipe = "dino",
       .views = 0,
       .has_targets = true,
       .targets_are_embeddings = false,
       .train_defaults = train_defaults});
}

}  // namespace viewfold::methods
