// A hundred broken configurations, made from keys: each must be refused with the place to look at.
#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/config.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/rng.hpp"

namespace viewfold {
namespace {

class TrainConfig final : public Config {
 public:
  bool mixed_precision = false;
  std::int64_t epochs = 100;
  double temperature = 0.1;
  std::string kind = "plain";
  std::vector<std::int64_t> sizes = {224};

  void visit(FieldVisitor& v) override {
    v.field("mixed_precision", mixed_precision, {.doc = "bfloat16"});
    v.field("epochs", epochs, {.doc = "passes", .min = 1, .max = 100000});
    v.field("temperature", temperature, {.doc = "tau", .min = 0.01, .max = 1});
    v.field("kind", kind, {.doc = "form", .choices = {"plain", "debiased"}});
    v.field("sizes", sizes, {.doc = "pixels", .min = 1, .max = 4096});
  }
};

class RunConfig final : public Config {
 public:
  TrainConfig train;
  void visit(FieldVisitor& v) override { visit_group(v, "train", train); }
};

struct Broken {
  std::string text;
  std::string key = {};  // "" when what is wrong has no key yet
  int line = 0;          // 0 when only the parser can say
};

template <class T>
const T& one_of(Rng& rng, const std::vector<T>& choices) {
  return choices[rng.below(static_cast<std::uint32_t>(choices.size()))];
}

// A valid beginning of some lines, then a line that is wrong.
Broken with_last_line(Rng& rng, const std::string& key, const std::string& last) {
  const std::vector<std::string> fillers = {"", "# a comment", "   ", "# kind = \"odd\""};
  Broken made{.text = "[train]\n", .key = key, .line = 2};
  for (std::uint32_t i = rng.below(6); i > 0; --i, ++made.line) {
    made.text += one_of(rng, fillers) + "\n";
  }
  made.text += last + one_of<std::string>(rng, {"", "\n", "\n# the end\n"});
  return made;
}

Broken of_wrong_type(Rng& rng) {
  using Choices = std::vector<std::string>;
  static const std::vector<std::pair<std::string, Choices>> kValues = {
      {"mixed_precision", {"1", "\"true\"", "0.5", "[true]"}},
      {"epochs", {"true", "\"3\"", "3.0", "[3]", "2020-01-01"}},
      {"temperature", {"\"0.1\"", "false", "[0.1]", "10:30:00"}},
      {"kind", {"1", "true", "[\"plain\"]", "{a = 1}"}},
      {"sizes", {"224", "\"224\"", "[1.5]", "[\"a\"]", "[[1]]", "[1, true]"}}};
  const auto& [key, values] = one_of(rng, kValues);
  return with_last_line(rng, "train." + key, key + " = " + one_of(rng, values));
}

Broken of_unknown_key(Rng& rng) {
  std::string key = one_of<std::string>(rng, {"mixed_precision", "epochs", "temperature", "kind"});
  const std::size_t at = rng.below(static_cast<std::uint32_t>(key.size()));
  if (rng.bernoulli(0.5)) {
    key.insert(at, 1, 'q');
  } else {
    key[at] = 'q';
  }
  return with_last_line(rng, "train." + key, key + " = " + one_of<std::string>(rng, {"1", "\"\""}));
}

Broken out_of_range(Rng& rng) {
  static const std::vector<std::pair<std::string, std::vector<std::string>>> kValues = {
      {"epochs", {"0", "-1", "100001", "9223372036854775807", "-9223372036854775808"}},
      {"temperature", {"0.0", "-0.0", "1.0000001", "1e308", "nan", "inf", "-inf"}},
      {"kind", {"\"\"", "\"Plain\"", "\"debiazed\"", "\"plain \""}},
      {"sizes", {"[0]", "[1, 2, -3]", "[4097]"}}};
  const auto& [key, values] = one_of(rng, kValues);
  return with_last_line(rng, "train." + key, key + " = " + one_of(rng, values));
}

Broken with_bad_syntax(Rng& rng) {
  Broken made = with_last_line(
      rng, "",
      one_of<std::string>(
          rng, {"epochs", "epochs =", "= 3", "epochs = 3 4", "epochs = 1_", "[train", "epochs: 3",
                "epochs = 0x", "kind = \"plain", "kind = 'plain\"", "sizes = [1, 2",
                "sizes = [1,, 2]", "kind = \"\\q\"", "<xml/>", "epochs = 3\nepochs = 4",
                "kind = {a = ", "\"\"\"", "epochs = +-3"}));
  made.line = 0;
  return made;
}

Broken that_is_huge(Rng& rng) {
  const std::size_t size = 1000 + rng.below(100000);
  const auto repeated = [size](std::string_view part) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) {
      text += part;
    }
    return text;
  };
  switch (rng.below(7)) {
    case 0:
      return {.text = "train.epochs = " + repeated("9"), .line = 1};
    case 1:
      return {.text = "train.sizes = " + repeated("["), .line = 1};
    case 2:
      return {.text = repeated("a") + " = 1", .line = 1};
    case 3:
      return {.text = "train.kind = \"" + repeated("x") + "\"", .line = 1};
    case 4:
      return {
          .text = "train.sizes = [" + repeated("\n7,") + "\n0]", .key = "train.sizes", .line = 1};
    case 5:
      return {.text = "train.kind = \"\"\"" + repeated("\nx") + "\"\"\"",
              .key = "train.kind",
              .line = 1};
    default:
      return {.text = repeated("#\n") + "train.epochs = 0",
              .key = "train.epochs",
              .line = static_cast<int>(size) + 1};
  }
}

Broken that_is_no_utf8(Rng& rng) {
  // A byte that never occurs, a lone continuation, a cut sequence, a surrogate, an overlong "/", a
  // code point beyond the last, and a control character.
  const auto bytes = one_of<std::string>(
      rng, {"\xFF", "\x80", "\xC3(", "\xED\xA0\x80", "\xC0\xAF", "\xF5\x80\x80\x80", "\x01"});
  Broken made =
      with_last_line(rng, "",
                     one_of<std::string>(
                         rng, {"kind = \"" + bytes + "\"", bytes + " = 1", "kind = '" + bytes + "'",
                               "# " + bytes + "\n", "epochs = 3" + bytes}));
  made.line = 0;
  return made;
}

constexpr std::array kMakers = {of_wrong_type,   of_unknown_key, out_of_range,
                                with_bad_syntax, that_is_huge,   that_is_no_utf8};

std::string usage_error_of(const std::string& text) {
  try {
    ConfigSource source;
    source.add_toml_text(text, "bad.toml");
    RunConfig config;
    read_config(config, source);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "(no UsageError)";
}

// "bad.toml:7: ", or with any number.
bool names_line(const std::string& message, int line) {
  const std::string start = "bad.toml:";
  if (line > 0) {
    return message.starts_with(fmt::format("{}{}: ", start, line));
  }
  const auto end = message.find_first_not_of("0123456789", start.size());
  return message.starts_with(start) && end != std::string::npos && end > start.size() &&
         message.compare(end, 2, ": ") == 0;
}

TEST(BrokenConfig, AHundredAreRefusedWithThePlaceToLookAt) {
  constexpr std::uint32_t kConfigs = 100;
  std::array<std::uint32_t, kMakers.size()> refused{};
  for (std::uint32_t i = 0; i < kConfigs; ++i) {
    Rng rng({.seed = 1, .stream = "broken", .sample = i});
    const Broken broken = kMakers.at(i % kMakers.size())(rng);
    const std::string message = usage_error_of(broken.text);
    const bool good = names_line(message, broken.line) &&
                      message.find(broken.key) != std::string::npos && message.size() < 1000;
    EXPECT_TRUE(good) << "number " << i << "\n"
                      << broken.text.substr(0, 300) << "\ngives\n"
                      << message.substr(0, 1500);
    refused.at(i % kMakers.size()) += good ? 1 : 0;
  }
  EXPECT_EQ(std::accumulate(refused.begin(), refused.end(), 0U), kConfigs);
  for (const auto count : refused) {
    EXPECT_GE(count, kConfigs / kMakers.size());
  }
}

TEST(BrokenConfig, OfALongValueTheBeginningIsShown) {
  std::string umlauts;
  for (int i = 0; i < 2000; ++i) {
    umlauts += "\xC3\xA4";
  }
  // 100 bytes are shown: the quote and 49 letters of two bytes each; half of one is no letter.
  EXPECT_EQ(usage_error_of("train.kind = \"" + umlauts + "\""),
            "bad.toml:1: train.kind: expected one of plain | debiased, got \"" +
                umlauts.substr(0, 98) + " ...");
}

TEST(BrokenConfig, WhatIsBrokenIsAllThatIsWrongWithThem) {
  Rng rng({.seed = 2});
  EXPECT_EQ(usage_error_of(with_last_line(rng, "", "epochs = 3").text), "(no UsageError)");
  EXPECT_EQ(usage_error_of("train.sizes = [7, 7]\ntrain.kind = \"debiased\" # \xC3\xA4\n"),
            "(no UsageError)");
}

}  // namespace
}  // namespace viewfold
