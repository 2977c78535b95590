// Implements the splitting of the command line.
#include "viewfold/app/arguments.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {

std::vector<ShortName> short_names() {
  return {{"method", "method.name"}, {"encoder", "encoder.name"},  {"views", "views.recipe"},
          {"size", "views.size"},    {"epochs", "train.epochs"},   {"batch", "train.batch_size"},
          {"lr", "train.base_lr"},   {"threads", "train.threads"}, {"limit", "data.limit"},
          {"split", "data.split"}};
}

std::vector<std::string> split_list(const std::string& value) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin <= value.size();) {
    const auto end = std::min(value.find(',', begin), value.size());
    words.push_back(value.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

Arguments::Arguments(std::vector<std::string> words, const std::vector<std::string>& flags) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!word.starts_with("--") || word.size() == 2) {
      positional_.push_back(word);
      continue;
    }
    const auto equals = word.find('=');
    const std::string key = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    if (equals != std::string::npos) {
      settings_.push_back({key, word.substr(equals + 1)});
    } else if (std::find(flags.begin(), flags.end(), key) != flags.end()) {
      settings_.push_back({key, "true"});
    } else if (i + 1 < words.size() && !words[i + 1].starts_with("--")) {
      settings_.push_back({key, words[++i]});
    } else {
      throw UsageError(fmt::format("--{} needs a value (--{} VALUE)", key, key));
    }
  }
}

std::optional<std::string> Arguments::take(const std::string& key) {
  std::optional<std::string> value;
  for (auto it = settings_.begin(); it != settings_.end();) {
    if (it->key == key) {
      value = it->value;
      it = settings_.erase(it);
    } else {
      ++it;
    }
  }
  return value;
}

std::optional<std::string> Arguments::take_first(const std::string& key) {
  const auto found = std::find_if(settings_.begin(), settings_.end(),
                                  [&key](const Setting& setting) { return setting.key == key; });
  if (found == settings_.end()) {
    return std::nullopt;
  }
  std::string value = found->value;
  settings_.erase(found);
  return value;
}

std::int64_t Arguments::take_integer(const std::string& key, std::int64_t fallback) {
  const auto text = take(key);
  if (!text) {
    return fallback;
  }
  std::int64_t value = 0;
  const auto* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stop != end || value < 0) {
    throw UsageError(fmt::format("--{} takes a whole number >= 0, not \"{}\"", key, *text));
  }
  return value;
}

bool Arguments::take_flag(const std::string& key) {
  const auto value = take(key);
  if (value && *value != "true" && *value != "false") {
    throw UsageError(fmt::format("--{} is on or absent, not \"{}\"", key, *value));
  }
  return value == "true";
}

std::string Arguments::take_positional(const std::string& what) {
  if (positional_.empty()) {
    throw UsageError(fmt::format("{} is missing", what));
  }
  std::string word = positional_.front();
  positional_.erase(positional_.begin());
  return word;
}

void Arguments::move_settings(ConfigSource& source) {
  const auto names = short_names();
  for (const auto& setting : settings_) {
    std::string key = setting.key;
    for (const auto& name : names) {
      if (name.name == key) {
        key = name.key;
        break;
      }
    }
    source.set(key, setting.value, "--" + setting.key);
  }
  settings_.clear();
}

void Arguments::expect_empty(const std::vector<std::string>& known) const {
  if (!positional_.empty()) {
    throw UsageError(fmt::format("\"{}\" is one argument too many", positional_.front()));
  }
  if (!settings_.empty()) {
    const std::string& key = settings_.front().key;
    const std::string nearest = nearest_name(key, known);
    throw UsageError(
        fmt::format("there is no setting --{}{}", key,
                    nearest.empty() ? "" : fmt::format(" (did you mean --{}?)", nearest)));
  }
}

}  // namespace viewfold
