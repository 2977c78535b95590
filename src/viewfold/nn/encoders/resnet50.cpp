// ResNet-50 (arXiv:1512.03385, Table 1).
#include "viewfold/nn/resnet.hpp"

namespace viewfold::encoders {

EncoderEntry resnet50_entry() {
  return {"resnet50", "ResNet-50: 23.5 M parameters, 2048 features at width 64",
          [](const EncoderSpec& spec) -> std::shared_ptr<Encoder> {
            const ResNetDepth depth{.block = ResidualBlock::kBottleneck, .blocks = {3, 4, 6, 3}};
            return std::make_shared<ResNet>(depth, spec);
          }};
}

}  // namespace viewfold::encoders
