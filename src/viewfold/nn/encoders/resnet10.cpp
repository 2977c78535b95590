// ResNet-18 with one block in each stage instead of two.
#include "viewfold/nn/resnet.hpp"

namespace viewfold::encoders {

EncoderEntry resnet10_entry() {
  return {"resnet10", "ResNet-10: 4.9 M parameters, 512 features at width 64",
          [](const EncoderSpec& spec) -> std::shared_ptr<Encoder> {
            const ResNetDepth depth{.block = ResidualBlock::kBasic, .blocks = {1, 1, 1, 1}};
            return std::make_shared<ResNet>(depth, spec);
          }};
}

}  // namespace viewfold::encoders
