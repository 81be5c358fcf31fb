#include "grammar/json_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "grammar/grammar_test_util.h"
#include "io/file.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const Grammar> compile(std::string_view schema) {
  return compile_json_schema(json::parse(schema, "schema"));
}

std::string error_of(std::string_view schema) {
  try {
    compile(schema);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(JsonSchema, CasesOfEveryKeyword) {
  const auto vocabulary = byte_vocabulary();
  const std::string path = testing::testdata("json_schema/cases.jsonl");
  std::istringstream lines(read_file(path));
  size_t num_texts = 0;
  for (std::string line; std::getline(lines, line);) {
    const json::object c = json::parse(line, path).as_object();
    SCOPED_TRACE(line);
    std::shared_ptr<const Grammar> grammar;
    std::string refused;
    bool empty = false;
    try {
      grammar = compile_json_schema(c.at("schema"));
    } catch (const UnsupportedSchema& error) {
      refused = error.keyword();
    } catch (const EmptySchema&) {
      empty = true;
    }
    const json::value* expected = c.if_contains("refused");
    EXPECT_EQ(refused, expected ? std::string(expected->as_string()) : "");
    if (expected) continue;
    if (empty) {
      EXPECT_TRUE(c.at("accepted").as_array().empty());
      continue;
    }
    ASSERT_TRUE(grammar);
    for (const json::value& text : c.at("accepted").as_array()) {
      EXPECT_TRUE(accepts(vocabulary, grammar, text.as_string())) << text;
      ++num_texts;
    }
    for (const json::value& text : c.at("rejected").as_array()) {
      EXPECT_FALSE(accepts(vocabulary, grammar, text.as_string())) << text;
      ++num_texts;
    }
  }
  EXPECT_GT(num_texts, 400u);
}

TEST(JsonSchema, SaysWhatIsWrongWithASchema) {
  EXPECT_THAT(error_of(R"({"type": "strin"})"), HasSubstr("type: found \"strin\""));
  EXPECT_THAT(error_of(R"({"properties": []})"), HasSubstr("properties: found [], expected an"));
  EXPECT_THAT(error_of(R"({"minLength": -1})"), HasSubstr("minLength: found -1"));
  EXPECT_THAT(error_of(R"({"multipleOf": 0})"), HasSubstr("multipleOf"));
  EXPECT_THAT(error_of("3"), HasSubstr("found 3, expected an object or a boolean"));
  EXPECT_THAT(error_of(R"({"$ref": "#/nowhere"})"), HasSubstr("nothing at that place"));
  EXPECT_THAT(error_of(R"({"$ref": "#"})"), HasSubstr("leads back to itself"));
  EXPECT_THAT(error_of(R"({"anyOf": []})"), HasSubstr("at least one schema"));
  EXPECT_THAT(error_of(R"({"pattern": "a("})"), HasSubstr("without its )"));
  EXPECT_THAT(error_of(R"({"pattern": "[b-a]"})"), HasSubstr("out of order"));
  EXPECT_THAT(error_of(R"({"maximum": 0.12345678901234567})"), HasSubstr("15 digits"));
  EXPECT_THAT(error_of("false"), HasSubstr("no value at all"));
}

// What would take for ever or all memory is an Error instead.
TEST(JsonSchema, LimitsSizes) {
  EXPECT_THAT(error_of(R"({"pattern": "^((((a{50}){50}){50}){50})$"})"), HasSubstr("too large"));
  EXPECT_THAT(error_of(R"({"pattern": "(a|b)*a(a|b){30}"})"), HasSubstr("too large"));
  EXPECT_THAT(error_of(R"({"pattern": "^(a?b?){100}$", "maxLength": 900000})"),
              HasSubstr("too large"));
  std::string deep = "true";
  for (int i = 0; i < 120; ++i) deep = R"({"items": )" + deep + "}";
  EXPECT_EQ(error_of(deep), "no error");
  // Each allOf doubles the number of combinations.
  std::string wide = R"({"allOf": [)";
  for (int i = 0; i < 20; ++i) {
    const std::string n = std::to_string(i);
    wide += (i ? "," : "") +
            (R"({"anyOf": [{"required": ["a)" + n + R"("]}, {"required": ["b)" + n) + R"("]}]})";
  }
  EXPECT_THAT(error_of(wide + "]}"), HasSubstr("more than"));
  // A value that can only be infinite.
  EXPECT_THAT(error_of(R"({"type": "array", "minItems": 1, "items": {"$ref": "#"}})"),
              HasSubstr("no value at all"));
}

TEST(JsonSchema, NestingEndsAtTheReadersLimit) {
  const auto vocabulary = byte_vocabulary();
  const auto grammar = compile("true");
  const std::string deepest = std::string(256, '[') + std::string(256, ']');
  EXPECT_TRUE(accepts(vocabulary, grammar, deepest));
  EXPECT_FALSE(accepts(vocabulary, grammar, "[" + deepest + "]"));
  // No place from which there is no way back: one level before the limit, a child that needs two
  // levels cannot begin.
  const auto pairs = compile(
      R"({"type": "array", "items": {"type": "array", "minItems": 1, "items": {"$ref": "#"}}})");
  EXPECT_TRUE(accepts(vocabulary, pairs, "[[[[[]]]]]"));
  const std::unique_ptr<TokenConstraint> constraint = make_json_constraint(vocabulary, pairs);
  EXPECT_EQ(num_taken(*constraint, *vocabulary, byte_ids(std::string(300, '['))), 255u);
  EXPECT_TRUE(allows(*constraint, *vocabulary, ']'));
}

TEST(JsonSchema, JsonObjectTakesObjectsAlone) {
  const auto vocabulary = byte_vocabulary();
  const auto grammar = compile_any_json_object();
  EXPECT_TRUE(accepts(vocabulary, grammar, " {\"a\": [1, \"\\u00e9\", null]} \n"));
  EXPECT_FALSE(accepts(vocabulary, grammar, "[1]"));
  EXPECT_FALSE(accepts(vocabulary, grammar, "{} {}"));
}

TEST(JsonSchema, ToolCallsNameFirst) {
  const auto vocabulary = byte_vocabulary();
  const std::vector<ToolSchema> tools = {
      {"add", json::parse(R"({"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["a"],
                              "$defs": {"n": {"type": "integer"}}})",
                          "a")},
      {"now", json::parse(R"({"type": "object", "additionalProperties": false})", "b")}};
  const auto grammar = compile_tool_calls(tools);
  EXPECT_TRUE(accepts(vocabulary, grammar, R"({"name": "add", "arguments": {"a": 1}})"));
  EXPECT_TRUE(accepts(vocabulary, grammar, R"({"name":"now","arguments":{}})"));
  for (const char* wrong :
       {R"({"arguments": {"a": 1}, "name": "add"})", R"({"name": "add", "arguments": {}})",
        R"({"name": "now", "arguments": {"a": 1}})", R"({"name": "ad", "arguments": {"a": 1}})",
        R"({"name": "add", "arguments": 3})", R"({"name": "add"})",
        R"({"name": "now", "arguments": {}, "id": 1})"}) {
    EXPECT_FALSE(accepts(vocabulary, grammar, wrong)) << wrong;
  }
}

TEST(JsonSchema, ToolsThatAreRefusedAreNamed) {
  const std::vector<ToolSchema> tools = {{"f", json::parse(R"({"format": "odd"})", "a")}};
  try {
    compile_tool_calls(tools);
    FAIL() << "was not refused";
  } catch (const UnsupportedSchema& error) {
    EXPECT_EQ(error.keyword(), "format");
    EXPECT_THAT(error.what(), HasSubstr("tool \"f\""));
  }
  EXPECT_THROW(compile_tool_calls({}), Error);
}

}  // namespace
}  // namespace axk1
