// Settings of the training loop.
#pragma once

#include <cstdint>
#include <string>

#include "viewfold/core/config.hpp"

namespace viewfold {

/// How a task is optimised. Methods set optimizer, base_lr and weight_decay to their paper's values
/// before the user's own settings are read.
struct TrainConfig final : Config {
  std::int64_t epochs = 50;
  std::int64_t batch_size = 256;
  std::string optimizer = "sgd";
  double base_lr = 0.03;
  double weight_decay = 1e-4;
  double momentum = 0.9;
  double beta2 = 0.999;  // Kingma and Ba, arXiv:1412.6980, Alg. 1
  double warmup_epochs = 0.0;
  bool decay_norm_and_bias = true;
  double lars_trust = 0.001;  // eta, You et al. 2017 (arXiv:1708.03888) as in SimCLR's optimizer
  std::string precision = "auto";
  bool fused = true;
  std::int64_t first_size = 0;
  double growth = 0.7;
  std::string on_collapse = "warn";
  std::int64_t threads = 0;
  std::int64_t loader_threads = 1;
  double prefetch_gb = 4.0;
  double checkpoint_minutes = 5.0;
  std::int64_t log_every = 20;

  void visit(FieldVisitor& v) override;
};

/// lr at `step`: linear warm-up from 0 over `warmup` steps, then half a cosine down to 0 at
/// `total`. lr = peak * 0.5 (1 + cos(pi e / E)), Loshchilov and Hutter (arXiv:1608.03983) Eq. 5
/// without restarts.
[[nodiscard]] double cosine_lr(double peak,
                               std::int64_t step,
                               std::int64_t total,
                               std::int64_t warmup);

/// Height and width of the views at `step`, of views that are made `full` pixels large: from
/// config.first_size at the first step to `full` after the share config.growth of all steps,
/// linearly, in multiples of 4; always `full` when first_size is 0.
[[nodiscard]] std::int64_t size_at(const TrainConfig& config,
                                   std::int64_t full,
                                   std::int64_t step,
                                   std::int64_t total);

/// The linear scaling rule: base_lr * batch_size / 256 (Goyal et al., arXiv:1706.02677).
[[nodiscard]] double peak_lr(const TrainConfig& config);

}  // namespace viewfold
