// Names the instruction set, by the choice that every kernel makes.
#include "viewfold/image/kernels/instruction_set.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/image/kernels/instruction_set.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

const char* own_name() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold {
namespace {

HWY_EXPORT(own_name);

}  // namespace

std::string_view instruction_set() {
  return HWY_DYNAMIC_DISPATCH(own_name)();
}

}  // namespace viewfold
#endif  // HWY_ONCE
