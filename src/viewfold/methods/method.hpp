// The interface of a self-supervised objective: a task that trains an encoder from views.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/config.hpp"
#include "viewfold/nn/encoder.hpp"
#include "viewfold/train/task.hpp"
#include "viewfold/train/train_config.hpp"

namespace viewfold {

/// A task that leaves an encoder behind.
class Method : public Task {
 public:
  /// The network that is kept after training (the online one where there are two).
  [[nodiscard]] virtual Encoder& encoder() = 0;
};

/// What a method is built from besides its own settings.
struct MethodContext {
  EncoderSpec encoder;
  std::uint64_t seed = 0;  // of the run
};

/// One row of the table of methods. `src/viewfold/methods/<stem>.cpp` defines `<stem>_entry()`.
struct MethodEntry {
  std::string_view name;                  // the file stem
  std::string_view paper;                 // "arXiv:2002.05709"
  std::string_view summary;               // one line for `viewfold list methods`
  std::string_view recipe;                // of views, unless the user names another
  std::int64_t views = 2;                 // per sample
  std::string_view encoder = "resnet18";  // unless the user names another

  /// Whether it is solved from sums over the images, in one process and without gradients; most
  /// methods follow the gradient of their loss.
  bool closed_form = false;

  /// The method's own settings at the paper's values for this scale.
  std::unique_ptr<Config> (*config)(ImageScale scale) = nullptr;

  /// Sets what the paper says of the optimiser at this scale.
  void (*train_defaults)(ImageScale scale, TrainConfig& config);

  /// Throws UsageError when the settings do not go with batches of `batch_size` images. Null where
  /// all do.
  void (*check_batch)(const Config& config, std::int64_t batch_size) = nullptr;

  /// Builds the method with a new encoder; draws initial weights from the default generator.
  std::unique_ptr<Method> (*make)(const Config& config, const MethodContext& context) = nullptr;
};

/// Builds the row of method M, which has a constructor from (const C&, const MethodContext&); C has
/// a constructor from ImageScale.
template <class M, class C>
MethodEntry method_entry(MethodEntry row) {
  row.config = [](ImageScale scale) { return std::unique_ptr<Config>(std::make_unique<C>(scale)); };
  row.make = [](const Config& config, const MethodContext& context) {
    return std::unique_ptr<Method>(std::make_unique<M>(dynamic_cast<const C&>(config), context));
  };
  return row;
}

/// All methods, by name. Generated from the file names in `src/viewfold/methods/`.
[[nodiscard]] std::span<const MethodEntry> method_table();

/// The row called `name`. Throws UsageError with the nearest known name.
[[nodiscard]] const MethodEntry& find_method(std::string_view name);

}  // namespace viewfold
