// A dictionary of patches and an embedding of it: the encoder of the sparse manifold transform.
#include "viewfold/nn/patch_encoder.hpp"

namespace viewfold::encoders {

EncoderEntry patches_entry() {
  return {"patches", "dictionary of patches, no depth: 8192 elements and 1024 features at width 64",
          [](const EncoderSpec& spec) -> std::shared_ptr<Encoder> {
            return std::make_shared<PatchEncoder>(spec);
          }};
}

}  // namespace viewfold::encoders
