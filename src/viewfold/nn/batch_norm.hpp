// Batch normalisation whose batch is that of all processes.
#pragma once

#include <torch/nn/modules/batchnorm.h>

#include "viewfold/tensor/communicator.hpp"

namespace viewfold {

/// What all layers of batch normalisation have in common: the processes that share their batch.
class SharesBatch {
 public:
  SharesBatch() = default;
  SharesBatch(const SharesBatch&) = default;
  SharesBatch& operator=(const SharesBatch&) = default;
  virtual ~SharesBatch() = default;

  /// In training mode, statistics and their gradients are those of the batches of all these
  /// processes, which have equal sizes.
  void share_batch(const Communicator& communicator) { communicator_ = communicator; }

  /// One process, unless share_batch() has been called.
  [[nodiscard]] const Communicator& communicator() const { return communicator_; }

 private:
  Communicator communicator_;
};

/// Lets all layers of batch normalisation inside `root` share their batch among the processes.
void share_batch_norm(torch::nn::Module& root, const Communicator& communicator);

/// Parameters, buffers and options of a layer in training mode.
struct BatchNormLayer {
  at::Tensor weight;  // [C], undefined without affine
  at::Tensor bias;    // ditto
  at::Tensor running_mean;
  at::Tensor running_var;
  at::Tensor num_batches_tracked;
  double momentum;  // of the running statistics
  double eps;
};

/// Batch normalisation over the batches of all processes, as one process would do it with the whole
/// batch; updates the running statistics. They exchange 2 C numbers, and 2 C more for the gradient.
/// x        [N, C] or [N, C, H, W], the same N on all of them
/// returns  the same shape and type
[[nodiscard]] at::Tensor shared_batch_norm(const at::Tensor& x,
                                           const BatchNormLayer& layer,
                                           const Communicator& communicator);

/// Adds SharesBatch to a layer of LibTorch; in one process it is that layer.
template <class Layer>
class SharedBatchNorm : public Layer, public SharesBatch {
 public:
  using Layer::Layer;

  at::Tensor forward(const at::Tensor& x) {
    if (!this->is_training() || communicator().size() == 1) {
      return Layer::forward(x);
    }
    return shared_batch_norm(
        x,
        {this->weight, this->bias, this->running_mean, this->running_var, this->num_batches_tracked,
         this->options.momentum().value(), this->options.eps()},
        communicator());
  }
};

/// torch::nn::BatchNorm1d and BatchNorm2d that can share their batch.
class BatchNorm1dImpl : public SharedBatchNorm<torch::nn::BatchNorm1dImpl> {
 public:
  using SharedBatchNorm::SharedBatchNorm;
};
TORCH_MODULE(BatchNorm1d);

class BatchNorm2dImpl : public SharedBatchNorm<torch::nn::BatchNorm2dImpl> {
 public:
  using SharedBatchNorm::SharedBatchNorm;
};
TORCH_MODULE(BatchNorm2d);

}  // namespace viewfold
