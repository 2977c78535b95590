// NNCLR (Dwibedi et al., arXiv:2104.14548): the positive of a view is what comes nearest to the
// other view among past projections of all images.
#include <cmath>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/losses/info_nce.hpp"
#include "viewfold/nn/queue.hpp"

namespace viewfold::methods {
namespace {

// Projections whose similarities to the queue are in memory at once.
constexpr std::int64_t kRowsAtATime = 256;

struct NnclrConfig final : Config {
  // Large: the paper's, with the largest support set of its ablation. Small: heads and support set
  // of lightly's CIFAR-10 benchmark; temperature of solo-learn's CIFAR configuration, whose loss is
  // the paper's (lightly's 0.5 belongs to NT-Xent).
  explicit NnclrConfig(ImageScale scale)
      : temperature(scale == ImageScale::kSmall ? 0.2 : 0.1),
        queue_size(scale == ImageScale::kSmall ? 4096 : 98304),
        projector_layers(scale == ImageScale::kSmall ? 2 : 3) {}

  double temperature;
  std::int64_t queue_size;
  std::int64_t projector_layers;
  std::int64_t hidden_dim = 2048;
  std::int64_t output_dim = 256;
  std::int64_t predictor_dim = 4096;

  void visit(FieldVisitor& v) override {
    v.field("temperature", temperature, {.doc = "tau of the loss, Eq. 3", .min = 1e-3, .max = 100});
    v.field("queue_size", queue_size,
            {.doc = "past projections among which neighbours are looked for; a multiple of the "
                    "batch size",
             .min = 1,
             .max = 1 << 24});
    v.field("projector_layers", projector_layers,
            {.doc = "layers of the projector", .min = 1, .max = 8});
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the projector's hidden layers", .min = 1, .max = 65536});
    v.field("output_dim", output_dim,
            {.doc = "width of projection and prediction", .min = 1, .max = 65536});
    v.field("predictor_dim", predictor_dim,
            {.doc = "width of the predictor's hidden layer", .min = 1, .max = 65536});
  }
};

void check_batch(const Config& config, std::int64_t batch_size) {
  try {
    check_queue_size(dynamic_cast<const NnclrConfig&>(config).queue_size, batch_size);
  } catch (const UsageError& error) {
    throw UsageError(
        fmt::format("method.queue_size and train.batch_size = {}: {}", batch_size, error.what()));
  }
}

// z        [N, D] any floating type, any length; no gradient flows into it
// queue    [K, D] unit rows
// returns  [N, D]: of each row of z, the row of the queue that is nearest to its direction
at::Tensor nearest_of(const at::Tensor& z, const at::Tensor& queue) {
  const torch::NoGradGuard no_grad;
  const FullPrecision full_precision;
  const auto z_unit = unit_rows(z);
  const auto rows = queue.to(z_unit.dtype());  // [K, D]
  std::vector<at::Tensor> places;
  for (const auto& some : z_unit.split(kRowsAtATime)) {
    places.push_back(some.mm(rows.t()).argmax(1));  // unit rows: the largest cosine is the nearest
  }
  return rows.index_select(0, at::cat(places));
}

class Nnclr final : public Method {
 public:
  Nnclr(const NnclrConfig& config, const MethodContext& context)
      : config_(config),
        encoder_(make_encoder(context.encoder)) {
    MlpSpec projector{
        .in = encoder_->feature_dim(), .widths = {}, .output_norm = OutputNorm::kAffine};
    projector.widths.assign(static_cast<std::size_t>(config.projector_layers), config.hidden_dim);
    projector.widths.back() = config.output_dim;
    projector_ = std::make_shared<Mlp>(projector);
    predictor_ = std::make_shared<Mlp>(
        MlpSpec{.in = config.output_dim, .widths = {config.predictor_dim, config.output_dim}});
    queue_ = std::make_shared<KeyQueue>(config.queue_size, config.output_dim, context.seed);
    module_.register_module("encoder", encoder_);
    module_.register_module("projector", projector_);
    module_.register_module("predictor", predictor_);
    module_.register_module("queue", queue_);
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    const auto& processes = context.communicator;
    check_queue_size(config_.queue_size, processes.size() * batch.size());
    // One view at a time: batch norm sees the statistics of one view.
    const auto features = encoder_->forward_parts(batch.groups.front(), 2).chunk(2);
    const auto z0 = projector_->forward(features[0]);  // [N, D]
    const auto z1 = projector_->forward(features[1]);  // [N, D]
    const auto p0 = predictor_->forward(z0);           // [N, D]
    const auto p1 = predictor_->forward(z1);           // [N, D]
    const auto queue = queue_->rows();                 // [K, D]
    const auto nearest0 = nearest_of(z0, queue);       // [N, D]
    const auto nearest1 = nearest_of(z1, queue);       // [N, D]
    fresh_ = processes.all_gather(z0.detach());        // [N of all, D]
    return {
        .output = {.loss = pair_loss(p1, nearest0, context).add(pair_loss(p0, nearest1, context)),
                   .embedding = z0.detach()},
        .features = features,
        .outputs = {p0, p1},
        .targets = {nearest0, nearest1}};
  }

  at::Tensor outputs(const at::Tensor& images) override {
    return predictor_->forward(projector_->forward(encoder_->forward(images)));
  }
  [[nodiscard]] std::int64_t output_dim() const override { return config_.output_dim; }

  // Half of Eq. 3, which is of one direction: the neighbour of one view picks the prediction of the
  // other among those of all images.
  at::Tensor pair_loss(const at::Tensor& outputs,
                       const at::Tensor& target,
                       const StepContext& context) override {
    return info_nce(target, outputs, config_.temperature, context.communicator).mul(0.5);
  }

  // Projections of one view of every image, as in the paper's pseudo-code. Not before the step has
  // looked for neighbours: each would find itself.
  void after_optimizer_step(const StepContext& /*context*/) override { queue_->enqueue(fresh_); }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t n) const override {
    return {{.name = "ln(N)",
             .value = std::log(static_cast<double>(n)),
             .cause = "every image looks alike to the network: likely a learning rate that is too "
                      "high, or neighbours that have nothing in common with their images"}};
  }

 private:
  NnclrConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Mlp> projector_;
  std::shared_ptr<Mlp> predictor_;
  std::shared_ptr<KeyQueue> queue_;
  at::Tensor fresh_;  // projections of all processes
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
    config.optimizer = "lars";  // the paper's, at batches of 4096: 0.3 * batch / 256
    config.base_lr = 0.3;
    config.weight_decay = 1e-6;
    config.decay_norm_and_bias = false;
    config.warmup_epochs = 10;
  }
}

}  // namespace

MethodEntry nnclr_entry() {
  return method_entry<Nnclr, NnclrConfig>(
      {.name = "nnclr",
       .paper = "arXiv:2104.14548",
       .summary = "takes the nearest past projection of one view as the positive of the other",
       .recipe = "simclr",
       .views = 2,
       .has_targets = true,
       .targets_are_embeddings = false,
       .train_defaults = train_defaults,
       .check_batch = check_batch});
}

}  // namespace viewfold::methods
