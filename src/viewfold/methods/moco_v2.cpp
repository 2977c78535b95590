// MoCo v2 (Chen et al., arXiv:2003.04297): MoCo with the head, the views and the temperature of
// SimCLR's findings.
#include "viewfold/methods/detail/moco.hpp"

namespace viewfold::methods {
namespace {

struct MocoV2Config final : MocoConfig {
  // Large: the paper's. Small: the authors' CIFAR-10 demo (branch colab-notebook of
  // facebookresearch/moco).
  explicit MocoV2Config(ImageScale scale) {
    const bool small = scale == ImageScale::kSmall;
    temperature = small ? 0.1 : 0.2;
    momentum = small ? 0.99 : 0.999;
    queue_size = small ? 4096 : 65536;
    symmetric = small;
  }
};

}  // namespace

MethodEntry moco_v2_entry() {
  MethodEntry entry{
      .name = "moco_v2",
      .paper = "arXiv:2003.04297",
      .summary = "finds the key of the other view among a queue of keys from a momentum encoder",
      .recipe = "moco_v2",
      .views = 2,
      .has_targets = true,
      .train_defaults = set_moco_training,
      .check_batch = check_moco_batch};
  set_moco<MocoV2Config>(entry);
  return entry;
}

}  // namespace viewfold::methods
