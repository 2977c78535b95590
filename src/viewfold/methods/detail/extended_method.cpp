// Implements a method with extensions: each adds its loss to the steps of the method.
#include "viewfold/methods/detail/extended_method.hpp"

#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Extensions = std::vector<const ExtensionEntry*>;

// The settings of the method as they are without extensions, then those of each under its name.
class ExtendedConfig final : public Config {
 public:
  ExtendedConfig(const MethodEntry& base, const Extensions& extensions, ImageScale scale)
      : method(base.config(scale)) {
    for (const auto* extension : extensions) {
      parts.emplace_back(extension->name, extension->config(scale));
    }
  }

  void visit(FieldVisitor& v) override {
    method->visit(v);
    for (const auto& [name, config] : parts) {
      visit_group(v, name, *config);
    }
  }

  std::unique_ptr<Config> method;
  std::vector<std::pair<std::string_view, std::unique_ptr<Config>>> parts;
};

const ExtendedConfig& settings_of(const Config& config) {
  return dynamic_cast<const ExtendedConfig&>(config);
}

class ExtendedMethod final : public Method {
 public:
  ExtendedMethod(std::unique_ptr<Method> method,
                 std::vector<std::pair<std::string, std::unique_ptr<Extension>>> extensions)
      : method_(std::move(method)),
        extensions_(std::move(extensions)) {
    // Beside the method's own networks, whose names stay as they are.
    for (const auto& [name, extension] : extensions_) {
      if (auto module = extension->module()) {
        method_->module().register_module(name, std::move(module));
      }
    }
  }

  MethodStep step(const ViewBatch& batch, const StepContext& context) override {
    MethodStep step = method_->step(batch, context);
    for (const auto& [name, extension] : extensions_) {
      extension->extend(step, batch, context);
    }
    return step;
  }

  void after_optimizer_step(const StepContext& context) override {
    method_->after_optimizer_step(context);
    for (const auto& [name, extension] : extensions_) {
      extension->after_optimizer_step(context);
    }
  }

  at::Tensor outputs(const at::Tensor& images) override { return method_->outputs(images); }
  [[nodiscard]] std::int64_t output_dim() const override { return method_->output_dim(); }
  at::Tensor pair_loss(const at::Tensor& outputs,
                       const at::Tensor& target,
                       const StepContext& context) override {
    return method_->pair_loss(outputs, target, context);
  }

  torch::nn::Module& module() override { return method_->module(); }
  Encoder& encoder() override { return method_->encoder(); }
  bool has_fixed_lr(const std::string& parameter) const override {
    return method_->has_fixed_lr(parameter);
  }

  std::vector<KnownConstant> known_constants(std::int64_t batch_size) const override {
    std::vector<KnownConstant> known;
    for (auto constant : method_->known_constants(batch_size)) {
      std::optional<double> value = constant.value;
      for (const auto& [name, extension] : extensions_) {
        value = value ? extension->at_standstill(constant.value, *value) : std::nullopt;
      }
      if (value) {
        constant.name += " and what extensions add";
        constant.value = *value;
        known.push_back(std::move(constant));
      }
    }
    return known;
  }

 private:
  std::unique_ptr<Method> method_;
  std::vector<std::pair<std::string, std::unique_ptr<Extension>>> extensions_;
};

std::unique_ptr<Method> make_extended(const MethodEntry& base,
                                      const Extensions& extensions,
                                      const ExtendedConfig& config,
                                      const MethodContext& context) {
  auto method = base.make(*config.method, context);  // first: its weights do not depend on the rest
  std::vector<std::pair<std::string, std::unique_ptr<Extension>>> made;
  for (std::size_t i = 0; i < extensions.size(); ++i) {
    made.emplace_back(extensions[i]->name, extensions[i]->make(*config.parts[i].second,
                                                               {.method = *method,
                                                                .output_dim = method->output_dim(),
                                                                .samples = context.samples,
                                                                .seed = context.seed,
                                                                .recipe = context.recipe}));
  }
  return std::make_unique<ExtendedMethod>(std::move(method), std::move(made));
}

bool fit(const MethodEntry& base, const ExtensionEntry& extension) {
  const bool has_embeddings = base.has_targets && base.targets_are_embeddings;
  return (base.has_targets || !extension.needs_targets) &&
         (has_embeddings || !extension.needs_embeddings);
}

void check_fit(const MethodEntry& base, const Extensions& extensions) {
  for (std::size_t i = 0; i < extensions.size(); ++i) {
    if (!fit(base, *extensions[i])) {
      std::vector<std::string> names;
      for (const auto& entry : method_table()) {
        if (fit(entry, *extensions[i])) {
          names.push_back(entry.name);
        }
      }
      throw UsageError(fmt::format(
          "{} needs a method whose views have targets{}, and {} is none (it goes with {})",
          extensions[i]->name,
          extensions[i]->needs_embeddings ? " that are features of the image" : "", base.name,
          fmt::join(names, ", ")));
    }
    if (base.closed_form) {
      throw UsageError(
          fmt::format("{} is solved without gradients: extensions such as {} need a "
                      "method that has them",
                      base.name, extensions[i]->name));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (extensions[i] == extensions[j]) {
        throw UsageError(fmt::format("the extension {} is named twice", extensions[i]->name));
      }
    }
  }
}

}  // namespace

MethodEntry extended_entry(const MethodEntry& base, const Extensions& extensions) {
  check_fit(base, extensions);
  MethodEntry entry = base;
  for (const auto* extension : extensions) {
    entry.name += fmt::format("+{}", extension->name);
  }
  entry.config = [base, extensions](ImageScale scale) {
    return std::unique_ptr<Config>(std::make_unique<ExtendedConfig>(base, extensions, scale));
  };
  if (base.check_batch) {
    entry.check_batch = [base](const Config& config, std::int64_t batch_size) {
      base.check_batch(*settings_of(config).method, batch_size);
    };
  }
  entry.make = [base, extensions](const Config& config, const MethodContext& context) {
    return make_extended(base, extensions, settings_of(config), context);
  };
  return entry;
}

}  // namespace viewfold
