// Implements the export to TorchScript: the module tree is mirrored, then forward() is traced.
#include <sstream>

#include <fmt/format.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/eval/detail/evaluation_mode.hpp"
#include "viewfold/eval/encoder_file.hpp"

namespace viewfold {
namespace {

using CompilationUnit = std::shared_ptr<torch::jit::CompilationUnit>;

// The same tree, names and tensors: tracing recognises parameters by identity.
torch::jit::Module mirror(const torch::nn::Module& module,
                          const std::string& name,
                          const CompilationUnit& unit) {
  torch::jit::Module copy(c10::QualifiedName(name), unit, /*shouldMangle=*/true);
  copy.register_attribute("training", c10::BoolType::get(), false);
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    copy.register_parameter(item.key(), item.value(), /*is_buffer=*/false);
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    copy.register_buffer(item.key(), item.value());
  }
  for (const auto& item : module.named_children()) {
    copy.register_module(item.key(), mirror(*item.value(), "__torch__.viewfold.Part", unit));
  }
  return copy;
}

// As torch.jit.trace() does: the recorded graph becomes the method "forward".
void add_forward(torch::jit::Module& script, Encoder& encoder, const at::Tensor& x) {
  const auto run = [&encoder](torch::jit::Stack inputs) -> torch::jit::Stack {
    return {encoder.forward(inputs.at(0).toTensor())};
  };
  const auto no_name = [](const at::Tensor&) { return std::string(); };
  const auto state = torch::jit::tracer::trace({x}, run, no_name, /*strict=*/true,
                                               /*force_outplace=*/false, &script, {"x"})
                         .first;
  const c10::QualifiedName name(*script.type()->name(), "forward");
  script.type()->addMethod(
      script._ivalue()->compilation_unit()->create_function(name, state->graph));
}

at::Tensor example(const EncoderSpec& spec, std::int64_t n) {
  const std::int64_t side = spec.input_size;
  const std::int64_t count = n * spec.in_channels * side * side;
  return at::arange(count, at::kFloat).sin_().reshape({n, spec.in_channels, side, side});
}

}  // namespace

void write_torchscript(Encoder& encoder,
                       const EncoderCard& info,
                       const std::filesystem::path& path) {
  const at::NoGradGuard no_grad;
  const EvaluationMode mode(encoder);
  auto script = mirror(encoder, "__torch__.viewfold.Encoder",
                       std::make_shared<torch::jit::CompilationUnit>());
  add_forward(script, encoder, example(info.encoder, 2));
  // An encoder that asks for the size of its batch would have 2 written into it.
  const auto x = example(info.encoder, 3);
  // By LibTorch's own operations, as it was traced: what is made to be fast without gradients may
  // round differently.
  const auto expected = [&] {
    const at::AutoGradMode with_gradients(true);
    return encoder.forward(x).detach();
  }();
  check(script.forward({x}).toTensor().allclose(expected, 1e-4, 1e-5),
        "the encoder cannot be traced: its forward() depends on more than the values of x");
  std::ostringstream bytes;
  script.save(bytes);
  write_file_atomically(path, bytes.str());
}

}  // namespace viewfold
