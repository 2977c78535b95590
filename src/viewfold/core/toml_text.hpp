// Values of settings as they stand in a TOML file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace viewfold {

/// Text that reads back as the same value: numbers with all their digits, texts in quotes.
[[nodiscard]] std::string to_toml(bool value);
[[nodiscard]] std::string to_toml(std::int64_t value);
[[nodiscard]] std::string to_toml(double value);
[[nodiscard]] std::string to_toml(const std::string& value);
[[nodiscard]] std::string to_toml(const std::vector<std::int64_t>& value);
std::string to_toml(const char* value) = delete;  // would be taken for a bool

}  // namespace viewfold
