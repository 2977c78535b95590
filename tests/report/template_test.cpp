// Tests of the page template.
#include "viewfold/report/template.hpp"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

std::string problem_of(const std::string& text, const json& context) {
  try {
    (void)render_template(text, context);
  } catch (const ContractViolation& problem) {
    return problem.what();
  }
  return "";
}

TEST(Template, ReplacesNamesByTextsAndNumbers) {
  const json context{{"name", "a run"}, {"width", 84.5}, {"count", 3}};
  EXPECT_EQ(render_template("<{{name}}|{{width}}|{{count}}>", context), "<a run|84.5|3>");
}

TEST(Template, EscapesUnlessToldNotTo) {
  const json context{{"x", "<b>&\"'"}};
  EXPECT_EQ(render_template("{{x}}", context), "&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(render_template("{{&x}}", context), "<b>&\"'");
}

TEST(Template, DoesNotReadTagsInValues) {
  const json context{{"x", "{{y}} {{#z}}"}, {"y", "wrong"}};
  EXPECT_EQ(render_template("{{x}}{{&x}}", context), "{{y}} {{#z}}{{y}} {{#z}}");
}

TEST(Template, RepeatsSectionsForEachElement) {
  const json context{{"rows", {{{"n", 1}}, {{"n", 2}}}}, {"names", {"a", "b"}}, {"out", "o"}};
  EXPECT_EQ(render_template("{{#rows}}{{n}}{{out}};{{/rows}}", context), "1o;2o;");
  EXPECT_EQ(render_template("{{#names}}[{{.}}]{{/names}}", context), "[a][b]");
}

TEST(Template, LooksUpNamesInTheInnermostScopeFirst) {
  const json context{{"x", "outer"}, {"s", {{"x", "inner"}}}, {"t", {{"y", 1}}}};
  EXPECT_EQ(render_template("{{#s}}{{x}}{{/s}} {{#t}}{{x}}{{/t}}", context), "inner outer");
}

TEST(Template, LeavesOutSectionsOfNothing) {
  const json context{{"null", nullptr},       {"no", false}, {"empty", ""},
                     {"none", json::array()}, {"yes", true}, {"zero", 0}};
  for (const std::string name : {"null", "no", "empty", "none", "nowhere"}) {
    EXPECT_EQ(render_template("{{#" + name + "}}in{{/" + name + "}}", context), "") << name;
    EXPECT_EQ(render_template("{{^" + name + "}}out{{/" + name + "}}", context), "out") << name;
  }
  for (const std::string name : {"yes", "zero"}) {
    EXPECT_EQ(render_template("{{#" + name + "}}in{{/" + name + "}}", context), "in") << name;
    EXPECT_EQ(render_template("{{^" + name + "}}out{{/" + name + "}}", context), "") << name;
  }
}

TEST(Template, DoesNotMissValuesInWhatIsLeftOut) {
  EXPECT_EQ(
      render_template("a{{#no}}{{missing}}{{#deep}}{{more}}{{/deep}}{{/no}}b", json::object()),
      "ab");
}

TEST(Template, NamesTheTagThatIsWrong) {
  const json context{{"list", {1, 2}}, {"null", nullptr}};
  EXPECT_NE(problem_of("{{missing}}", context).find("missing"), std::string::npos);
  EXPECT_NE(problem_of("{{list}}", context).find("list"), std::string::npos);
  EXPECT_NE(problem_of("{{null}}", context).find("null"), std::string::npos);
  EXPECT_NE(problem_of("{{#open}}", context).find("open"), std::string::npos);
  EXPECT_NE(problem_of("{{/close}}", context).find("close"), std::string::npos);
  EXPECT_NE(problem_of("{{#list}}{{/other}}{{/list}}", context).find("other"), std::string::npos);
  EXPECT_NE(problem_of("text {{name", context).find("not closed"), std::string::npos);
}

}  // namespace
}  // namespace viewfold::report
