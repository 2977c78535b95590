// Tests of encoders whose features stand side by side.
#include "viewfold/nn/concatenated_encoder.hpp"

#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::small_spec;
using testing::used_encoder;

EncoderSpec spec_of(const std::vector<EncoderSpec>& parts) {
  EncoderSpec spec = small_spec();
  spec.name = kConcatenation;
  spec.parts = parts;
  return spec;
}

EncoderSpec other_spec() {
  EncoderSpec spec = small_spec();
  spec.name = "resnet10";
  spec.width = 2;
  return spec;
}

at::Tensor images() {
  torch::manual_seed(5);
  return torch::randn({4, 3, 8, 8});
}

TEST(ConcatenatedEncoder, GivesTheFeaturesOfItsPartsInTheirOrder) {
  const torch::NoGradGuard no_grad;
  const auto first = used_encoder(small_spec());
  const auto second = used_encoder(other_spec());
  const auto fused = make_encoder(spec_of({small_spec(), other_spec()}));
  EXPECT_EQ(fused->feature_dim(), first->feature_dim() + second->feature_dim());
  auto& parts = dynamic_cast<ConcatenatedEncoder&>(*fused);
  parts.set_part(0, *first, at::ones({3}), at::zeros({3}));
  parts.set_part(1, *second, at::ones({3}), at::zeros({3}));
  fused->eval();
  const auto x = images();
  EXPECT_TRUE(fused->forward(x).equal(at::cat({first->forward(x), second->forward(x)}, 1)));
}

TEST(ConcatenatedEncoder, ShowsEachPartWhatItWasTrainedOn) {
  const torch::NoGradGuard no_grad;
  const auto part = used_encoder(small_spec());
  const auto scale = at::tensor({2.0F, 0.5F, 1.0F});
  const auto shift = at::tensor({0.25F, -1.0F, 0.0F});
  ConcatenatedEncoder fused(spec_of({small_spec()}));
  fused.set_part(0, *part, scale, shift);
  fused.eval();
  const auto x = images();
  const auto seen = x * scale.reshape({1, 3, 1, 1}) + shift.reshape({1, 3, 1, 1});
  EXPECT_TRUE(fused.forward(x).equal(part->forward(seen)));
}

TEST(ConcatenatedEncoder, RefusesWhatDoesNotFit) {
  EncoderSpec larger = small_spec();
  larger.input_size = 16;
  EXPECT_THROW(ConcatenatedEncoder{spec_of({small_spec(), larger})}, ContractViolation);
  EXPECT_THROW(ConcatenatedEncoder{spec_of({small_spec(1)})}, ContractViolation);
  EXPECT_THROW(ConcatenatedEncoder{spec_of({})}, ContractViolation);
  ConcatenatedEncoder fused(spec_of({small_spec()}));
  const auto part = used_encoder(small_spec());
  EXPECT_THROW(fused.set_part(1, *part, at::ones({3}), at::zeros({3})), ContractViolation);
  EXPECT_THROW(fused.set_part(0, *part, at::ones({2}), at::zeros({3})), ContractViolation);
  EXPECT_THROW(fused.set_part(0, *used_encoder(other_spec()), at::ones({3}), at::zeros({3})),
               ContractViolation);
}

}  // namespace
}  // namespace viewfold
