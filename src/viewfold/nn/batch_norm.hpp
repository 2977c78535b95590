// Batch normalisation whose batch is that of all processes.
#pragma once

#include <torch/nn/modules/batchnorm.h>

#include "viewfold/core/error.hpp"
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

/// Lets all layers of batch normalisation below `root` share their batch among the processes.
void share_batch_norm(torch::nn::Module& root, const Communicator& communicator);

/// Parameters, buffers and options of a layer, as they are named in torch::nn::BatchNorm2d.
struct BatchNormLayer {
  at::Tensor weight;  // [C], undefined without affine
  at::Tensor bias;    // ditto
  at::Tensor running_mean;
  at::Tensor running_var;
  at::Tensor num_batches_tracked;
  double momentum;  // of the running statistics
  double eps;
  bool training;
};

/// Batch normalisation over the batches of all processes, as one process would do it with the whole
/// batch; in training it updates the running statistics. Several processes exchange 2 C numbers,
/// and 2 C more for the gradient; one does what LibTorch's layer does. x        [N, C] or [N, C, H,
/// W], the same N in all processes returns  the same shape and type
[[nodiscard]] at::Tensor batch_norm(const at::Tensor& x,
                                    const BatchNormLayer& layer,
                                    const Communicator& communicator);

/// A layer with the parameters, buffers and options of LibTorch's. (That itself is no base class:
/// LibTorch keeps one of its virtual functions to itself.)
template <std::size_t D, class Derived>
class BatchNormBase : public torch::nn::NormImplBase<D, Derived, torch::nn::BatchNormOptions>,
                      public SharesBatch {
 public:
  using Base = torch::nn::NormImplBase<D, Derived, torch::nn::BatchNormOptions>;
  using Base::Base;

  at::Tensor forward(const at::Tensor& x) {
    _check_input_dim(x);
    return batch_norm(
        x,
        {this->weight, this->bias, this->running_mean, this->running_var, this->num_batches_tracked,
         this->options.momentum().value(), this->options.eps(), this->is_training()},
        communicator());
  }

 protected:
  void _check_input_dim(const at::Tensor& x) override {
    check(x.dim() == 2 * static_cast<std::int64_t>(D) && x.size(1) == this->options.num_features(),
          "batch norm is of other channels or other dimensions");
  }
};

/// Of [N, C].
class BatchNorm1dImpl : public BatchNormBase<1, BatchNorm1dImpl> {
 public:
  using BatchNormBase::BatchNormBase;
};
TORCH_MODULE(BatchNorm1d);

/// Of [N, C, H, W].
class BatchNorm2dImpl : public BatchNormBase<2, BatchNorm2dImpl> {
 public:
  using BatchNormBase::BatchNormBase;
};
TORCH_MODULE(BatchNorm2d);

}  // namespace viewfold
