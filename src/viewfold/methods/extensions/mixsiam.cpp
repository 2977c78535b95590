// MixSiam (Guo et al., arXiv:2111.02679): a mixture of both views predicts what stands out in
// either, the larger of their projections element by element. The paper's body is not public: the
// law of the mixture and the weight are settings.
#include <algorithm>

#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/methods/extension.hpp"
#include "viewfold/nn/losses/common.hpp"
#include "viewfold/nn/mixing.hpp"

namespace viewfold::extensions {
namespace {

struct MixSiamConfig final : Config {
  explicit MixSiamConfig(ImageScale /*scale*/) {}

  double weight = 1.0;           // ours: the paper says that the losses are combined
  double beta = 1.0;             // ours, as in mixup
  std::string target = "max";    // abstract
  bool normalize_first = false;  // ours
  double box_share = 0.0;        // ours

  void visit(FieldVisitor& v) override {
    v.field("weight", weight,
            {.doc = "of the mixture's loss beside the method's own", .min = 0, .max = 100});
    v.field("beta", beta,
            {.doc = "the share of view 0 in the mixture is drawn from Beta(beta, beta), for each "
                    "batch",
             .min = 1e-3,
             .max = 1e3});
    v.field("target", target,
            {.doc = "what the mixture predicts: the larger of the views' targets element by "
                    "element, their mean, or that of view 0",
             .choices = {"max", "mean", "first"}});
    v.field("normalize_first", normalize_first,
            {.doc = "bring the views' targets to unit length before they are compared"});
    v.field("box_share", box_share,
            {.doc = "how often a box of view 1 is pasted into view 0 instead of blending both",
             .min = 0,
             .max = 1});
  }
};

class MixSiam final : public Extension {
 public:
  MixSiam(const MixSiamConfig& config, const ExtensionContext& context)
      : config_(config),
        method_(context.method) {}

  void extend(MethodStep& step, const ViewBatch& batch, const StepContext& context) override {
    const auto& targets = step.targets;
    if (targets.size() != 2 || !targets[0].defined() || !targets[1].defined()) {
      throw UsageError(
          "mixsiam needs a target of both views (take simsiam or byol, or a symmetric MoCo: "
          "--method.symmetric true)");
    }
    if (config_.weight == 0.0) {
      return;  // no batch norm sees a mixture either
    }
    const auto outputs = method_.outputs(mixed(batch).images);  // [N, d]
    // Twice one direction: a method's own loss has two.
    const auto added =
        method_.pair_loss(outputs, target_of(targets[0].detach(), targets[1].detach()), context)
            .mul(2.0 * config_.weight);
    step.output.scalars.emplace_back("mixsiam_loss", added.item<double>());
    step.output.loss = step.output.loss.add(added);
  }

  [[nodiscard]] std::optional<double> at_standstill(double own, double so_far) const override {
    return so_far + config_.weight * own;
  }

 private:
  [[nodiscard]] Mixture mixed(const ViewBatch& batch) const {
    const bool box = at::rand({1}, at::kDouble).item<double>() < config_.box_share;
    const double share = draw_share(config_.beta);
    return box ? paste_box(batch.view(0), batch.view(1), share)
               : blend(batch.view(0), batch.view(1), share);
  }

  [[nodiscard]] at::Tensor target_of(at::Tensor z0, at::Tensor z1) const {
    if (config_.normalize_first) {
      z0 = unit_rows(z0);
      z1 = unit_rows(z1);
    }
    if (config_.target == "max") {
      return at::maximum(z0, z1);
    }
    return config_.target == "mean" ? z0.add(z1).mul(0.5) : z0;
  }

  MixSiamConfig config_;
  Method& method_;
};

}  // namespace

ExtensionEntry mixsiam_entry() {
  return extension_entry<MixSiam, MixSiamConfig>(
      {.name = "mixsiam",
       .paper = "arXiv:2111.02679",
       .summary = "a mixture of both views predicts the larger of their features",
       .needs_targets = true,
       .needs_embeddings = true});
}

}  // namespace viewfold::extensions
