// Tests of escaping and of numbers as text.
#include "viewfold/report/text.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/rng.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

const std::string kMark = "\xEF\xBF\xBD";

TEST(Text, KeepsWellFormedUtf8) {
  const std::string text = "plain \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x90\x88 \xED\x9F\xBF";
  EXPECT_EQ(valid_utf8(text), text);
}

TEST(Text, ReplacesEachByteOfIllFormedUtf8) {
  EXPECT_EQ(valid_utf8("a\xFF"
                       "b"),
            "a" + kMark + "b");
  EXPECT_EQ(valid_utf8("\xC3"), kMark);                                // cut short
  EXPECT_EQ(valid_utf8("\xE2\x82"), kMark + kMark);                    // cut short
  EXPECT_EQ(valid_utf8("\xC0\xAF"), kMark + kMark);                    // overlong '/'
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), kMark + kMark + kMark);        // surrogate
  EXPECT_EQ(valid_utf8("\xF4\x90\x80\x80").size(), 4 * kMark.size());  // beyond U+10FFFF
  EXPECT_EQ(valid_utf8("\xC3("), kMark + "(");
}

TEST(Text, IsValidAfterOneRepairWhateverTheBytes) {
  Rng rng({.seed = 1, .stream = "bytes"});
  for (int i = 0; i < 2000; ++i) {
    std::string text(rng.below(12), ' ');
    for (char& c : text) {
      c = static_cast<char>(rng.below(256));
    }
    const std::string repaired = valid_utf8(text);
    EXPECT_EQ(valid_utf8(repaired), repaired);
    EXPECT_NO_THROW((void)json(repaired).dump());
  }
}

TEST(Text, EscapesEverythingThatCouldLeaveAnElementOrAnAttribute) {
  EXPECT_EQ(escape_html("</script><img src=x onerror='alert(\"1\")'>"),
            "&lt;/script&gt;&lt;img src=x onerror=&#39;alert(&quot;1&quot;)&#39;&gt;");
  EXPECT_EQ(escape_html(std::string("a\0b\x1B\x7F\n\t", 7)),
            "a" + kMark + "b" + kMark + kMark + "\n\t");
}

TEST(Text, JsonCannotEndItsScript) {
  const json value{{"</script>", "<!-- <script> ]]> & \xE2\x80\xA8"}, {"n", 1.5}};
  const std::string text = script_json(value);
  EXPECT_EQ(text.find_first_of("<>&"), std::string::npos);
  EXPECT_EQ(json::parse(text), value);
}

TEST(Text, JsonOfInvalidTextIsStillJson) {
  EXPECT_EQ(json::parse(script_json(json("a\xFF"
                                         "b"))),
            json("a" + kMark + "b"));
}

TEST(Text, NamesPathsByTheirLastPart) {
  EXPECT_EQ(last_part("cifar10"), "cifar10");
  EXPECT_EQ(last_part("/some/where/pictures/"), "pictures");
  EXPECT_EQ(last_part("a/b.zip//"), "b.zip");
  EXPECT_EQ(last_part("/"), "/");
  EXPECT_EQ(last_part(""), "");
}

TEST(Text, EncodesBase64AsInRfc4648) {
  const auto encode = [](std::string_view text) {
    return base64(std::as_bytes(std::span(text.data(), text.size())));
  };
  EXPECT_EQ(encode(""), "");
  EXPECT_EQ(encode("f"), "Zg==");
  EXPECT_EQ(encode("fo"), "Zm8=");
  EXPECT_EQ(encode("foo"), "Zm9v");
  EXPECT_EQ(encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(encode("\xFB\xFF\xFE"), "+//+");
}

TEST(Text, WritesNumbersAsPeopleReadThem) {
  EXPECT_EQ(percent(0.8451), "84.5%");
  EXPECT_EQ(percent(1.0), "100.0%");
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(60000), "60,000");
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
  EXPECT_EQ(grouped(-100), "-100");
  EXPECT_EQ(readable(10000), "10,000");
  EXPECT_EQ(readable(0.371949), "0.3719");
  EXPECT_EQ(readable(3e-5), "3e-05");
  EXPECT_EQ(readable(1e300), "1e+300");
  EXPECT_EQ(readable(std::numeric_limits<double>::quiet_NaN()), "nan");
}

}  // namespace
}  // namespace viewfold::report
