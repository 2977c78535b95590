// MoCo (He et al., arXiv:1911.05722): as MoCo v2 with one linear layer as head, a lower temperature
// and views without blur.
#include "viewfold/methods/detail/moco.hpp"

namespace viewfold::methods {
namespace {

struct MocoV1Config final : MocoConfig {
  // Large: the paper's. Small: the authors' CIFAR-10 demo (branch colab-notebook of
  // facebookresearch/moco), which has this head, in its asymmetric form.
  explicit MocoV1Config(ImageScale scale) {
    const bool small = scale == ImageScale::kSmall;
    temperature = small ? 0.1 : 0.07;
    momentum = small ? 0.99 : 0.999;
    queue_size = small ? 4096 : 65536;
    has_mlp_head = false;
  }
};

}  // namespace

MethodEntry moco_v1_entry() {
  MethodEntry entry{.name = "moco_v1",
                    .paper = "arXiv:1911.05722",
                    .summary = "MoCo v2 with a linear head and the views of its first version",
                    .recipe = "moco_v1",
                    .views = 2,
                    .has_targets = true,
                    .train_defaults = set_moco_training,
                    .check_batch = check_moco_batch};
  set_moco<MocoV1Config>(entry);
  return entry;
}

}  // namespace viewfold::methods
