// Un-Mix (Shen et al., arXiv:2003.05438): a mixture of two images agrees with the targets of both,
// with each as far as it is seen. With SwAV the authors let clean views predict the code of the
// mixture as well; here no target is made of a mixture.
#include <cmath>

#include <torch/torch.h>

#include "viewfold/methods/extension.hpp"
#include "viewfold/nn/mixing.hpp"

namespace viewfold::extensions {
namespace {

struct UnMixConfig final : Config {
  explicit UnMixConfig(ImageScale /*scale*/) {}

  double beta = 1.0;          // the authors' code, for all data sets
  double global_share = 0.5;  // the authors' CIFAR script and their ImageNet run.sh

  void visit(FieldVisitor& v) override {
    v.field("beta", beta,
            {.doc = "lambda, the share of the first image, is drawn from Beta(beta, beta)",
             .min = 1e-3,
             .max = 1e3});
    v.field("global_share", global_share,
            {.doc = "how often whole images are blended; else a box is cut from the other image",
             .min = 0,
             .max = 1});
  }
};

class UnMix final : public Extension {
 public:
  UnMix(const UnMixConfig& config, const ExtensionContext& context)
      : config_(config),
        method_(context.method) {}

  void extend(MethodStep& step, const ViewBatch& batch, const StepContext& context) override {
    const auto& processes = context.communicator;
    // The authors mix view 0 with itself in reverse, also where both views are targets.
    const Mixture mixture = mixed(batch.view(0), processes);
    const auto outputs = method_.outputs(mixture.images);  // [N, d]
    const auto reversed = reversed_rows(outputs, processes);
    at::Tensor added;
    for (const auto& target : step.targets) {
      if (target.defined()) {
        const auto loss =
            method_.pair_loss(outputs, target, context)
                .mul(mixture.share)
                .add(method_.pair_loss(reversed, target, context).mul(1.0 - mixture.share));
        added = added.defined() ? added.add(loss) : loss;
      }
    }
    step.output.scalars.emplace_back("un_mix_loss", added.item<double>());
    step.output.loss = step.output.loss.add(added);
  }

  // The weights of a mixture's two terms are 1 together.
  [[nodiscard]] std::optional<double> at_standstill(double own, double so_far) const override {
    return so_far + own;
  }

 private:
  // One draw for the whole batch, as the authors' code.
  [[nodiscard]] Mixture mixed(const at::Tensor& images, const Communicator& processes) const {
    const auto partners = reversed_images(images, processes);
    const bool global = at::rand({1}, at::kDouble).item<double>() < config_.global_share;
    const double share = draw_share(config_.beta);
    return global ? blend(images, partners, share) : paste_box(images, partners, share);
  }

  UnMixConfig config_;
  Method& method_;
};

}  // namespace

ExtensionEntry un_mix_entry() {
  return extension_entry<UnMix, UnMixConfig>(
      {.name = "un_mix",
       .paper = "arXiv:2003.05438",
       .summary = "a mixture of two images agrees with both, with each as far as it is seen",
       .needs_targets = true});
}

}  // namespace viewfold::extensions
