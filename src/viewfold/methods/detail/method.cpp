// Implements the look-up of methods by name, and what methods without targets say.
#include "viewfold/methods/method.hpp"

#include <ATen/ATen.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/named_table.hpp"
#include "viewfold/methods/detail/extended_method.hpp"

namespace viewfold {

at::Tensor Method::outputs(const at::Tensor& /*images*/) {
  throw ContractViolation("this method compares no outputs with targets");
}

at::Tensor Method::pair_loss(const at::Tensor& /*outputs*/,
                             const at::Tensor& /*target*/,
                             const StepContext& /*context*/) {
  throw ContractViolation("this method compares no outputs with targets");
}

at::Tensor labels_of(const at::Tensor& labels, const ViewBatch& batch) {
  check(labels.defined(), "a method that needs labels is given them");
  const std::vector<std::int64_t> rows(batch.indices.begin(), batch.indices.end());
  return labels.index_select(0, at::tensor(rows, at::kLong));
}

MethodEntry find_method(std::string_view name) {
  constexpr char kJoin = '+';
  const auto end = name.find(kJoin);
  const auto& base = find_row(method_table(), name.substr(0, end), "method");
  if (end == std::string_view::npos) {
    return base;
  }
  std::vector<const ExtensionEntry*> extensions;
  for (std::string_view rest = name.substr(end); !rest.empty();) {
    rest.remove_prefix(1);
    const auto length = std::min(rest.find(kJoin), rest.size());
    extensions.push_back(&find_row(extension_table(), rest.substr(0, length), "extension"));
    rest.remove_prefix(length);
  }
  return extended_entry(base, extensions);
}

}  // namespace viewfold
