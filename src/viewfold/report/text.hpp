// Text as the page needs it: well-formed, escaped for its place, numbers as people read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace viewfold::report {

/// `text` with each byte that is no part of well-formed UTF-8 replaced by U+FFFD.
[[nodiscard]] std::string valid_utf8(std::string_view text);

/// Valid UTF-8 for element content and quoted attributes; control characters that HTML forbids
/// become U+FFFD.
[[nodiscard]] std::string escape_html(std::string_view text);

/// `value` as JSON that can stand within <script>: no '<', '>' or '&' survives unescaped.
[[nodiscard]] std::string script_json(const nlohmann::json& value);

/// The last part of a path, "b" of "/a/b/"; a name without folders is left as it is.
[[nodiscard]] std::string last_part(const std::string& path);

/// RFC 4648, with padding.
[[nodiscard]] std::string base64(std::span<const std::byte> bytes);

/// 0.8451 as "84.5%".
[[nodiscard]] std::string percent(double fraction);

/// 60000 as "60,000".
[[nodiscard]] std::string grouped(std::int64_t count);

/// Integers up to a million grouped, everything else with four significant digits.
[[nodiscard]] std::string readable(double number);

}  // namespace viewfold::report
