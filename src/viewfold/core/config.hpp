// Typed configuration: each struct describes its fields once; files, command line, help and the
// resolved output all come from that description.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace viewfold {

/// Whether a resumed run may use another value than the interrupted one.
enum class Resume { kMustMatch, kMayChange };

/// What a field means and which values it takes.
struct FieldSpec {
  std::string_view doc = {};
  double min = -std::numeric_limits<double>::infinity();  // inclusive; numbers, and list elements
  double max = std::numeric_limits<double>::infinity();   // inclusive
  std::vector<std::string> choices = {};  // strings: the only values, when not empty
  Resume resume = Resume::kMustMatch;
};

/// Sees each field of a config struct once: to read, print, check or document it.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void field(std::string_view name, bool& value, const FieldSpec& spec) = 0;
  virtual void field(std::string_view name, std::int64_t& value, const FieldSpec& spec) = 0;
  virtual void field(std::string_view name, double& value, const FieldSpec& spec) = 0;
  virtual void field(std::string_view name, std::string& value, const FieldSpec& spec) = 0;
  virtual void field(std::string_view name,
                     std::vector<std::int64_t>& value,
                     const FieldSpec& spec) = 0;

  /// Fields visited between enter("a") and leave() are called "a.<name>".
  virtual void enter(std::string_view group) = 0;
  virtual void leave() = 0;
};

/// A config struct whose fields are known by visiting it.
class Config {
 public:
  Config() = default;
  Config(const Config&) = default;
  Config(Config&&) = default;
  Config& operator=(const Config&) = default;
  Config& operator=(Config&&) = default;
  virtual ~Config() = default;
  virtual void visit(FieldVisitor& v) = 0;
};

/// Visits `config` under the name `group`; an empty group adds no prefix.
void visit_group(FieldVisitor& v, std::string_view group, Config& config);

/// One value as the user wrote it, with the place to name in an error ("a.toml:14", "--epochs").
struct RawValue {
  using List = std::vector<std::int64_t>;
  std::variant<bool, std::int64_t, double, std::string, List> value;
  std::string origin;
  bool from_text = false;  // came from the command line: a string that may mean any type
};

/// All values the user gave, by dotted key; later sources win.
class ConfigSource {
 public:
  /// Adds every value of a TOML file. Throws UsageError with file:line on syntax errors, and on
  /// values that no field can hold (dates, tables in arrays).
  void add_toml_file(const std::string& path);

  /// The same from text; `origin` stands for the file name in errors.
  void add_toml_text(std::string_view text, const std::string& origin);

  /// Adds one command-line setting; its type is decided by the field that reads it.
  void set(const std::string& key, const std::string& text, const std::string& origin);

  /// Adds one value as another source has it.
  void set_raw(const std::string& key, const RawValue& value) { values_[key] = value; }

  [[nodiscard]] const std::map<std::string, RawValue>& values() const { return values_; }

  /// A copy with just the keys that start with `prefix`.
  [[nodiscard]] ConfigSource only(const std::string& prefix) const;

  /// The string at `key`, or `fallback`. Throws UsageError when it is there and not a string.
  [[nodiscard]] std::string string_or(const std::string& key, const std::string& fallback) const;

 private:
  std::map<std::string, RawValue> values_;
};

/// Fills `config` from `source`. Throws UsageError: on a wrong type or a value outside its range or
/// choices (naming key, place and what was expected), and on every key that no field reads (naming
/// the nearest known one).
void read_config(Config& config, const ConfigSource& source);

/// One field as a row of help or documentation.
struct FieldDescription {
  std::string key;            // dotted
  std::string type;           // "bool", "integer", "number", "text", "integers"
  std::string default_value;  // as TOML
  std::string doc;
  std::string range;  // "", ">= 1", "0 .. 1", "a | b"
  Resume resume = Resume::kMustMatch;
};

/// The fields of `config` in order of declaration, with their current values as defaults.
[[nodiscard]] std::vector<FieldDescription> describe_config(Config& config);

/// `config` as TOML, every field with its current value; read_config() of it gives the same config.
[[nodiscard]] std::string print_config(Config& config);

/// The keys of must-match fields in which two configs differ, as "key: old -> new".
[[nodiscard]] std::vector<std::string> must_match_differences(Config& before, Config& after);

/// The candidate nearest to `word` by edit distance, or "" when none is near enough to help.
[[nodiscard]] std::string nearest_name(std::string_view word,
                                       const std::vector<std::string>& candidates);

}  // namespace viewfold
