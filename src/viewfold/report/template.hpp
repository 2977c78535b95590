// Fills the report's page: the few constructs of Mustache that it needs.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace viewfold::report {

/// `text` with its tags replaced by what `context`, an object, holds under their names:
///   {{name}}               the string or number, escaped for HTML
///   {{&name}}              the same, as it is
///   {{#name}} ... {{/name}}  once for each element of an array, once for any other value except
///                          null, false and "", which leave it out; names inside are looked up in
///                          the element first, {{.}} is the element itself
///   {{^name}} ... {{/name}}  when {{#name}} would leave it out
/// A name that is nowhere counts as null in a section. Throws ContractViolation, naming the tag,
/// when a value is missing or a section is not closed.
[[nodiscard]] std::string render_template(std::string_view text, const nlohmann::json& context);

}  // namespace viewfold::report
