// The command line as positional words and settings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "viewfold/core/config.hpp"

namespace viewfold {

/// Splits "--key value", "--key=value" and positional words; "--flag" alone is "true" for the keys
/// in `flags`.
class Arguments {
 public:
  /// words: what follows the verb. Throws UsageError on a setting without its value.
  Arguments(std::vector<std::string> words, const std::vector<std::string>& flags);

  /// Removes and returns the setting `key` ("out" for --out).
  /// The last one wins when it was given several times.
  [[nodiscard]] std::optional<std::string> take(const std::string& key);

  /// The same, one at a time and the first one first, for settings that may be repeated.
  [[nodiscard]] std::optional<std::string> take_first(const std::string& key);

  /// The same as a whole number >= 0; `fallback` when it is absent. Throws UsageError.
  [[nodiscard]] std::int64_t take_integer(const std::string& key, std::int64_t fallback);

  [[nodiscard]] bool take_flag(const std::string& key);

  /// Removes and returns the next positional word. Throws UsageError "`verb` needs what".
  [[nodiscard]] std::string take_positional(const std::string& what);
  [[nodiscard]] bool has_positional() const { return !positional_.empty(); }

  /// Moves all remaining settings into `source`, short names replaced by their dotted keys
  /// ("epochs" -> "train.epochs").
  void move_settings(ConfigSource& source);

  /// Throws UsageError when anything is left, naming the nearest of `known`.
  void expect_empty(const std::vector<std::string>& known) const;

 private:
  struct Setting {
    std::string key;
    std::string value;
  };
  std::vector<Setting> settings_;
  std::vector<std::string> positional_;
};

/// The words between the commas of a value: "knn,linear".
[[nodiscard]] std::vector<std::string> split_list(const std::string& value);

/// Short names of settings on the command line, and the keys they stand for.
struct ShortName {
  std::string_view name;
  std::string_view key;
};
[[nodiscard]] std::vector<ShortName> short_names();

}  // namespace viewfold
