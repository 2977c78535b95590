// MoCo in both versions, which differ in head, temperature and views.
#pragma once

#include <cstdint>

#include "viewfold/methods/method.hpp"

namespace viewfold {

/// The settings of MoCo.
struct MocoConfig : Config {
  double temperature = 0.0;
  double momentum = 0.0;
  std::int64_t queue_size = 0;
  bool symmetric = false;
  bool has_mlp_head = true;     // else one linear layer; not the user's to choose
  std::int64_t hidden_dim = 0;  // of an MLP head
  std::int64_t output_dim = 128;
  std::int64_t norm_splits = 8;

  void visit(FieldVisitor& v) override;
};

/// Throws UsageError unless batches of `batch_size` images fill the queue exactly.
void check_moco_batch(const Config& config, std::int64_t batch_size);

/// A MoCo of these settings.
[[nodiscard]] std::unique_ptr<Method> make_moco(const MocoConfig& config,
                                                const MethodContext& context);

/// The optimiser of both versions.
void set_moco_training(ImageScale scale, TrainConfig& config);

/// Lets the entry of a version have settings C, a MocoConfig with a constructor from ImageScale.
template <class C>
void set_moco(MethodEntry& entry) {
  entry.config = [](ImageScale scale) {
    return std::unique_ptr<Config>(std::make_unique<C>(scale));
  };
  entry.make = [](const Config& config, const MethodContext& context) {
    return make_moco(dynamic_cast<const MocoConfig&>(config), context);
  };
}

}  // namespace viewfold
