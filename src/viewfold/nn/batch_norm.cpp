// Implements batch normalisation over several processes: LibTorch's own normalisation with
// statistics that are given.
#include "viewfold/nn/batch_norm.hpp"

#include <torch/csrc/autograd/functions/utils.h>
#include <torch/torch.h>

namespace viewfold {
namespace {

// All dimensions but that of the channels.
std::vector<std::int64_t> summed_dimensions(const at::Tensor& x) {
  std::vector<std::int64_t> dimensions{0};
  for (std::int64_t d = 2; d < x.dim(); ++d) {
    dimensions.push_back(d);
  }
  return dimensions;
}

// Per channel, in a form that broadcasts against x.
at::Tensor along_channels(const at::Tensor& values, const at::Tensor& x) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[1] = values.size(0);
  return values.view(shape);
}

struct Moments {
  at::Tensor mean;  // [C] float32, or float64 for float64
  at::Tensor var;   // ditto, biased
};

at::ScalarType type_of_statistics(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

Moments moments_of_all(const at::Tensor& x, const Communicator& communicator) {
  const auto type = type_of_statistics(x);
  const auto [var, mean] = at::var_mean(x.to(type), summed_dimensions(x), /*unbiased=*/false);
  const auto wide = mean.to(at::kDouble);
  const auto sums = at::stack({wide, var.to(at::kDouble).add(wide.square())});  // [2, C]
  communicator.all_reduce_sum(sums);
  const auto means = sums.div(communicator.size());
  return {.mean = means[0].to(type),
          .var = means[1].sub(means[0].square()).clamp_min(0.0).to(type)};
}

void update_running(const BatchNormLayer& layer, const Moments& moments, std::int64_t values) {
  const double unbiased = static_cast<double>(values) / static_cast<double>(values - 1);
  at::Tensor(layer.running_mean).mul_(1 - layer.momentum).add_(moments.mean, layer.momentum);
  at::Tensor(layer.running_var)
      .mul_(1 - layer.momentum)
      .add_(moments.var, layer.momentum * unbiased);
  at::Tensor(layer.num_batches_tracked).add_(1);
}

// With M values of a channel in all processes and y = w xh + b, xh = (x - mean) / s:
// dL/dx = w/s (dy - sum(dy)/M - xh sum(dy xh)/M); the sums are over all processes.
struct SharedBatchNormBackward final : torch::autograd::Node {
  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const auto input = x.unpack();
    const auto scale = weight.unpack();
    const auto type = type_of_statistics(input);
    const auto [with_fixed_statistics, own_dy_xh, own_dy] = at::native_batch_norm_backward(
        gradients[0], input, scale, mean, var, {}, {}, /*train=*/false, eps, {true, true, true});
    const auto sums = at::stack({own_dy, own_dy_xh}).to(at::kDouble);  // [2, C]
    communicator.all_reduce_sum(sums);
    const auto values = static_cast<double>(input.numel() / input.size(1) * communicator.size());
    const auto means = sums.div(values);                             // [2, C]
    const auto inverse = var.to(at::kDouble).add(eps).rsqrt();       // 1 / s
    const auto slope = means[1].mul(inverse).mul(inverse);           // of x, before w
    const auto offset = means[0].mul(inverse).sub(slope.mul(mean));  // ditto, at 0
    const auto w = scale.defined() ? scale.to(at::kDouble) : at::ones_like(inverse);
    const auto dx = with_fixed_statistics.sub(along_channels(w.mul(offset).to(type), input))
                        .sub(input.mul(along_channels(w.mul(slope).to(type), input)));
    return {dx.to(input.scalar_type()), own_dy_xh, own_dy};
  }

  void release_variables() override {
    x.reset_data();
    weight.reset_data();
  }

  torch::autograd::SavedVariable x;
  torch::autograd::SavedVariable weight;
  at::Tensor mean;
  at::Tensor var;
  double eps = 0.0;
  Communicator communicator;
};

at::Tensor shared_batch_norm(const at::Tensor& x,
                             const BatchNormLayer& layer,
                             const Communicator& communicator) {
  std::shared_ptr<SharedBatchNormBackward> node;
  if (at::GradMode::is_enabled() &&
      torch::autograd::compute_requires_grad(x, layer.weight, layer.bias)) {
    node = std::shared_ptr<SharedBatchNormBackward>(new SharedBatchNormBackward,
                                                    torch::autograd::deleteNode);
    node->set_next_edges(torch::autograd::collect_next_edges(x, layer.weight, layer.bias));
    node->x = torch::autograd::SavedVariable(x, false);
    node->weight = torch::autograd::SavedVariable(layer.weight, false);
  }
  at::Tensor y;
  {
    const at::NoGradGuard no_grad;
    const auto moments = moments_of_all(x.detach(), communicator);
    update_running(layer, moments, x.numel() / x.size(1) * communicator.size());
    y = std::get<0>(at::native_batch_norm(x, layer.weight, layer.bias, moments.mean, moments.var,
                                          /*training=*/false, 0.0, layer.eps));
    if (node) {
      node->mean = moments.mean;
      node->var = moments.var;
      node->eps = layer.eps;
      node->communicator = communicator;
    }
  }
  if (node) {
    torch::autograd::set_history(y, node);
  }
  return y;
}

}  // namespace

void share_batch_norm(torch::nn::Module& root, const Communicator& communicator) {
  for (const auto& module : root.modules(/*include_self=*/false)) {
    if (auto* layer = dynamic_cast<SharesBatch*>(module.get())) {
      layer->share_batch(communicator);
    }
  }
}

at::Tensor batch_norm(const at::Tensor& x,
                      const BatchNormLayer& layer,
                      const Communicator& communicator) {
  if (layer.training && communicator.size() > 1) {
    return shared_batch_norm(x, layer, communicator);
  }
  if (layer.training) {
    at::Tensor(layer.num_batches_tracked).add_(1);
  }
  return torch::nn::functional::detail::batch_norm(x, layer.running_mean, layer.running_var,
                                                   layer.weight, layer.bias, layer.training,
                                                   layer.momentum, layer.eps);
}

}  // namespace viewfold
