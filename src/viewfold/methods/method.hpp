// The interface of a self-supervised objective: a task that trains an encoder from views.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/config.hpp"
#include "viewfold/nn/encoder.hpp"
#include "viewfold/train/task.hpp"
#include "viewfold/train/train_config.hpp"

namespace viewfold {

/// A step of a method, with the parts that its loss is made of: extensions add to it
/// (methods/extension.hpp).
struct MethodStep {
  StepOutput output;

  /// Of view 0 and of view 1: what the encoder makes of them, [N, D] before any head, with the
  /// gradients that the method lets through (none where another network encoded the view).
  std::vector<at::Tensor> features = {};

  /// Of a method with targets, else empty. Of view 0 and of view 1: what is compared with a target,
  /// [N, d] with gradients. Undefined for a view that is only a target.
  std::vector<at::Tensor> outputs = {};

  /// Of a method with targets, else empty. Of view 0 and of view 1: what the outputs of the other
  /// view are compared with, [N, ...]. Undefined for a view that is no target.
  std::vector<at::Tensor> targets = {};
};

/// A task that leaves an encoder behind.
class Method : public Task {
 public:
  /// The network that is kept after training (the online one where there are two).
  [[nodiscard]] virtual Encoder& encoder() = 0;

  /// Task::training_step(), with its parts.
  virtual MethodStep step(const ViewBatch& batch, const StepContext& context) = 0;

  StepOutput training_step(const ViewBatch& batch, const StepContext& context) final {
    return step(batch, context).output;
  }

  /// What the online network makes of further images, to be compared with a target.
  /// images   [N, C, S, S], a batch of its own for batch norm
  /// returns  [N, d] with gradients. Throws ContractViolation where MethodEntry::has_targets is
  ///          false.
  [[nodiscard]] virtual at::Tensor outputs(const at::Tensor& images);

  /// d of outputs(); 0 where MethodEntry::has_targets is false.
  [[nodiscard]] virtual std::int64_t output_dim() const { return 0; }

  /// The part that one direction has in the loss: with two views, what step() loses is the sum of
  /// this over the views that are targets, with the outputs of the other view (multi-crop methods
  /// take means over more pairs). Belongs to the last step().
  /// outputs  [N, d]
  /// target   [N, ...], as in MethodStep::targets
  /// returns  [] float32. Throws ContractViolation where MethodEntry::has_targets is false.
  [[nodiscard]] virtual at::Tensor pair_loss(const at::Tensor& outputs,
                                             const at::Tensor& target,
                                             const StepContext& context);
};

/// What a method is built from besides its own settings.
struct MethodContext {
  EncoderSpec encoder;
  std::uint64_t seed = 0;    // of the run
  std::int64_t samples = 0;  // images of the training set: ViewBatch::indices are below it
  const RecipeConfig* recipe = nullptr;  // of the views; alive during the call

  /// The class of every image of the training set: [samples] int64 in [0, classes). Undefined
  /// unless MethodEntry::needs_labels.
  at::Tensor labels = {};
  std::int64_t classes = 0;
};

/// The classes of the samples of a batch.
/// labels   MethodContext::labels
/// returns  [N] int64
[[nodiscard]] at::Tensor labels_of(const at::Tensor& labels, const ViewBatch& batch);

/// One row of the table of methods. `src/viewfold/methods/<stem>.cpp` defines `<stem>_entry()`.
struct MethodEntry {
  std::string name;                       // the file stem, with extensions "stem+extension"
  std::string_view paper;                 // "arXiv:2002.05709"
  std::string_view summary;               // one line for `viewfold list methods`
  std::string_view recipe;                // of views, unless the user names another
  std::int64_t views = 2;                 // per sample; 0: as many as the recipe makes
  std::string_view encoder = "resnet18";  // unless the user names another

  /// Whether it is solved from sums over the images, in one process and without gradients; most
  /// methods follow the gradient of their loss.
  bool closed_form = false;

  /// Whether its loss compares outputs of one view with a target of the other
  /// (Method::pair_loss).
  bool has_targets = false;

  /// Whether a target is a feature of the same image, as outputs are: not an assignment to
  /// prototypes, and not a feature of another image.
  bool targets_are_embeddings = true;

  /// The method's own settings at the paper's values for this scale.
  std::function<std::unique_ptr<Config>(ImageScale scale)> config = {};

  /// Whether it learns from the labels of the training images, as baselines of audits do. No other
  /// method is given any.
  bool needs_labels = false;

  /// Sets what the paper says of the optimiser at this scale.
  void (*train_defaults)(ImageScale scale, TrainConfig& config) = nullptr;

  /// Throws UsageError when the settings do not go with batches of `batch_size` images. Empty where
  /// all do.
  std::function<void(const Config& config, std::int64_t batch_size)> check_batch = {};

  /// Builds the method with a new encoder; draws initial weights from the default generator.
  std::function<std::unique_ptr<Method>(const Config& config, const MethodContext& context)> make =
      {};
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

/// The row called `name`; "name+extension+extension" is that method with extensions
/// (methods/extension.hpp), whose settings are below their names. Throws UsageError with the
/// nearest known name, and when an extension does not go with the method.
[[nodiscard]] MethodEntry find_method(std::string_view name);

}  // namespace viewfold
