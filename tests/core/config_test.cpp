// Tests of typed configuration: strict reading, exact printing, helpful messages.
#include "viewfold/core/config.hpp"

#include <cmath>
#include <limits>

#include "core/test_folder.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/rng.hpp"

namespace viewfold {
namespace {

class MethodConfig : public Config {
 public:
  double variance = 25.0;
  double temperature = 0.1;
  std::string kind = "plain";
  std::vector<std::int64_t> sizes = {224, 96};

  void visit(FieldVisitor& v) override {
    v.field("variance", variance, {.doc = "weight of the hinge", .min = 0});
    v.field("temperature", temperature, {.doc = "tau", .min = 0.01, .max = 1});
    v.field("kind", kind, {.doc = "form", .choices = {"plain", "debiased"}});
    v.field("sizes", sizes, {.doc = "pixels", .min = 1});
  }
};

class RunConfig : public Config {
 public:
  std::string name = "run";
  bool mixed_precision = false;
  std::int64_t epochs = 100;
  std::int64_t log_every = 10;
  MethodConfig method;

  void visit(FieldVisitor& v) override {
    v.field("name", name, {.doc = "of the run", .resume = Resume::kMayChange});
    v.enter("train");
    v.field("mixed_precision", mixed_precision, {.doc = "bfloat16"});
    visit_group(v, "method", method);
    v.field("epochs", epochs, {.doc = "passes over the data", .min = 1});
    v.leave();
    v.enter("train");
    v.field("log_every", log_every,
            {.doc = "steps", .min = 1, .max = 1000, .resume = Resume::kMayChange});
    v.leave();
  }
};

RunConfig read_text(const std::string& text) {
  ConfigSource source;
  source.add_toml_text(text, "a.toml");
  RunConfig config;
  read_config(config, source);
  return config;
}

RunConfig read_setting(const std::string& key, const std::string& text) {
  ConfigSource source;
  source.set(key, text, "--" + key);
  RunConfig config;
  read_config(config, source);
  return config;
}

template <class Action>
std::string usage_error_of(const Action& action) {
  try {
    action();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "(no UsageError)";
}

std::string error_of_text(const std::string& text) {
  return usage_error_of([&] { read_text(text); });
}

std::string error_of_setting(const std::string& key, const std::string& text) {
  return usage_error_of([&] { read_setting(key, text); });
}

TEST(ReadConfig, TakesValuesOfEachTypeAndKeepsTheOtherDefaults) {
  const auto config = read_text(
      "name = \"x\"\n[train]\nmixed_precision = true\nepochs = 3\n"
      "[train.method]\nvariance = 1.5\nsizes = [32, 16, 8]\n");
  EXPECT_EQ(config.name, "x");
  EXPECT_TRUE(config.mixed_precision);
  EXPECT_EQ(config.epochs, 3);
  EXPECT_EQ(config.method.variance, 1.5);
  EXPECT_EQ(config.method.sizes, (std::vector<std::int64_t>{32, 16, 8}));
  EXPECT_EQ(config.method.temperature, 0.1);
  EXPECT_EQ(config.log_every, 10);
}

TEST(ReadConfig, TakesAnIntegerWhereANumberIsExpectedButNotTheReverse) {
  EXPECT_EQ(read_text("train.method.variance = 3").method.variance, 3.0);
  EXPECT_EQ(error_of_text("train.epochs = 3.0"),
            "a.toml:1: train.epochs: expected an integer >= 1, got 3.0");
}

TEST(ReadConfig, UnknownKeyNamesPlaceAndNearestKnownOne) {
  EXPECT_EQ(
      error_of_text("\n[train.method]\nvarience = 1"),
      "a.toml:3: train.method.varience: unknown setting (did you mean train.method.variance?)");
  EXPECT_EQ(error_of_text("temperature = 0.2"),
            "a.toml:1: temperature: unknown setting (did you mean train.method.temperature?)");
  EXPECT_EQ(error_of_text("quantum = 1"), "a.toml:1: quantum: unknown setting");
}

TEST(ReadConfig, ReportsAllProblemsAtOnce) {
  const std::string message = error_of_text(
      "alpha = 1\n[train]\nepoch = 1\nlog_every = 0\n[train.method]\nkind = \"debiazed\"\n");
  EXPECT_EQ(message,
            "a.toml:6: train.method.kind: expected one of plain | debiased, got \"debiazed\" (did "
            "you mean debiased?)\n"
            "a.toml:4: train.log_every: expected an integer 1 .. 1000, got 0\n"
            "a.toml:1: alpha: unknown setting\n"
            "a.toml:3: train.epoch: unknown setting (did you mean train.epochs?)");
}

TEST(ReadConfig, RefusesValuesOfAnotherType) {
  for (const std::string bad :
       {"name = 1", "name = true", "train.mixed_precision = 1", "train.mixed_precision = \"true\"",
        "train.epochs = true", "train.epochs = \"3\"", "train.method.variance = \"1\"",
        "train.method.sizes = 3", "train.method.sizes = [1.5]", "train.method.sizes = [[1]]",
        "train.method = 3", "name = 2020-01-01", "name = 10:00:00", "[[name]]\nx = 1"}) {
    EXPECT_TRUE(error_of_text(bad).starts_with("a.toml:1: ")) << bad << ": " << error_of_text(bad);
  }
}

TEST(ReadConfig, RefusesValuesOutsideTheirRange) {
  EXPECT_EQ(error_of_text("train.epochs = 0"),
            "a.toml:1: train.epochs: expected an integer >= 1, got 0");
  EXPECT_EQ(error_of_text("train.method.temperature = 1.01"),
            "a.toml:1: train.method.temperature: expected a number 0.01 .. 1, got 1.01");
  EXPECT_EQ(error_of_text("train.method.sizes = [8, 0]"),
            "a.toml:1: train.method.sizes: expected a list of integers >= 1, got [8, 0]");
  EXPECT_EQ(read_text("train.method.temperature = 1").method.temperature, 1.0);
  EXPECT_EQ(read_text("train.method.temperature = 0.01").method.temperature, 0.01);
}

TEST(ReadConfig, RefusesNumbersThatAreNotFinite) {
  for (const std::string value : {"nan", "inf", "-inf", "+nan", "1e999"}) {
    EXPECT_TRUE(error_of_text("train.method.variance = " + value).starts_with("a.toml:1: "));
    EXPECT_TRUE(error_of_setting("train.method.variance", value)
                    .starts_with("--train.method.variance: train.method.variance: expected"))
        << value;
  }
}

TEST(ReadConfig, ReadsCommandLineTextAsTheFieldsType) {
  for (const std::string yes : {"true", "on", "1"}) {
    EXPECT_TRUE(read_setting("train.mixed_precision", yes).mixed_precision);
  }
  for (const std::string no : {"false", "off", "0"}) {
    EXPECT_FALSE(read_setting("train.mixed_precision", no).mixed_precision);
  }
  EXPECT_EQ(read_setting("train.epochs", "7").epochs, 7);
  EXPECT_EQ(read_setting("train.epochs", "+7").epochs, 7);
  EXPECT_EQ(read_setting("train.method.variance", "1e-3").method.variance, 1e-3);
  EXPECT_EQ(read_setting("train.method.variance", "2").method.variance, 2.0);
  EXPECT_EQ(read_setting("name", "17").name, "17");
  EXPECT_EQ(read_setting("name", "").name, "");
  using List = std::vector<std::int64_t>;
  EXPECT_EQ(read_setting("train.method.sizes", "1,2,3").method.sizes, (List{1, 2, 3}));
  EXPECT_EQ(read_setting("train.method.sizes", "[1, 2 ,3]").method.sizes, (List{1, 2, 3}));
  EXPECT_EQ(read_setting("train.method.sizes", "5").method.sizes, (List{5}));
  EXPECT_EQ(read_setting("train.method.sizes", "[]").method.sizes, List{});
}

TEST(ReadConfig, RefusesCommandLineTextThatIsNotOfTheFieldsType) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"train.mixed_precision", "yes"},
      {"train.mixed_precision", ""},
      {"train.epochs", "1e2"},
      {"train.epochs", "3.0"},
      {"train.epochs", ""},
      {"train.epochs", "7 epochs"},
      {"train.epochs", "+-7"},
      {"train.epochs", "99999999999999999999"},
      {"train.method.variance", "x"},
      {"train.method.variance", "0x10"},
      {"train.method.sizes", "1,,2"},
      {"train.method.sizes", "1,2,"},
      {"train.method.sizes", ",1"},
      {"train.method.sizes", "[1,2"},
      {"train.method.sizes", "1.5"},
      {"train.method.kind", "PLAIN"},
  };
  for (const auto& [key, text] : cases) {
    EXPECT_TRUE(error_of_setting(key, text).starts_with("--" + key + ": " + key + ": expected"))
        << key << "=" << text << ": " << error_of_setting(key, text);
  }
  EXPECT_EQ(error_of_setting("name", "\xC3\x28"), "--name: name: the value is not UTF-8");
}

TEST(ConfigSource, LaterSourcesWin) {
  ConfigSource source;
  source.add_toml_text("name = \"a\"\ntrain.epochs = 1", "a.toml");
  source.add_toml_text("name = \"b\"", "b.toml");
  source.set("train.epochs", "5", "--train.epochs");
  RunConfig config;
  read_config(config, source);
  EXPECT_EQ(config.name, "b");
  EXPECT_EQ(config.epochs, 5);
}

TEST(ConfigSource, NamesFileAndLineOfASyntaxError) {
  const std::string message = error_of_text("name = \"x\"\n[train\nepochs = 1");
  EXPECT_TRUE(message.starts_with("a.toml:2: ")) << message;
  EXPECT_TRUE(error_of_text("name = 1\nname = 2").starts_with("a.toml:2: "));
}

TEST(ConfigSource, AFailedFileAddsNothing) {
  ConfigSource source;
  EXPECT_THROW(source.add_toml_text("name = \"x\"\nz = 2020-01-01", "a.toml"), UsageError);
  EXPECT_TRUE(source.values().empty());
}

TEST(ConfigSource, ReadsAFileAndNamesAMissingOne) {
  const TestFolder folder("config");
  const std::string path = (folder.path() / "r.toml").string();
  write_file_atomically(path, std::string_view("name = 3"));
  ConfigSource source;
  source.add_toml_file(path);
  RunConfig config;
  EXPECT_EQ(usage_error_of([&] { read_config(config, source); }),
            path + ":1: name: expected a text, got 3");
  EXPECT_TRUE(usage_error_of([&] { source.add_toml_file(path + "x"); }).starts_with(path + "x: "));
}

TEST(ConfigSource, AListOfTextsIsTheTextThatACommandLineTakes) {
  ConfigSource source;
  source.add_toml_text("a = [\"knn\", \"linear\"]\nb = [\"x\"]", "a.toml");
  EXPECT_EQ(source.string_or("a", ""), "knn,linear");
  EXPECT_EQ(source.string_or("b", ""), "x");
  for (const std::string bad : {"a = [\"x\", 1]", "a = [\"x,y\"]", "a = [[\"x\"]]", "a = [1.5]"}) {
    EXPECT_EQ(usage_error_of([&] { source.add_toml_text(bad, "b.toml"); }),
              "b.toml:1: a: a list holds integers only, or texts without commas only")
        << bad;
  }
}

TEST(ConfigSource, StringOrReadsStringsOnly) {
  ConfigSource source;
  source.add_toml_text("a = \"x\"\nb = 1", "a.toml");
  source.set("c", "7", "--c");
  EXPECT_EQ(source.string_or("a", "y"), "x");
  EXPECT_EQ(source.string_or("c", "y"), "7");
  EXPECT_EQ(source.string_or("d", "y"), "y");
  EXPECT_EQ(usage_error_of([&] { (void)source.string_or("b", "y"); }),
            "a.toml:2: b: expected a text, got 1");
}

TEST(PrintConfig, GroupsFieldsIntoTables) {
  RunConfig config;
  EXPECT_EQ(print_config(config),
            "name = \"run\"\n\n"
            "[train]\nmixed_precision = false\nepochs = 100\nlog_every = 10\n\n"
            "[train.method]\nvariance = 25.0\ntemperature = 0.1\nkind = \"plain\"\n"
            "sizes = [224, 96]\n");
}

TEST(PrintConfig, IsReadBackAsTheSameConfig) {
  const std::vector<double> numbers = {0.0,
                                       -0.0,
                                       5.0,
                                       0.1,
                                       1e-5,
                                       1e300,
                                       123456789012345678.0,
                                       1.0 / 3.0,
                                       std::numeric_limits<double>::denorm_min(),
                                       std::numeric_limits<double>::max()};
  const std::vector<std::string> texts = {"",
                                          "a\"b\\c",
                                          "two\nlines\ttab\r\f\b",
                                          std::string("nul\0in", 6),
                                          "\x7F\x1B[0m",
                                          "é 漢 🙂",
                                          "'''\"\"\"",
                                          "#no = comment",
                                          "[x]",
                                          " "};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    RunConfig config;
    config.name = texts[i];
    config.mixed_precision = i % 2 == 0;
    config.epochs = i == 0 ? std::numeric_limits<std::int64_t>::max() : 1;
    config.method.variance = numbers[i];
    config.method.sizes.assign(i, 7);
    const std::string printed = print_config(config);
    auto again = read_text(printed);
    EXPECT_EQ(print_config(again), printed);
    EXPECT_EQ(again.name, config.name);
    EXPECT_EQ(again.mixed_precision, config.mixed_precision);
    EXPECT_EQ(again.epochs, config.epochs);
    EXPECT_EQ(again.method.variance, config.method.variance);
    EXPECT_EQ(std::signbit(again.method.variance), std::signbit(config.method.variance));
    EXPECT_EQ(again.method.sizes, config.method.sizes);
  }
}

TEST(PrintConfig, ReproducesRandomDoublesBitForBit) {
  Rng rng({.seed = 1, .stream = "test"});
  for (int i = 0; i < 300; ++i) {
    RunConfig config;
    config.method.variance = std::ldexp(rng.uniform() + 0x1p-60 * rng.uniform(),
                                        static_cast<int>(rng.below(1800)) - 900);
    EXPECT_EQ(read_text(print_config(config)).method.variance, config.method.variance);
  }
}

TEST(DescribeConfig, ListsFieldsInOrderOfDeclaration) {
  RunConfig config;
  const auto fields = describe_config(config);
  ASSERT_EQ(fields.size(), 8U);
  EXPECT_EQ(fields[2].key, "train.method.variance");
  EXPECT_EQ(fields[2].type, "number");
  EXPECT_EQ(fields[2].default_value, "25.0");
  EXPECT_EQ(fields[2].doc, "weight of the hinge");
  EXPECT_EQ(fields[2].range, ">= 0");
  EXPECT_EQ(fields[2].resume, Resume::kMustMatch);
  EXPECT_EQ(fields[3].range, "0.01 .. 1");
  EXPECT_EQ(fields[4].range, "plain | debiased");
  EXPECT_EQ(fields[0].type, "text");
  EXPECT_EQ(fields[0].range, "");
  EXPECT_EQ(fields[1].type, "bool");
  EXPECT_EQ(fields[5].type, "integers");
  EXPECT_EQ(fields[6].key, "train.epochs");
  EXPECT_EQ(fields[7].resume, Resume::kMayChange);
}

TEST(VisitGroup, AddsNoPrefixForAnEmptyName) {
  class Outer : public Config {
   public:
    MethodConfig method;
    void visit(FieldVisitor& v) override { visit_group(v, "", method); }
  } outer;
  EXPECT_EQ(describe_config(outer).front().key, "variance");
}

TEST(MustMatchDifferences, NamesMustMatchFieldsOnly) {
  RunConfig before;
  RunConfig after;
  EXPECT_TRUE(must_match_differences(before, after).empty());
  after.name = "other";
  after.log_every = 1;
  after.epochs = 5;
  after.method.sizes = {1};
  EXPECT_EQ(
      must_match_differences(before, after),
      (std::vector<std::string>{"train.method.sizes: [224, 96] -> [1]", "train.epochs: 100 -> 5"}));
}

TEST(MustMatchDifferences, NamesFieldsThatOnlyOneSideHas) {
  class One : public Config {
   public:
    std::int64_t a = 1;
    void visit(FieldVisitor& v) override { v.field("a", a, {}); }
  } one;
  class Two : public Config {
   public:
    std::int64_t b = 2;
    void visit(FieldVisitor& v) override { v.field("b", b, {}); }
  } two;
  EXPECT_EQ(must_match_differences(one, two),
            (std::vector<std::string>{"a: 1 -> (none)", "b: (none) -> 2"}));
}

TEST(NearestName, CountsInsertionsDeletionsReplacementsAndSwaps) {
  const std::vector<std::string> names = {"crop", "solarize", "gaussian_blur"};
  EXPECT_EQ(nearest_name("corp", names), "crop");
  EXPECT_EQ(nearest_name("crops", names), "crop");
  EXPECT_EQ(nearest_name("crp", names), "crop");
  EXPECT_EQ(nearest_name("solarise", names), "solarize");
  EXPECT_EQ(nearest_name("gausian_blurr", names), "gaussian_blur");
  EXPECT_EQ(nearest_name("rotate", names), "");
  EXPECT_EQ(nearest_name("x", {"y"}), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("crop", {}), "");
}

TEST(NearestName, FindsASettingInAnotherTable) {
  const std::vector<std::string> keys = {"train.seed", "data.seed", "method.temperature"};
  EXPECT_EQ(nearest_name("temperature", keys), "method.temperature");
  EXPECT_EQ(nearest_name("loader.temperatur", keys), "method.temperature");
  EXPECT_EQ(nearest_name("dat.seed", keys), "data.seed");
}

// One broken text per number: of every kind that users and editors produce, and some that only a
// fuzzer does.
std::string broken_config(std::uint32_t number) {
  RunConfig config;
  const std::string good = print_config(config);
  const auto sample = static_cast<std::uint32_t>(number);
  Rng rng({.seed = 5, .stream = "fuzz", .sample = sample});
  const auto size = static_cast<std::uint32_t>(good.size());
  std::string text = good;
  switch (number % 10) {
    case 0:
      return good.substr(0, rng.below(size));
    case 1:
      for (std::uint32_t i = 0; i <= rng.below(8); ++i) {
        text[rng.below(size)] = static_cast<char>(rng.below(256));
      }
      return text;
    case 2:
      return good + fmt::format("k{} = {}\n", rng.next_u32(), rng.below(9));
    case 3:
      return "name = " + std::string(1U << rng.below(16), '[') + "\n";
    case 4:
      return good + good;
    case 5:
      return text.insert(rng.below(size), "\xFF\xC0\xAF\xED\xA0\x80");
    case 6: {
      std::string key = "a";
      for (std::uint32_t i = 0, n = 1U << rng.below(18); i < n; ++i) {
        key += ".a";
      }
      return rng.bernoulli(0.5) ? key + " = 1" : "[" + key + "]\nb = 1";
    }
    case 7: {
      std::string noise;
      for (std::uint32_t i = 0; i < 300; ++i) {
        noise += static_cast<char>(rng.below(256));
      }
      return noise;
    }
    case 8: {
      const std::vector<std::string> values = {"nan",        "[true]",      "{x = 1}",
                                               "1979-05-27", "\"\\u0000\"", "[[]]",
                                               "0x",         "''",          "-9223372036854775809"};
      return "train.epochs = " + values[rng.below(static_cast<std::uint32_t>(values.size()))];
    }
    default:
      return text.erase(rng.below(size), 1 + rng.below(4));
  }
}

TEST(ReadConfig, BrokenFilesGiveAUsageErrorThatNamesThem) {
  int refused = 0;
  for (std::uint32_t number = 0; number < 400; ++number) {
    const std::string text = broken_config(number);
    try {
      read_text(text);
    } catch (const UsageError& error) {
      ++refused;
      EXPECT_TRUE(std::string(error.what()).starts_with("a.toml:"))
          << "config " << number << ": " << error.what();
    }
  }
  EXPECT_GE(refused, 300);
}

}  // namespace
}  // namespace viewfold
