// Carries the version that the build states.
#include "viewfold/core/version.hpp"

namespace viewfold {

std::string_view version() {
  return VIEWFOLD_VERSION;
}

}  // namespace viewfold
