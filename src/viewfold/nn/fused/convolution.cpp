// Implements convolutions by oneDNN.
#include "viewfold/nn/fused/convolution.hpp"

#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <omp.h>
#include <unordered_map>
#include <vector>

#include "viewfold/image/aligned.hpp"
#include "viewfold/nn/fused/onednn.hpp"

namespace viewfold::fused {
namespace {

using dnnl::memory;

// Room for what a primitive works with; each thread has its own, which grows.
void* scratch(std::size_t bytes) {
  thread_local AlignedVector<std::byte> room;
  if (room.size() < bytes) {
    room.resize(bytes);
  }
  return room.data();
}

memory::data_type type_of(const ConvolutionShape& shape) {
  return shape.type == ElementType::kBf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// oneDNN takes pointers to data that it only reads as pointers to data that it might write.
memory wrap(const memory::desc& desc, const void* data) {
  return {desc, engine(),
          const_cast<void*>(data)};  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

void reorder(const memory::desc& from, const void* source, const memory::desc& to, void* target) {
  const OneThreadGuard one_thread;
  auto in = wrap(from, source);
  auto out = wrap(to, target);
  dnnl::reorder(in, out).execute(stream(), in, out);
  stream().wait();
}

}  // namespace

OneThreadGuard::OneThreadGuard() : before_(omp_get_max_threads()) {
  omp_set_num_threads(1);
}

OneThreadGuard::~OneThreadGuard() {
  omp_set_num_threads(before_);
}

struct Convolution::Plan {
  explicit Plan(const ConvolutionShape& of) : shape(of) {
    const OneThreadGuard one_thread;  // a primitive runs on as many threads as it was planned for
    const auto type = type_of(shape);
    const memory::dims in{shape.images, shape.in_channels, shape.height, shape.width};
    const memory::dims out{shape.images, shape.out_channels, shape.out_height(), shape.out_width()};
    const memory::dims kernel{shape.out_channels, shape.in_channels, shape.kernel, shape.kernel};
    const memory::dims stride{shape.stride, shape.stride};
    const memory::dims padding{shape.padding, shape.padding};
    x = memory::desc(in, type, memory::format_tag::nhwc);
    y = memory::desc(out, type, memory::format_tag::nhwc);
    plain = memory::desc(kernel, memory::data_type::f32, memory::format_tag::ohwi);
    const memory::desc any(kernel, type, memory::format_tag::any);
    const memory::desc any_gradient(kernel, memory::data_type::f32, memory::format_tag::any);
    constexpr auto kDirect = dnnl::algorithm::convolution_direct;
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::convolution_forward::primitive_desc forward_plan(
        {dnnl::prop_kind::forward_training, kDirect, x, any, y, stride, padding, padding},
        attributes, engine());
    const dnnl::convolution_backward_data::primitive_desc data_plan(
        {kDirect, x, any, y, stride, padding, padding}, attributes, engine(), forward_plan);
    const dnnl::convolution_backward_weights::primitive_desc weights_plan(
        {kDirect, x, any_gradient, y, stride, padding, padding}, attributes, engine(),
        forward_plan);
    forward_weights = forward_plan.weights_desc();
    backward_weights = data_plan.weights_desc();
    gradient = weights_plan.diff_weights_desc();
    forward = {dnnl::convolution_forward(forward_plan), forward_plan.scratchpad_desc()};
    backward_data = {dnnl::convolution_backward_data(data_plan), data_plan.scratchpad_desc()};
    backward_of_weights = {dnnl::convolution_backward_weights(weights_plan),
                           weights_plan.scratchpad_desc()};
  }

  struct Step {
    dnnl::primitive primitive;
    memory::desc scratchpad;

    void run(std::unordered_map<int, memory> arguments) const {
      arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(scratchpad, scratch(scratchpad.get_size())));
      primitive.execute(stream(), arguments);
      stream().wait();
    }
  };

  ConvolutionShape shape;
  memory::desc x, y, plain, forward_weights, backward_weights, gradient;
  Step forward, backward_data, backward_of_weights;
};

Convolution::Convolution(const ConvolutionShape& shape) : plan_(std::make_unique<Plan>(shape)) {}
Convolution::~Convolution() = default;

const ConvolutionShape& Convolution::shape() const {
  return plan_->shape;
}

bool Convolution::shares_layouts(const Convolution& other) const {
  return plan_->forward_weights == other.plan_->forward_weights &&
         plan_->backward_weights == other.plan_->backward_weights &&
         plan_->gradient == other.plan_->gradient;
}

std::size_t Convolution::forward_weight_bytes() const {
  return plan_->forward_weights.get_size();
}

std::size_t Convolution::backward_weight_bytes() const {
  return plan_->backward_weights.get_size();
}

std::size_t Convolution::gradient_count() const {
  return plan_->gradient.get_size() / sizeof(float);
}

void Convolution::pack_for_forward(const float* weights, void* packed) const {
  reorder(plan_->plain, weights, plan_->forward_weights, packed);
}

void Convolution::pack_for_backward(const float* weights, void* packed) const {
  reorder(plan_->plain, weights, plan_->backward_weights, packed);
}

void Convolution::unpack_gradient(const float* packed, float* weights) const {
  reorder(plan_->gradient, packed, plan_->plain, weights);
}

void Convolution::forward(const void* x, const void* packed, void* y) const {
  plan_->forward.run({{DNNL_ARG_SRC, wrap(plan_->x, x)},
                      {DNNL_ARG_WEIGHTS, wrap(plan_->forward_weights, packed)},
                      {DNNL_ARG_DST, wrap(plan_->y, y)}});
}

void Convolution::backward_data(const void* grad_y, const void* packed, void* grad_x) const {
  plan_->backward_data.run({{DNNL_ARG_DIFF_DST, wrap(plan_->y, grad_y)},
                            {DNNL_ARG_WEIGHTS, wrap(plan_->backward_weights, packed)},
                            {DNNL_ARG_DIFF_SRC, wrap(plan_->x, grad_x)}});
}

void Convolution::backward_weights(const void* x, const void* grad_y, float* packed) const {
  plan_->backward_of_weights.run({{DNNL_ARG_SRC, wrap(plan_->x, x)},
                                  {DNNL_ARG_DIFF_DST, wrap(plan_->y, grad_y)},
                                  {DNNL_ARG_DIFF_WEIGHTS, wrap(plan_->gradient, packed)}});
}

std::shared_ptr<const Convolution> find_convolution(const ConvolutionShape& shape) {
  static std::mutex mutex;
  static std::map<ConvolutionShape, std::shared_ptr<const Convolution>> planned;
  const std::scoped_lock lock(mutex);
  auto& entry = planned[shape];
  if (!entry) {
    entry = std::make_shared<const Convolution>(shape);
  }
  return entry;
}

}  // namespace viewfold::fused
