// Which viewfold this is.
#pragma once

#include <string_view>

namespace viewfold {

/// "major.minor.patch", as in the build's project version.
[[nodiscard]] std::string_view version();

}  // namespace viewfold
