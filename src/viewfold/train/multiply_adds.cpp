// Implements the count from the shapes that the callbacks of LibTorch see.
#include "viewfold/train/multiply_adds.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

// An operation whose first result is its output: which arguments are its input and its weights, and
// which dimension of the weights counts outputs.
struct Layer {
  std::string_view name;
  std::size_t input = 0;
  std::size_t weight = 0;
  std::int64_t outputs = 0;
};

constexpr std::array kLayers{Layer{"aten::convolution", 0, 1, 0}, Layer{"aten::linear", 0, 1, 0},
                             Layer{"aten::addmm", 1, 2, 1}, Layer{"aten::mm", 0, 1, 1}};

// What is known of an operation when it begins.
struct Begun final : at::ObserverContext {
  double per_output = 0.0;  // multiply-adds for one value of the output
  double passes = 0.0;      // forward, gradient of the weights, gradient of the input
};

double has_gradient(const at::Tensor& tensor) {
  return c10::GradMode::is_enabled() && tensor.requires_grad() ? 1.0 : 0.0;
}

std::unique_ptr<Begun> describe(const Layer& layer, c10::ArrayRef<const c10::IValue> arguments) {
  const at::Tensor& x = arguments.at(layer.input).toTensor();
  const at::Tensor& weight = arguments.at(layer.weight).toTensor();
  auto begun = std::make_unique<Begun>();
  begun->per_output = static_cast<double>(weight.numel() / weight.size(layer.outputs));
  begun->passes = 1.0 + has_gradient(weight) + has_gradient(x);
  return begun;
}

}  // namespace

// LibTorch takes plain functions, which find the count of their thread here.
struct MultiplyAdds::Callbacks {
  static thread_local MultiplyAdds* count;

  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    const bool backward = function.scope() == at::RecordScope::BACKWARD_FUNCTION;
    const auto* layer = std::find_if(kLayers.begin(), kLayers.end(), [&function](const auto& row) {
      return row.name == function.name();
    });
    if (count == nullptr || (!backward && layer == kLayers.end())) {
      return nullptr;
    }
    const bool counts = count->depth_++ == 0 && !backward;
    return counts ? describe(*layer, function.inputs()) : std::make_unique<Begun>();
  }

  static void end(const at::RecordFunction& function, at::ObserverContext* context) {
    const auto* begun = dynamic_cast<const Begun*>(context);
    if (count == nullptr || begun == nullptr) {
      return;
    }
    --count->depth_;
    if (begun->passes > 0.0) {
      count->total_ += begun->passes * begun->per_output *
                       static_cast<double>(function.outputs().at(0).toTensor().numel());
    }
  }
};

thread_local MultiplyAdds* MultiplyAdds::Callbacks::count = nullptr;

MultiplyAdds::MultiplyAdds() {
  check(Callbacks::count == nullptr, "a thread has one count at a time");
  Callbacks::count = this;
  handle_ = at::addThreadLocalCallback(
      at::RecordFunctionCallback(Callbacks::begin, Callbacks::end)
          .needsInputs(true)
          .needsOutputs(true)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
}

MultiplyAdds::~MultiplyAdds() {
  at::removeCallback(handle_);
  Callbacks::count = nullptr;
}

}  // namespace viewfold
