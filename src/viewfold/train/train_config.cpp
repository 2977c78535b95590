// Describes the settings of the training loop; implements the schedule.
#include "viewfold/train/train_config.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace viewfold {

void TrainConfig::visit(FieldVisitor& v) {
  constexpr auto kMayChange = Resume::kMayChange;
  v.field("epochs", epochs, {.doc = "passes over the training images", .min = 1, .max = 100000});
  v.field(
      "batch_size", batch_size,
      {.doc = "images per step, of all processes together; each gives as many views as the method "
              "wants",
       .min = 2,
       .max = 65536});
  v.field("optimizer", optimizer,
          {.doc = "how gradients become steps", .choices = {"sgd", "lars", "adamw"}});
  v.field("base_lr", base_lr,
          {.doc = "peak learning rate at batch size 256; scaled linearly with the batch size",
           .min = 0,
           .max = 1000});
  v.field("weight_decay", weight_decay, {.doc = "L2 penalty on weights", .min = 0, .max = 10});
  v.field("momentum", momentum,
          {.doc = "of sgd and lars; beta1 of adamw", .min = 0, .max = 0.9999});
  v.field("beta2", beta2, {.doc = "of adamw", .min = 0, .max = 0.999999});
  v.field("warmup_epochs", warmup_epochs,
          {.doc = "epochs of linear warm-up before the cosine", .min = 0, .max = 100000});
  v.field("decay_norm_and_bias", decay_norm_and_bias,
          {.doc = "whether weight decay (and LARS adaptation) includes biases and batch norm"});
  v.field("lars_trust", lars_trust, {.doc = "trust coefficient eta of lars", .min = 0, .max = 1});
  v.field("precision", precision,
          {.doc = "bf16 runs convolutions and matrix products in bfloat16; auto takes it where the "
                  "processor has instructions for it",
           .choices = {"auto", "fp32", "bf16"}});
  v.field(
      "fused", fused,
      {.doc = "run residual blocks as one step each, where the encoder's width is a multiple of "
              "16; off runs LibTorch's own modules, which is slower and takes more memory"});
  v.field("first_size", first_size,
          {.doc = "height and width that views are shrunk to at the start, which is faster; they "
                  "grow from there. 0: full size from the start",
           .min = 0,
           .max = 4096});
  v.field(
      "growth", growth,
      {.doc = "share of the run after which the views have their full size", .min = 0, .max = 1});
  v.field("on_collapse", on_collapse,
          {.doc = "what to do when the outputs collapse",
           .choices = {"warn", "stop"},
           .resume = kMayChange});
  v.field(
      "threads", threads,
      {.doc =
           "threads of tensor operations; 0 takes every core, or its share of them where several "
           "processes train on one machine. Another number rounds sums differently",
       .min = 0,
       .max = 1024});
  v.field("loader_threads", loader_threads,
          {.doc = "threads that make views", .min = 1, .max = 1024, .resume = kMayChange});
  v.field("prefetch_gb", prefetch_gb,
          {.doc = "memory for the batches that are made ahead: one for each of these threads, at "
                  "least three, as far as they fit; one is always made",
           .min = 0,
           .max = 1e6,
           .resume = kMayChange});
  v.field("checkpoint_minutes", checkpoint_minutes,
          {.doc = "time between checkpoints; one is also made at the end and when interrupted",
           .min = 0,
           .max = 10000,
           .resume = kMayChange});
  v.field("log_every", log_every,
          {.doc = "steps between two lines of metrics.jsonl",
           .min = 1,
           .max = 1000000,
           .resume = kMayChange});
}

double cosine_lr(double peak, std::int64_t step, std::int64_t total, std::int64_t warmup) {
  if (step < warmup) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  }
  if (total <= warmup) {
    return peak;
  }
  const double progress = static_cast<double>(step - warmup) / static_cast<double>(total - warmup);
  return peak * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

std::int64_t size_at(const TrainConfig& config,
                     std::int64_t full,
                     std::int64_t step,
                     std::int64_t total) {
  constexpr std::int64_t kMultiple = 4;  // three times halved by a ResNet, it stays even twice
  const double progress = static_cast<double>(step) / static_cast<double>(total);
  if (config.first_size == 0 || config.first_size >= full || progress >= config.growth) {
    return full;
  }
  const double grown = static_cast<double>(config.first_size) +
                       static_cast<double>(full - config.first_size) * progress / config.growth;
  const auto size = static_cast<std::int64_t>(grown) / kMultiple * kMultiple;
  return std::clamp(size, config.first_size, full);
}

double peak_lr(const TrainConfig& config) {
  return config.base_lr * static_cast<double>(config.batch_size) / 256.0;
}

}  // namespace viewfold
