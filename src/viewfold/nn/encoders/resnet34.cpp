// ResNet-34 (arXiv:1512.03385, Table 1).
#include "viewfold/nn/resnet.hpp"

namespace viewfold::encoders {

EncoderEntry resnet34_entry() {
  return {"resnet34", "ResNet-34: 21.3 M parameters, 512 features at width 64",
          [](const EncoderSpec& spec) -> std::shared_ptr<Encoder> {
            const ResNetDepth depth{.block = ResidualBlock::kBasic, .blocks = {3, 4, 6, 3}};
            return std::make_shared<ResNet>(depth, spec);
          }};
}

}  // namespace viewfold::encoders
