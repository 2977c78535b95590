// ResNet-18 (arXiv:1512.03385, Table 1).
#include "viewfold/nn/resnet.hpp"

namespace viewfold::encoders {

EncoderEntry resnet18_entry() {
  return {"resnet18", "ResNet-18: 11.2 M parameters, 512 features at width 64",
          [](const EncoderSpec& spec) -> std::shared_ptr<Encoder> {
            const ResNetDepth depth{.block = ResidualBlock::kBasic, .blocks = {2, 2, 2, 2}};
            return std::make_shared<ResNet>(depth, spec);
          }};
}

}  // namespace viewfold::encoders
