// Implements reading, checking, printing and describing of typed configuration.
#include "viewfold/core/config.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/toml_text.hpp"

namespace viewfold {
namespace {

using IntList = RawValue::List;

// ---- text from the command line ----

// A value for a message, as TOML; of a long one the beginning.
std::string shown(const RawValue& raw) {
  constexpr std::size_t kMost = 100;
  std::string text = std::visit([](const auto& v) { return to_toml(v); }, raw.value);
  if (text.size() > kMost) {
    std::size_t end = kMost;
    while ((static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) {  // inside a code point
      --end;
    }
    text = text.substr(0, end) + " ...";
  }
  return text;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
  text = trim(text);
  if (text.starts_with('+') && !text.starts_with("+-")) {
    text.remove_prefix(1);
  }
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) {
    return std::nullopt;
  }
  return value;
}

std::optional<bool> parse_bool(std::string_view text) {
  text = trim(text);
  if (text == "true" || text == "on" || text == "1") {
    return true;
  }
  if (text == "false" || text == "off" || text == "0") {
    return false;
  }
  return std::nullopt;
}

std::optional<IntList> parse_list(std::string_view text) {
  text = trim(text);
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = trim(text.substr(1, text.size() - 2));
  }
  IntList list;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const auto element = parse_number<std::int64_t>(text.substr(0, comma));
    const bool ends_with_comma = comma + 1 == text.size();
    if (!element || ends_with_comma) {
      return std::nullopt;
    }
    list.push_back(*element);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return list;
}

// ---- one raw value as the type of a field; nothing when it cannot be read so ----

template <class T>
std::optional<T> convert(const RawValue& raw) {
  if (raw.from_text) {
    const auto& text = std::get<std::string>(raw.value);
    if constexpr (std::is_same_v<T, bool>) {
      return parse_bool(text);
    } else if constexpr (std::is_same_v<T, IntList>) {
      return parse_list(text);
    } else if constexpr (std::is_same_v<T, std::string>) {
      return text;
    } else {
      return parse_number<T>(text);
    }
  }
  if constexpr (std::is_same_v<T, double>) {
    if (const auto* whole = std::get_if<std::int64_t>(&raw.value)) {
      return static_cast<double>(*whole);
    }
  }
  if (const auto* value = std::get_if<T>(&raw.value)) {
    return *value;
  }
  return std::nullopt;
}

// ---- what a field takes ----

template <class T>
constexpr std::string_view type_name() {
  if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return "integer";
  } else if constexpr (std::is_same_v<T, double>) {
    return "number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "text";
  } else {
    return "integers";
  }
}

bool in_range(double value, const FieldSpec& spec) {
  return std::isfinite(value) && value >= spec.min && value <= spec.max;
}

template <class T>
bool is_allowed(const T& value, const FieldSpec& spec) {
  if constexpr (std::is_same_v<T, bool>) {
    return true;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return spec.choices.empty() ||
           std::find(spec.choices.begin(), spec.choices.end(), value) != spec.choices.end();
  } else if constexpr (std::is_same_v<T, IntList>) {
    return std::all_of(value.begin(), value.end(),
                       [&](std::int64_t v) { return in_range(static_cast<double>(v), spec); });
  } else {
    return in_range(static_cast<double>(value), spec);
  }
}

std::string range_text(const FieldSpec& spec) {
  if (!spec.choices.empty()) {
    return fmt::format("{}", fmt::join(spec.choices, " | "));
  }
  const bool has_min = std::isfinite(spec.min);
  const bool has_max = std::isfinite(spec.max);
  if (has_min && has_max) {
    return fmt::format("{} .. {}", spec.min, spec.max);
  }
  if (has_min) {
    return fmt::format(">= {}", spec.min);
  }
  return has_max ? fmt::format("<= {}", spec.max) : "";
}

template <class T>
std::string expectation(const FieldSpec& spec) {
  std::string text;
  if constexpr (std::is_same_v<T, bool>) {
    text = "true or false";
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    text = "an integer";
  } else if constexpr (std::is_same_v<T, double>) {
    text = "a number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    text = spec.choices.empty() ? "a text" : "one of";
  } else {
    text = "a list of integers";
  }
  const std::string range = range_text(spec);
  return range.empty() ? text : text + " " + range;
}

std::string hint(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string nearest = nearest_name(word, candidates);
  return nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest);
}

// ---- visitors ----

// Knows the dotted key of the field being visited, and hands every type to one template.
template <class Derived>
class KeyedVisitor : public FieldVisitor {
 public:
  void field(std::string_view name, bool& value, const FieldSpec& spec) override {
    derived().visit_field(key_of(name), value, spec);
  }
  void field(std::string_view name, std::int64_t& value, const FieldSpec& spec) override {
    derived().visit_field(key_of(name), value, spec);
  }
  void field(std::string_view name, double& value, const FieldSpec& spec) override {
    derived().visit_field(key_of(name), value, spec);
  }
  void field(std::string_view name, std::string& value, const FieldSpec& spec) override {
    derived().visit_field(key_of(name), value, spec);
  }
  void field(std::string_view name, IntList& value, const FieldSpec& spec) override {
    derived().visit_field(key_of(name), value, spec);
  }
  void enter(std::string_view group) override {
    lengths_.push_back(prefix_.size());
    prefix_ += std::string(group) + ".";
  }
  void leave() override {
    check(!lengths_.empty(), "leave() without enter()");
    prefix_.resize(lengths_.back());
    lengths_.pop_back();
  }

 private:
  Derived& derived() { return static_cast<Derived&>(*this); }
  std::string key_of(std::string_view name) const { return prefix_ + std::string(name); }

  std::string prefix_;
  std::vector<std::size_t> lengths_;
};

class Reader : public KeyedVisitor<Reader> {
 public:
  explicit Reader(const std::map<std::string, RawValue>& values) : values_(values) {}

  template <class T>
  void visit_field(const std::string& key, T& value, const FieldSpec& spec) {
    keys_.push_back(key);
    const auto found = values_.find(key);
    if (found == values_.end()) {
      return;
    }
    const RawValue& raw = found->second;
    const std::optional<T> read = convert<T>(raw);
    if (read && is_allowed(*read, spec)) {
      value = *read;
      return;
    }
    std::string suggestion;
    if (const auto* text = std::get_if<std::string>(&raw.value)) {
      suggestion = hint(*text, spec.choices);
    }
    problems_.push_back(fmt::format("{}: {}: expected {}, got {}{}", raw.origin, key,
                                    expectation<T>(spec), shown(raw), suggestion));
  }

  // Throws when a value could not be read or belongs to no field; everything in one message, so
  // that a file is corrected in one go.
  void finish() {
    const std::set<std::string> known(keys_.begin(), keys_.end());
    for (const auto& [key, raw] : values_) {
      if (!known.contains(key)) {
        problems_.push_back(
            fmt::format("{}: {}: unknown setting{}", raw.origin, key, hint(key, keys_)));
      }
    }
    if (!problems_.empty()) {
      throw UsageError(fmt::format("{}", fmt::join(problems_, "\n")));
    }
  }

 private:
  const std::map<std::string, RawValue>& values_;
  std::vector<std::string> keys_;
  std::vector<std::string> problems_;
};

class Describer : public KeyedVisitor<Describer> {
 public:
  template <class T>
  void visit_field(const std::string& key, const T& value, const FieldSpec& spec) {
    fields.push_back({.key = key,
                      .type = std::string(type_name<T>()),
                      .default_value = to_toml(value),
                      .doc = std::string(spec.doc),
                      .range = range_text(spec),
                      .resume = spec.resume});
  }

  std::vector<FieldDescription> fields;
};

// ---- TOML files ----

// toml++ bounds the nesting of values but not of dotted keys, and recurses over both; a key cannot
// be longer than its line.
constexpr std::size_t kMaxLineBytes = 4096;
constexpr int kMaxDepth = 16;

void check_line_lengths(std::string_view text, const std::string& origin) {
  for (int line = 1; !text.empty(); ++line) {
    const auto end = std::min(text.find('\n'), text.size());
    if (end > kMaxLineBytes) {
      throw UsageError(
          fmt::format("{}:{}: the line is longer than {} bytes", origin, line, kMaxLineBytes));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

bool is_bare_key(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

// Collects the leaves of a parsed file as dotted keys.
class LeafCollector {
 public:
  explicit LeafCollector(const std::string& origin) : origin_(origin) {}

  void add_table(const toml::table& table, const std::string& prefix, int depth) {
    for (const auto& [name, node] : table) {
      const std::string place = fmt::format("{}:{}", origin_, name.source().begin.line);
      if (!is_bare_key(name.str()) || depth > kMaxDepth) {
        throw UsageError(fmt::format("{}: {} cannot be the name of a setting", place,
                                     to_toml(prefix + std::string(name.str()))));
      }
      const std::string key = prefix + std::string(name.str());
      if (const auto* inner = node.as_table()) {
        add_table(*inner, key + ".", depth + 1);
      } else {
        values.insert_or_assign(key,
                                RawValue{.value = value_of(node, place, key), .origin = place});
      }
    }
  }

  std::map<std::string, RawValue> values;

 private:
  static decltype(RawValue::value) value_of(const toml::node& node,
                                            const std::string& place,
                                            const std::string& key) {
    if (const auto* flag = node.as_boolean()) {
      return flag->get();
    }
    if (const auto* whole = node.as_integer()) {
      return whole->get();
    }
    if (const auto* number = node.as_floating_point()) {
      return number->get();
    }
    if (const auto* text = node.as_string()) {
      return text->get();
    }
    if (const auto* array = node.as_array()) {
      return list_of(*array, place, key);
    }
    throw UsageError(fmt::format("{}: {}: no setting is a date or time", place, key));
  }

  // Texts become the one text that a command line takes for them: "knn,linear".
  static decltype(RawValue::value) list_of(const toml::array& array,
                                           const std::string& place,
                                           const std::string& key) {
    IntList numbers;
    std::vector<std::string> texts;
    for (const auto& element : array) {
      if (const auto* whole = element.as_integer()) {
        numbers.push_back(whole->get());
      } else if (const auto* text = element.as_string()) {
        texts.push_back(text->get());
      }
    }
    const bool has_comma = std::any_of(texts.begin(), texts.end(), [](const std::string& text) {
      return text.find(',') != std::string::npos;
    });
    if (std::max(numbers.size(), texts.size()) != array.size() || has_comma) {
      throw UsageError(fmt::format(
          "{}: {}: a list holds integers only, or texts without commas only", place, key));
    }
    if (!texts.empty()) {
      return fmt::format("{}", fmt::join(texts, ","));
    }
    return numbers;
  }

  const std::string& origin_;
};

// Whether `text` is UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF).
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || i + length > text.size()) {
      return false;
    }
    std::uint32_t code = length == 1 ? lead : lead & (0xFFU >> (length + 1));
    for (std::size_t j = 1; j < length; ++j) {
      const auto next = static_cast<unsigned char>(text[i + j]);
      if ((next & 0xC0U) != 0x80) {
        return false;
      }
      code = (code << 6U) | (next & 0x3FU);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    if (overlong || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      return false;
    }
    i += length;
  }
  return true;
}

// ---- names ----

// A suggestion may have no more letters wrong.
constexpr std::size_t kMostEdits = 3;

// Edits that turn `a` into `b`: insert, delete, replace, swap of neighbours (Damerau 1964, in the
// form that edits no substring twice).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  const std::size_t apart = std::max(a.size(), b.size()) - std::min(a.size(), b.size());
  if (apart > kMostEdits) {
    return apart;  // or more: what follows takes long for a key of a thousand letters
  }
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

std::string_view last_component(std::string_view key) {
  return key.substr(key.rfind('.') + 1);
}

// A third of the letters may be wrong, three at most: beyond that a suggestion misleads.
bool is_near(std::size_t distance, std::string_view word) {
  return distance < word.size() &&
         distance <= std::clamp<std::size_t>(word.size() / 3, 1, kMostEdits);
}

}  // namespace

void visit_group(FieldVisitor& v, std::string_view group, Config& config) {
  if (group.empty()) {
    config.visit(v);
    return;
  }
  v.enter(group);
  config.visit(v);
  v.leave();
}

void ConfigSource::add_toml_file(const std::string& path) {
  std::string text;
  try {
    text = read_text_file(path);
  } catch (const DataError& error) {
    throw UsageError(error.what());
  }
  add_toml_text(text, path);
}

void ConfigSource::add_toml_text(std::string_view text, const std::string& origin) {
  check_line_lengths(text, origin);
  LeafCollector leaves(origin);
  try {
    leaves.add_table(toml::parse(text), "", 0);
  } catch (const toml::parse_error& error) {
    throw UsageError(
        fmt::format("{}:{}: {}", origin, error.source().begin.line, error.description()));
  }
  for (auto& [key, raw] : leaves.values) {
    values_.insert_or_assign(key, std::move(raw));
  }
}

void ConfigSource::set(const std::string& key, const std::string& text, const std::string& origin) {
  if (!is_utf8(text)) {
    throw UsageError(fmt::format("{}: {}: the value is not UTF-8", origin, key));
  }
  values_.insert_or_assign(key, RawValue{.value = text, .origin = origin, .from_text = true});
}

ConfigSource ConfigSource::only(const std::string& prefix) const {
  ConfigSource part;
  for (const auto& [key, value] : values_) {
    if (key.starts_with(prefix)) {
      part.values_.emplace(key, value);
    }
  }
  return part;
}

std::string ConfigSource::string_or(const std::string& key, const std::string& fallback) const {
  const auto found = values_.find(key);
  if (found == values_.end()) {
    return fallback;
  }
  const RawValue& raw = found->second;
  if (const auto* text = std::get_if<std::string>(&raw.value)) {
    return *text;
  }
  throw UsageError(fmt::format("{}: {}: expected a text, got {}", raw.origin, key, shown(raw)));
}

void read_config(Config& config, const ConfigSource& source) {
  Reader reader(source.values());
  config.visit(reader);
  reader.finish();
}

std::vector<FieldDescription> describe_config(Config& config) {
  Describer describer;
  config.visit(describer);
  return std::move(describer.fields);
}

std::string print_config(Config& config) {
  // Fields of one table may be visited in several stretches, and TOML lets a table open only once.
  std::vector<std::pair<std::string, std::string>> tables{{"", ""}};
  for (const auto& field : describe_config(config)) {
    const std::string_view name = last_component(field.key);
    const std::string table = name.size() == field.key.size()
                                  ? ""
                                  : field.key.substr(0, field.key.size() - name.size() - 1);
    auto found = std::find_if(tables.begin(), tables.end(),
                              [&](const auto& entry) { return entry.first == table; });
    if (found == tables.end()) {
      found = tables.insert(tables.end(), {table, fmt::format("\n[{}]\n", table)});
    }
    found->second += fmt::format("{} = {}\n", name, field.default_value);
  }
  std::string text;
  for (const auto& [name, body] : tables) {
    text += body;
  }
  return text.starts_with('\n') ? text.substr(1) : text;
}

std::vector<std::string> must_match_differences(Config& before, Config& after) {
  std::vector<std::string> keys;
  std::map<std::string, std::string> old_values;
  std::map<std::string, std::string> new_values;
  const auto collect = [&](Config& config, std::map<std::string, std::string>& values) {
    for (const auto& field : describe_config(config)) {
      if (field.resume == Resume::kMustMatch) {
        values[field.key] = field.default_value;
        keys.push_back(field.key);
      }
    }
  };
  collect(before, old_values);
  const auto shared = static_cast<std::ptrdiff_t>(keys.size());
  collect(after, new_values);
  keys.erase(std::remove_if(keys.begin() + shared, keys.end(),
                            [&](const auto& key) { return old_values.contains(key); }),
             keys.end());

  const auto value_or_none = [](const auto& values, const std::string& key) {
    const auto found = values.find(key);
    return found == values.end() ? std::string("(none)") : found->second;
  };
  std::vector<std::string> differences;
  for (const auto& key : keys) {
    const std::string from = value_or_none(old_values, key);
    const std::string to = value_or_none(new_values, key);
    if (from != to) {
      differences.push_back(fmt::format("{}: {} -> {}", key, from, to));
    }
  }
  return differences;
}

std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  auto best_rank = std::make_pair(std::size_t{0}, std::size_t{0});
  for (const auto& candidate : candidates) {
    const std::size_t whole = edit_distance(word, candidate);
    // A setting written into the wrong table still has the right last component.
    const std::size_t last = edit_distance(last_component(word), last_component(candidate));
    const bool is_whole_near = is_near(whole, word);
    if (!is_whole_near && !is_near(last, last_component(word))) {
      continue;
    }
    const auto rank =
        is_whole_near ? std::make_pair(std::size_t{0}, whole) : std::make_pair(last + 1, whole);
    if (best.empty() || rank < best_rank) {
      best = candidate;
      best_rank = rank;
    }
  }
  return best;
}

}  // namespace viewfold
