// The interface of an objective that is added to a method: "simclr+un_mix".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/config.hpp"
#include "viewfold/methods/method.hpp"

namespace viewfold {

/// Adds a loss to every step of a method.
class Extension {
 public:
  Extension() = default;
  virtual ~Extension() = default;
  Extension(const Extension&) = delete;
  Extension& operator=(const Extension&) = delete;
  Extension(Extension&&) = delete;
  Extension& operator=(Extension&&) = delete;

  /// Changes step.output.loss into the loss of both, and may add scalars. What it looks at beyond
  /// the samples of this process it asks context.communicator for, as Task::training_step().
  virtual void extend(MethodStep& step, const ViewBatch& batch, const StepContext& context) = 0;

  /// Called after that of the method.
  virtual void after_optimizer_step(const StepContext& /*context*/) {}

  /// Its networks and whatever else a checkpoint must hold; null where there is nothing.
  [[nodiscard]] virtual std::shared_ptr<torch::nn::Module> module() { return nullptr; }

  /// What the loss becomes with this added when that of the method alone stands at `own`, one of
  /// its known constants, and that with the extensions before this one at `so_far`; nothing where
  /// that is not known.
  [[nodiscard]] virtual std::optional<double> at_standstill(double /*own*/,
                                                            double /*so_far*/) const {
    return std::nullopt;
  }
};

/// What an extension is built from besides its own settings.
struct ExtensionContext {
  Method& method;                        // that it is added to; lives as long
  std::int64_t output_dim = 0;           // Method::output_dim()
  std::int64_t samples = 0;              // MethodContext::samples
  std::uint64_t seed = 0;                // of the run
  const RecipeConfig* recipe = nullptr;  // MethodContext::recipe
};

/// One row of the table of extensions. `src/viewfold/methods/extensions/<stem>.cpp` defines
/// `<stem>_entry()`.
struct ExtensionEntry {
  std::string_view name;          // the file stem
  std::string_view paper;         // "arXiv:2003.05438"
  std::string_view summary;       // one line for `viewfold list extensions`
  bool needs_targets = false;     // whether it goes with methods that have targets only
  bool needs_embeddings = false;  // ... and with those only whose targets are embeddings

  /// Its own settings at the paper's values for this scale.
  std::unique_ptr<Config> (*config)(ImageScale scale) = nullptr;

  /// Builds it; draws initial weights from the default generator.
  std::unique_ptr<Extension> (*make)(const Config& config,
                                     const ExtensionContext& context) = nullptr;
};

/// Builds the row of extension E, which has a constructor from (const C&, const ExtensionContext&);
/// C has a constructor from ImageScale.
template <class E, class C>
ExtensionEntry extension_entry(ExtensionEntry row) {
  row.config = [](ImageScale scale) { return std::unique_ptr<Config>(std::make_unique<C>(scale)); };
  row.make = [](const Config& config, const ExtensionContext& context) {
    return std::unique_ptr<Extension>(std::make_unique<E>(dynamic_cast<const C&>(config), context));
  };
  return row;
}

/// All extensions, by name. Generated from the file names in `src/viewfold/methods/extensions/`.
[[nodiscard]] std::span<const ExtensionEntry> extension_table();

}  // namespace viewfold
