#include "grammar/constraints.h"

#include <gtest/gtest.h>

#include "grammar/grammar_test_util.h"
#include "testing/shared_data.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {
namespace {

std::shared_ptr<const Grammar> compile(std::string_view schema) {
  return compile_json_schema(json::parse(schema, "schema"));
}

std::shared_ptr<const Grammar> one_tool() {
  const std::vector<ToolSchema> tools = {
      {"f", json::parse(R"({"type": "object", "properties": {"a": {"type": "integer"}},
                            "required": ["a"], "additionalProperties": false})",
                        "f")}};
  return compile_tool_calls(tools);
}

const std::string kCall = R"(<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>)";

// Bytes of the text that were taken, and whether the answer may end there.
struct Taken {
  size_t bytes;
  bool may_end;
  bool operator==(const Taken&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Taken& t) {
  return out << t.bytes << (t.may_end ? " may end" : " goes on");
}

Taken take(TokenConstraint& constraint, const GrammarVocabulary& vocabulary,
           std::string_view text) {
  const size_t bytes = num_taken(constraint, vocabulary, byte_ids(text));
  return {bytes, allows(constraint, vocabulary, vocabulary.end_ids()[0])};
}

TEST(JsonConstraint, LittleWhiteSpaceEnds) {
  const auto vocabulary = byte_vocabulary({"\n  ", " \""});
  const TokenId indent = 256, blank_quote = 257;
  const auto grammar = compile(R"({"type": "object", "required": ["a b"]})");
  const auto constraint = make_json_constraint(vocabulary, grammar, kPlainJson);
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {'{', '\n'}), 2u);
  EXPECT_TRUE(allows(*constraint, *vocabulary, indent));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {indent}), 1u);
  EXPECT_FALSE(allows(*constraint, *vocabulary, indent));
  EXPECT_FALSE(allows(*constraint, *vocabulary, ' '));
  EXPECT_FALSE(allows(*constraint, *vocabulary, blank_quote));
  EXPECT_TRUE(allows(*constraint, *vocabulary, '"'));
  const auto copy = constraint->clone();
  EXPECT_FALSE(allows(*copy, *vocabulary, ' '));
  // In a string it is text, and counts for nothing.
  EXPECT_EQ(num_taken(*constraint, *vocabulary, byte_ids("\"    a")), 6u);
  EXPECT_TRUE(allows(*constraint, *vocabulary, ' '));
  // Behind the value only the end is left.
  const auto after = make_json_constraint(vocabulary, compile("{}"), kPlainJson);
  EXPECT_EQ(num_taken(*after, *vocabulary, byte_ids("[]  ")), 4u);
  EXPECT_FALSE(allows(*after, *vocabulary, ' '));
  EXPECT_TRUE(allows(*after, *vocabulary, vocabulary->end_ids()[0]));
}

TEST(JsonConstraint, PlainJsonHasNoUnicodeEscapesWhereItCanDoWithout) {
  const auto vocabulary = byte_vocabulary({"\"\\u0", "\\u", "\"\\"});
  const TokenId quote_escape = 256, escape = 257, quote_backslash = 258;
  const auto text = compile(R"({"type": "string"})");
  const auto constraint = make_json_constraint(vocabulary, text, kPlainJson);
  EXPECT_FALSE(allows(*constraint, *vocabulary, quote_escape));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {quote_backslash}), 1u);
  EXPECT_FALSE(allows(*constraint, *vocabulary, 'u'));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {'n', 'u'}), 2u);  // the second is a letter
  EXPECT_FALSE(allows(*constraint, *vocabulary, escape));
  EXPECT_TRUE(allows(*make_json_constraint(vocabulary, text), *vocabulary, quote_escape));
  // Of a name no letter can be written by a short escape, so that none begins.
  const auto name =
      make_json_constraint(vocabulary, compile(R"({"enum": ["city", "a/b"]})"), kPlainJson);
  EXPECT_FALSE(allows(*name, *vocabulary, quote_backslash));
  EXPECT_EQ(num_taken(*name, *vocabulary, {'"', 'a'}), 2u);
  EXPECT_TRUE(allows(*name, *vocabulary, '\\'));
  // A control character cannot be written in another way.
  const auto control =
      make_json_constraint(vocabulary, compile(R"({"const": "\u0001"})"), kPlainJson);
  EXPECT_EQ(num_taken(*control, *vocabulary, byte_ids("\"\\u0001\"")), 8u);
}

TEST(JsonConstraint, TokensThatGoBeyondOneValue) {
  const auto vocabulary = byte_vocabulary(
      {"{\"a\":", "{\"b\":", " 1, \"", "1}\n", "\"}", "\":\"", "서\xec", "\x9a\xb8"});
  const TokenId open_a = 256, open_b = 257, one_more = 258, one_end = 259, quote_end = 260,
                colon = 261, split = 262, rest = 263;
  const auto grammar = compile(
      R"({"type": "object", "properties": {"a": {"type": "integer"}, "s": {"type": "string"}},
          "additionalProperties": false, "required": ["a"]})");
  const auto constraint = make_json_constraint(vocabulary, grammar);
  EXPECT_TRUE(allows(*constraint, *vocabulary, open_a));
  EXPECT_FALSE(allows(*constraint, *vocabulary, open_b));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {open_a}), 1u);
  EXPECT_TRUE(allows(*constraint, *vocabulary, one_more));
  EXPECT_TRUE(allows(*constraint, *vocabulary, one_end));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {one_more}), 1u);
  EXPECT_FALSE(allows(*constraint, *vocabulary, 'a'));  // is there already
  EXPECT_FALSE(allows(*constraint, *vocabulary, colon));
  // A token may end within a character, and the next begin there.
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {'s', colon, split, rest}), 4u);
  EXPECT_FALSE(allows(*constraint, *vocabulary, rest));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {quote_end}), 1u);
  EXPECT_TRUE(allows(*constraint, *vocabulary, vocabulary->end_ids()[0]));
}

TEST(JsonConstraint, EndsOnceAndForAll) {
  const auto vocabulary = byte_vocabulary();
  const TokenId end = vocabulary->end_ids()[0];
  const auto constraint = make_json_constraint(vocabulary, compile(R"({"const": 1})"));
  EXPECT_FALSE(constraint->push(end));
  EXPECT_TRUE(constraint->push('1'));
  EXPECT_TRUE(constraint->push(end));
  EXPECT_FALSE(constraint->push(' '));
  EXPECT_TRUE(allows(*constraint, *vocabulary, end));
  EXPECT_FALSE(allows(*constraint, *vocabulary, ' '));
  EXPECT_FALSE(constraint->push(-1));
  EXPECT_FALSE(constraint->push(100000));
}

std::unique_ptr<TokenConstraint> call_or_number(
    const std::shared_ptr<const GrammarVocabulary>& vocabulary) {
  std::vector<std::unique_ptr<TokenConstraint>> forms;
  forms.push_back(make_tool_constraint(vocabulary, one_tool(), {.required = true}));
  forms.push_back(make_json_constraint(vocabulary, compile(R"({"type": "integer"})")));
  return make_either_constraint(std::move(forms));
}

TEST(EitherConstraint, IsTheFormThatTheAnswerBegins) {
  const auto vocabulary = byte_vocabulary();
  const auto answer = [&](std::string_view text) {
    return take(*call_or_number(vocabulary), *vocabulary, text);
  };
  EXPECT_EQ(answer(kCall), (Taken{kCall.size(), true}));
  EXPECT_EQ(answer("12"), (Taken{2, true}));
  EXPECT_EQ(answer(" \n"), (Taken{2, false}));  // both go on
  EXPECT_EQ(answer("12<tool_call>"), (Taken{2, true}));
  EXPECT_EQ(answer("<tool_call>12"), (Taken{11, false}));
  EXPECT_EQ(answer("x"), (Taken{0, false}));

  const auto constraint = call_or_number(vocabulary);
  std::vector<uint32_t> words(token_mask_words(vocabulary->vocab_size()));
  constraint->allowed(words);
  const std::string first = "<-0123456789 \t\n\r";
  for (int c = 0; c < 256; ++c) {
    EXPECT_EQ((words[size_t(c) / 32] >> (c % 32) & 1) != 0,
              first.find(char(c)) != std::string::npos)
        << c;
  }
  const auto copy = constraint->clone();
  EXPECT_TRUE(copy->push('<'));
  EXPECT_FALSE(copy->push('1'));
  EXPECT_TRUE(constraint->push('1'));
  EXPECT_FALSE(constraint->push('<'));
}

TEST(JsonConstraint, ClonesAreIndependent) {
  const auto vocabulary = byte_vocabulary();
  const auto constraint = make_json_constraint(vocabulary, compile("{}"));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, byte_ids(R"({"key": [1, {"a)")), 15u);
  const auto clone = constraint->clone();
  EXPECT_EQ(take(*clone, *vocabulary, R"(b": 2}]})"), (Taken{8, true}));
  EXPECT_EQ(take(*constraint, *vocabulary, R"(": null, "ab": 3}], "key)"), (Taken{24, false}));
  EXPECT_FALSE(allows(*constraint, *vocabulary, '"'));  // "key" was there
  EXPECT_FALSE(allows(*clone, *vocabulary, ']'));
}

// A mask must be that of every token tried alone, wherever it comes from.
TEST(JsonConstraint, MasksAgreeWithTokensTriedOneByOneSlow) {
  const Tokenizer tokenizer = Tokenizer::load(testing::testdata("../models/nano-v0"));
  const TokenId end = tokenizer.find("<|im_end|>").value();
  const auto vocabulary =
      std::make_shared<const GrammarVocabulary>(tokenizer, std::vector<TokenId>{end});
  const std::string schema = R"({"type": "object", "properties": {
      "free": {"type": "string"}, "short": {"type": "string", "maxLength": 7},
      "words": {"type": "string", "pattern": "^[a-z]+( [a-z]+)*$", "maxLength": 60},
      "id": {"type": "string", "pattern": "^[^-]{2}-\\d+$"}, "kind": {"enum": ["tool", "total", "x"]},
      "n": {"type": "number", "minimum": -1, "maximum": 250}, "any": {}},
      "patternProperties": {"^x-": {"type": "null"}}, "additionalProperties": false})";
  const std::string text =
      R"({"free": "서울 \"a\" \u00e9", "short": "abcd\n한", "words": "the quick fox", "id": )"
      R"("ab-12", "kind": "total", "x-한글": null, "n": 12.5, "any": {"a": [1, "b"], "x": {}}})";
  const auto constraint = make_json_constraint(vocabulary, compile(schema));
  std::vector<uint32_t> words(token_mask_words(vocabulary->vocab_size()));
  std::vector<TokenId> ids = tokenizer.encode(text, {.parse_special = false});
  ids.push_back(end);
  for (TokenId id : ids) {
    constraint->allowed(words);
    for (size_t i = 0; i < vocabulary->vocab_size(); i += i < 600 ? 1 : 13) {
      const auto token = static_cast<TokenId>(i);
      const bool allowed = words[i / 32] >> (i % 32) & 1;
      const auto trial = constraint->clone();
      ASSERT_EQ(trial->push(token), allowed)
          << token << " \"" << tokenizer.token_bytes(token) << "\" before " << id;
    }
    ASSERT_TRUE(constraint->push(id)) << tokenizer.token_bytes(id);
  }
}

TEST(ToolConstraint, AutoIsFreeUntilACallBegins) {
  const auto vocabulary =
      byte_vocabulary({"<tool_call>", "</tool_call>", "<tool_call>[", "call>{"});
  const TokenId open = 256, close = 257, open_wrong = 258, call_brace = 259;
  const auto constraint = make_tool_constraint(vocabulary, one_tool(), {});
  EXPECT_FALSE(constraint->allows_all());  // one token begins a call as no call begins
  EXPECT_EQ(take(*constraint, *vocabulary, "Let < me <tool_ see"), (Taken{19, true}));
  EXPECT_FALSE(allows(*constraint, *vocabulary, open_wrong));
  EXPECT_TRUE(allows(*constraint, *vocabulary, open));
  EXPECT_EQ(take(*constraint, *vocabulary, "\n<tool_"), (Taken{7, true}));
  EXPECT_TRUE(allows(*constraint, *vocabulary, call_brace));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {call_brace}), 1u);
  EXPECT_EQ(take(*constraint, *vocabulary, "\"name\": \"f\", \"arguments\": {\"a\": 12}}"),
            (Taken{36, false}));
  EXPECT_FALSE(allows(*constraint, *vocabulary, 'x'));
  EXPECT_TRUE(allows(*constraint, *vocabulary, '\n'));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {'\n', close}), 2u);
  EXPECT_EQ(take(*constraint, *vocabulary, "and then " + kCall), (Taken{9 + kCall.size(), true}));
}

TEST(ToolConstraint, WithoutMarksInTheVocabularyNothingIsInTheWay) {
  const auto vocabulary = byte_vocabulary();
  const auto constraint = make_tool_constraint(vocabulary, one_tool(), {});
  EXPECT_TRUE(constraint->allows_all());
  EXPECT_EQ(take(*constraint, *vocabulary, kCall), (Taken{kCall.size(), true}));
  EXPECT_TRUE(constraint->allows_all());
}

TEST(ToolConstraint, RequiredBeginsWithACall) {
  const auto vocabulary = byte_vocabulary({"<tool_call>"});
  ToolConstraintOptions options;
  options.required = true;
  const auto constraint = make_tool_constraint(vocabulary, one_tool(), options);
  EXPECT_FALSE(allows(*constraint, *vocabulary, vocabulary->end_ids()[0]));
  EXPECT_FALSE(allows(*constraint, *vocabulary, 'L'));
  EXPECT_TRUE(allows(*constraint, *vocabulary, 256));
  EXPECT_EQ(take(*constraint, *vocabulary, "\n" + kCall), (Taken{1 + kCall.size(), true}));
  EXPECT_FALSE(allows(*constraint, *vocabulary, 'L'));
  EXPECT_EQ(take(*constraint, *vocabulary, "\n<tool_call>{"), (Taken{13, false}));
}

TEST(ToolConstraint, NotParallelEndsAfterOne) {
  const auto vocabulary = byte_vocabulary();
  for (bool required : {false, true}) {
    ToolConstraintOptions options;
    options.required = required;
    options.parallel = false;
    const auto constraint = make_tool_constraint(vocabulary, one_tool(), options);
    EXPECT_EQ(take(*constraint, *vocabulary, kCall), (Taken{kCall.size(), true}));
    EXPECT_FALSE(allows(*constraint, *vocabulary, '<'));
    EXPECT_FALSE(allows(*constraint, *vocabulary, 'x'));
    EXPECT_TRUE(allows(*constraint, *vocabulary, '\n'));
  }
}

TEST(ToolConstraint, MarksAreNoPartOfJson) {
  const Tokenizer tokenizer = Tokenizer::load(testing::testdata("../models/nano-v0"));
  const TokenId end = tokenizer.find("<|im_end|>").value();
  const TokenId open = tokenizer.find("<tool_call>").value();
  const TokenId close = tokenizer.find("</tool_call>").value();
  const auto vocabulary =
      std::make_shared<const GrammarVocabulary>(tokenizer, std::vector<TokenId>{end});
  const std::vector<ToolSchema> tools = {{"f", json::parse("{}", "f")}};
  ToolConstraintOptions options;
  options.required = true;
  const auto constraint = make_tool_constraint(vocabulary, compile_tool_calls(tools), options);
  EXPECT_TRUE(constraint->push(open));
  for (TokenId id : tokenizer.encode("\n{\"name\": \"f\", \"arguments\": {\"a\": \"x")) {
    ASSERT_TRUE(allows(*constraint, *vocabulary, id)) << tokenizer.token_bytes(id);
    ASSERT_TRUE(constraint->push(id));
  }
  EXPECT_FALSE(allows(*constraint, *vocabulary, close));
  EXPECT_FALSE(allows(*constraint, *vocabulary, end));
  EXPECT_FALSE(constraint->push(close));
  for (TokenId id : tokenizer.encode("\"}}\n")) ASSERT_TRUE(constraint->push(id));
  EXPECT_TRUE(allows(*constraint, *vocabulary, close));
  EXPECT_TRUE(constraint->push(close));
  EXPECT_TRUE(allows(*constraint, *vocabulary, end));
}

TEST(ThinkingConstraint, InnerBeginsBehindTheMark) {
  const auto vocabulary = byte_vocabulary({"</think>", "</think>[", "think>{", "</think>\n"});
  ThinkingOptions options;
  options.in_reasoning = true;
  const auto constraint = make_thinking_constraint(
      vocabulary, options, make_json_constraint(vocabulary, compile(R"({"type": "object"})")));
  EXPECT_EQ(take(*constraint, *vocabulary, "a < b, {\"x\" </th </"), (Taken{19, false}));
  EXPECT_TRUE(allows(*constraint, *vocabulary, 256));
  EXPECT_FALSE(allows(*constraint, *vocabulary, 257));
  EXPECT_TRUE(allows(*constraint, *vocabulary, 259));
  EXPECT_TRUE(allows(*constraint, *vocabulary, 258));
  const auto clone = constraint->clone();
  EXPECT_EQ(num_taken(*clone, *vocabulary, {259}), 1u);
  EXPECT_EQ(take(*clone, *vocabulary, "{}"), (Taken{2, true}));
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {258}), 1u);
  EXPECT_FALSE(allows(*constraint, *vocabulary, 'a'));
  EXPECT_EQ(take(*constraint, *vocabulary, "\"a\": 1}"), (Taken{7, true}));
}

TEST(ThinkingConstraint, StartsAtOnceWhereThePromptHasClosedIt) {
  const auto vocabulary = byte_vocabulary();
  const auto constraint = make_thinking_constraint(
      vocabulary, {}, make_json_constraint(vocabulary, compile(R"({"type": "object"})")));
  EXPECT_EQ(take(*constraint, *vocabulary, "<"), (Taken{0, false}));
  EXPECT_EQ(take(*constraint, *vocabulary, "{}"), (Taken{2, true}));
}

TEST(ThinkingConstraint, TheAnswerMayOpenItsReasoning) {
  const auto vocabulary = byte_vocabulary({"<think>\n"});
  ThinkingOptions options;
  options.may_open = true;
  const auto make = [&] {
    return make_thinking_constraint(
        vocabulary, options, make_json_constraint(vocabulary, compile(R"({"type": "object"})")));
  };
  EXPECT_EQ(take(*make(), *vocabulary, "\n<think>x</think>\n{}"), (Taken{20, true}));
  EXPECT_EQ(take(*make(), *vocabulary, " {}"), (Taken{3, true}));
  EXPECT_EQ(take(*make(), *vocabulary, "<thin{"), (Taken{5, false}));
  const auto constraint = make();
  EXPECT_EQ(num_taken(*constraint, *vocabulary, {256, 'h', 'm'}), 3u);
}

TEST(ThinkingConstraint, BudgetLeavesOnlyTheMark) {
  ThinkingOptions options;
  options.in_reasoning = true;
  options.budget = 3;
  const auto bytes = byte_vocabulary();
  for (bool constrained : {false, true}) {
    const auto constraint = make_thinking_constraint(
        bytes, options,
        constrained ? make_json_constraint(bytes, compile(R"({"type": "object"})")) : nullptr);
    EXPECT_EQ(take(*constraint, *bytes, "ab<"), (Taken{3, false}));
    EXPECT_EQ(take(*constraint, *bytes, "b"), (Taken{0, false}));
    EXPECT_EQ(take(*constraint, *bytes, "/think>{}"), (Taken{9, true}));
    EXPECT_EQ(constraint->allows_all(), !constrained);
  }
  // With a token of its own, that token alone.
  const auto vocabulary = byte_vocabulary({"</think>"});
  const auto constraint = make_thinking_constraint(vocabulary, options, nullptr);
  EXPECT_TRUE(constraint->allows_all());
  EXPECT_EQ(take(*constraint, *vocabulary, "abc"), (Taken{3, false}));
  EXPECT_FALSE(constraint->allows_all());
  EXPECT_FALSE(allows(*constraint, *vocabulary, '<'));
  EXPECT_TRUE(allows(*constraint, *vocabulary, 256));
  EXPECT_TRUE(constraint->push(256));
  EXPECT_TRUE(constraint->allows_all());
}

TEST(ThinkingConstraint, ToolsBehindReasoning) {
  const auto vocabulary = byte_vocabulary();
  ThinkingOptions options;
  options.in_reasoning = true;
  ToolConstraintOptions tools;
  tools.required = true;
  const auto constraint = make_thinking_constraint(
      vocabulary, options, make_tool_constraint(vocabulary, one_tool(), tools));
  const std::string text = "I call <tool_call>.</think>\n\n" + kCall;
  EXPECT_EQ(take(*constraint, *vocabulary, text), (Taken{text.size(), true}));
}

}  // namespace
}  // namespace axk1
