// Implements the writing of values as TOML.
#include "viewfold/core/toml_text.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace viewfold {

std::string to_toml(bool value) {
  return value ? "true" : "false";
}

std::string to_toml(std::int64_t value) {
  return fmt::format("{}", value);
}

std::string to_toml(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  // A bare "5" would come back as an integer.
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) {
    text += ".0";
  }
  return text;
}

std::string to_toml(const std::string& value) {
  std::string text = "\"";
  for (const char c : value) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\t') {
      text += "\\t";
    } else if (code < 0x20 || code == 0x7F) {
      text += fmt::format("\\u{:04X}", code);
    } else {
      text += c;
    }
  }
  return text + '"';
}

std::string to_toml(const std::vector<std::int64_t>& value) {
  return fmt::format("[{}]", fmt::join(value, ", "));
}

}  // namespace viewfold
