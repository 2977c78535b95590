// A method with extensions.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "viewfold/methods/extension.hpp"
#include "viewfold/methods/method.hpp"

namespace viewfold {

/// `base`, a row of method_table(), with extensions, one or more, in their order.
/// name  base and extensions joined by "+"
/// Throws UsageError when an extension needs targets and the method has none, and when one is named
/// twice.
[[nodiscard]] MethodEntry extended_entry(const MethodEntry& base,
                                         const std::vector<const ExtensionEntry*>& extensions);

}  // namespace viewfold
