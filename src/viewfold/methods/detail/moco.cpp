// Implements MoCo: keys from a slowly moving encoder, negatives from a queue.
#include "viewfold/methods/detail/moco.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/batch_norm.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/losses/info_nce.hpp"
#include "viewfold/nn/momentum.hpp"
#include "viewfold/nn/queue.hpp"

namespace viewfold {
namespace {

std::int64_t keys_per_step(const MocoConfig& config, std::int64_t batch_size) {
  return config.symmetric ? 2 * batch_size : batch_size;
}

// The largest number of parts up to `most` that share n samples evenly, two or more in each: one
// sample has no batch statistics.
std::int64_t equal_parts(std::int64_t n, std::int64_t most) {
  for (std::int64_t parts = std::min(most, n / 2); parts > 1; --parts) {
    if (n % parts == 0) {
      return parts;
    }
  }
  return 1;
}

class Moco final : public Method {
 public:
  Moco(const MocoConfig& config, const MethodContext& context)
      : config_(config),
        encoder_(make_encoder(context.encoder)) {
    const auto features = encoder_->feature_dim();
    const auto hidden = config.hidden_dim > 0 ? config.hidden_dim : features;
    MlpSpec shape{.in = features, .widths = {config.output_dim}, .hidden_norm = false};
    if (config.has_mlp_head) {
      shape.widths = {hidden, config.output_dim};
    }
    head_ = std::make_shared<Mlp>(shape);
    key_encoder_ = make_encoder(context.encoder);
    key_head_ = std::make_shared<Mlp>(shape);
    queue_ = std::make_shared<KeyQueue>(config.queue_size, config.output_dim, context.seed);
    copy_parameters(*encoder_, *key_encoder_);
    copy_parameters(*head_, *key_head_);
    module_.register_module("encoder", encoder_);
    module_.register_module("head", head_);
    module_.register_module("key_encoder", key_encoder_);
    module_.register_module("key_head", key_head_);
    module_.register_module("queue", queue_);
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    const auto& processes = context.communicator;
    const auto n = batch.size();
    check_queue_size(config_.queue_size, keys_per_step(config_, processes.size() * n));
    ema_update(*key_encoder_, *encoder_, config_.momentum);
    ema_update(*key_head_, *head_, config_.momentum);
    return config_.symmetric ? symmetric_step(batch, context) : asymmetric_step(batch, context);
  }

  at::Tensor outputs(const at::Tensor& images) override {
    return head_->forward(encoder_->forward(images));
  }
  [[nodiscard]] std::int64_t output_dim() const override { return config_.output_dim; }

  at::Tensor pair_loss(const at::Tensor& outputs,
                       const at::Tensor& target,
                       const StepContext& /*context*/) override {
    return info_nce_with_queue(outputs, target, queue_->rows(), config_.temperature);
  }

  // The positives of a step must not be among its negatives.
  void after_optimizer_step(const StepContext& /*context*/) override {
    queue_->enqueue(fresh_keys_);
  }

  torch::nn::Module& module() override { return module_; }
  Encoder& encoder() override { return *encoder_; }

  std::vector<KnownConstant> known_constants(std::int64_t /*n*/) const override {
    const double value = std::log(1.0 + static_cast<double>(config_.queue_size));
    return {{.name = config_.symmetric ? "2 ln(1+K)" : "ln(1+K)",
             .value = config_.symmetric ? 2.0 * value : value,
             .cause = "a query cannot tell its key from the queue: likely a learning rate that is "
                      "too high, or a "
                      "momentum that is too low"}};
  }

 private:
  // View 0 asks, view 1 answers.
  MethodStep asymmetric_step(const ViewBatch& batch, const StepContext& context) {
    const auto features = encoder_->forward(batch.view(0));  // [N, F]
    const auto q = head_->forward(features);                 // [N, D]
    const Keys keys = keys_of(batch.view(1), 1, context.communicator);
    fresh_keys_ = keys.of_all[0];
    return {.output = {.loss = pair_loss(q, keys.here[0], context), .embedding = q.detach()},
            .features = {features, keys.features[0]},
            .outputs = {q, at::Tensor()},
            .targets = {at::Tensor(), keys.here[0]}};
  }

  // Both views ask and answer.
  MethodStep symmetric_step(const ViewBatch& batch, const StepContext& context) {
    const auto& views = batch.groups.front();                 // [2N, C, S, S]
    const auto features = encoder_->forward_parts(views, 2);  // [2N, F]
    const auto q = head_->forward(features).chunk(2);         // [N, D] each
    const Keys keys = keys_of(views, 2, context.communicator);
    fresh_keys_ = at::cat({keys.of_all[1], keys.of_all[0]});
    const auto loss =
        pair_loss(q[0], keys.here[1], context).add(pair_loss(q[1], keys.here[0], context));
    return {.output = {.loss = loss, .embedding = q[0].detach()},
            .features = features.chunk(2),
            .outputs = q,
            .targets = keys.here};
  }

  // Of each view.
  struct Keys {
    std::vector<at::Tensor> of_all;    // [N of all processes, D] in the order of all_gather()
    std::vector<at::Tensor> here;      // [N, D], those of this process
    std::vector<at::Tensor> features;  // [N, F] of the key encoder, those of this process
  };

  // views    [count * N, C, S, S]: `count` views of the N samples of this process
  Keys keys_of(const at::Tensor& views, std::int64_t count, const Communicator& processes) {
    const torch::NoGradGuard no_grad;
    const auto here = views.size(0) / count;
    const auto n = here * processes.size();
    // Batch norm would otherwise leak which query belongs to which key (MoCo, arXiv:1911.05722,
    // Sec. 3.3).
    const auto splits = equal_parts(n, config_.norm_splits);
    std::vector<at::Tensor> orders;
    std::vector<at::Tensor> shuffled;
    for (const auto& view : views.chunk(count)) {
      orders.push_back(splits > 1 ? at::randperm(n, at::kLong) : at::arange(n, at::kLong));
      shuffled.push_back(splits > 1 ? processes.exchange_rows(view, orders.back()) : view);
    }
    const auto parts = count * parts_here(splits, processes);
    const auto features = key_encoder_->forward_parts(
        at::cat(shuffled).contiguous(at::MemoryFormat::ChannelsLast), parts);  // shuffled
    const auto of_views = unit_rows(key_head_->forward(features)).chunk(count);
    const auto features_of_views = features.chunk(count);
    const auto in_order = [&](const at::Tensor& rows, const at::Tensor& order) {
      const auto all = processes.all_gather(rows);
      return at::empty_like(all).index_copy_(0, order, all);
    };
    Keys keys;
    for (std::size_t v = 0; v < orders.size(); ++v) {
      keys.of_all.push_back(in_order(of_views[v], orders[v]));
      keys.here.push_back(keys.of_all.back().narrow(0, processes.rank() * here, here));
      keys.features.push_back(
          in_order(features_of_views[v], orders[v]).narrow(0, processes.rank() * here, here));
    }
    return keys;
  }

  // How many of the sub-batches this process has; where it has but a share of one, the others that
  // have the rest of it share its batch norm.
  std::int64_t parts_here(std::int64_t splits, const Communicator& processes) {
    const std::int64_t size = processes.size();
    if (splits % size != 0 && size % splits != 0) {
      throw UsageError(fmt::format(
          "{} shuffled sub-batches do not divide among {} processes (use --method.norm_splits {})",
          splits, size, size));
    }
    if (key_splits_ != splits) {
      key_splits_ = splits;
      const auto sharers = processes.part(static_cast<int>(std::min(splits, size)));
      share_batch_norm(*key_encoder_, sharers);
      share_batch_norm(*key_head_, sharers);
    }
    return std::max<std::int64_t>(1, splits / size);
  }

  MocoConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Encoder> key_encoder_;
  std::shared_ptr<Mlp> head_;
  std::shared_ptr<Mlp> key_head_;
  std::shared_ptr<KeyQueue> queue_;
  at::Tensor fresh_keys_;        // of all processes
  std::int64_t key_splits_ = 0;  // for which the key networks share their batch norm
  torch::nn::Module module_;
};

}  // namespace

void MocoConfig::visit(FieldVisitor& v) {
  v.field("temperature", temperature, {.doc = "tau of the InfoNCE loss", .min = 1e-3, .max = 100});
  v.field("momentum", momentum, {.doc = "m of the key encoder", .min = 0, .max = 1});
  v.field("queue_size", queue_size,
          {.doc = "keys of earlier batches that serve as negatives; a multiple of the batch size "
                  "(twice it "
                  "when symmetric)",
           .min = 1,
           .max = 1 << 24});
  v.field("symmetric", symmetric,
          {.doc = "each view is query once and key once (the demo's option)"});
  if (has_mlp_head) {
    v.field("hidden_dim", hidden_dim,
            {.doc = "width of the head's hidden layer; 0 takes the width of the features",
             .min = 0,
             .max = 65536});
  }
  v.field("output_dim", output_dim, {.doc = "width of queries and keys", .min = 1, .max = 65536});
  v.field("norm_splits", norm_splits,
          {.doc = "batch norm of the keys sees shuffled sub-batches, at most this many (the demo's "
                  "stand-in for shuffling over devices); 1 switches it off",
           .min = 1,
           .max = 1024});
}

void check_moco_batch(const Config& config, std::int64_t batch_size) {
  const auto& moco = dynamic_cast<const MocoConfig&>(config);
  try {
    check_queue_size(moco.queue_size, keys_per_step(moco, batch_size));
  } catch (const UsageError& error) {
    throw UsageError(
        fmt::format("method.queue_size and train.batch_size = {}: {}", batch_size, error.what()));
  }
}

std::unique_ptr<Method> make_moco(const MocoConfig& config, const MethodContext& context) {
  return std::make_unique<Moco>(config, context);
}

void set_moco_training(ImageScale scale, TrainConfig& config) {
  config.optimizer = "sgd";
  config.decay_norm_and_bias = true;
  config.base_lr =
      0.03;  // MoCo, Sec. 4: 0.03 at 256 images; the CIFAR demo's 0.06 at 512 is the same
  config.weight_decay = scale == ImageScale::kSmall ? 5e-4 : 1e-4;  // demo; MoCo Sec. 4
  config.warmup_epochs = 0;
}

}  // namespace viewfold
