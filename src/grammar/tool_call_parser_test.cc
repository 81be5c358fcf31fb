#include "grammar/tool_call_parser.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

// Events as one line of text, whatever pieces they came in.
std::string summary(std::string_view text, bool streamed, size_t piece) {
  ToolCallParserOptions options;
  options.streamed = streamed;
  ToolCallParser parser(options);
  std::vector<ToolCallEvent> events;
  const auto take = [&](std::vector<ToolCallEvent> more) {
    for (ToolCallEvent& event : more) {
      EXPECT_TRUE(is_valid_utf8(event.text));
      const bool joins = !events.empty() && events.back().kind == event.kind &&
                         event.kind != ToolCallEvent::Kind::kEnd;
      if (joins) {
        events.back().text += event.text;
      } else {
        events.push_back(std::move(event));
      }
    }
  };
  for (size_t at = 0; at < text.size(); at += piece) take(parser.push(text.substr(at, piece)));
  take(parser.finish());
  std::string out;
  for (const ToolCallEvent& event : events) {
    switch (event.kind) {
      case ToolCallEvent::Kind::kContent:
        out += cat("[", event.text, "]");
        break;
      case ToolCallEvent::Kind::kBegin:
        out += cat("#", event.call_idx, " ", event.text, "(");
        break;
      case ToolCallEvent::Kind::kArguments:
        out += event.text;
        break;
      case ToolCallEvent::Kind::kEnd:
        out += event.complete ? ")" : "...";
        break;
    }
  }
  return out;
}

// The same for every size of pieces.
std::string parsed(std::string_view text, bool streamed = false) {
  const std::string whole = summary(text, streamed, text.size() + 1);
  for (size_t piece : {1, 2, 3, 5, 7}) EXPECT_EQ(summary(text, streamed, piece), whole) << piece;
  return whole;
}

TEST(ToolCallParser, ContentAloneIsUntouched) {
  EXPECT_EQ(parsed(" hello <tool> \n"), "[ hello <tool> \n]");
  EXPECT_EQ(parsed("a <tool_call"), "[a <tool_call]");
  EXPECT_EQ(parsed("안녕 😀"), "[안녕 😀]");
  EXPECT_EQ(parsed(""), "");
}

TEST(ToolCallParser, OneCall) {
  const std::string text =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, {\"b\": \"}]\"}]}}\n</tool_call>";
  EXPECT_EQ(parsed(text), "#0 f({\"a\": [1, {\"b\": \"}]\"}]})");
  EXPECT_EQ(parsed(text, true), "#0 f({\"a\": [1, {\"b\": \"}]\"}]})");
}

TEST(ToolCallParser, WhiteSpaceAroundCallsIsDropped) {
  const std::string call = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
  EXPECT_EQ(parsed("Let me see.\n\n" + call + "\n" + call + "\n\nDone. "),
            "[Let me see.]#0 f({})#1 f({})[Done. ]");
  EXPECT_EQ(parsed("\n" + call + "\n"), "#0 f({})");
}

TEST(ToolCallParser, NameBehindArgumentsAndOtherKeys) {
  for (bool streamed : {false, true}) {
    EXPECT_EQ(parsed("<tool_call>{\"arguments\": {\"name\": \"x\"}, \"id\": [\"name\"], "
                     "\"na\\u006de\": \"g\"} </tool_call>",
                     streamed),
              "#0 g({\"name\": \"x\"})");
  }
}

TEST(ToolCallParser, MissingArgumentsAreNone) {
  EXPECT_EQ(parsed("<tool_call>{\"name\": \"f\"}</tool_call>"), "#0 f({})");
  EXPECT_EQ(parsed("<tool_call>{\"name\": \"f\"}</tool_call>", true), "#0 f({})");
}

TEST(ToolCallParser, NonAsciiArgumentsComeInWholeCharacters) {
  EXPECT_EQ(parsed("<tool_call>{\"name\": \"날씨\", \"arguments\": {\"도시\": \"서울 😀\"}}"
                   "</tool_call>",
                   true),
            "#0 날씨({\"도시\": \"서울 😀\"})");
}

TEST(ToolCallParser, WhatIsNoCallIsContent) {
  for (const char* text :
       {"a \n<tool_call>nothing</tool_call> b", "<tool_call>{\"name\": 3}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": \"x\"}</tool_call>",
        "<tool_call>{\"arguments\": {}}</tool_call>", "<tool_call>[1]</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": {}} and </tool_call>",
        "<tool_call>{\"name\": \"f\", \"name\": \"g\"}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": tru}}</tool_call>"}) {
    EXPECT_EQ(parsed(text), cat("[", text, "]"));
  }
}

TEST(ToolCallParser, ACallBehindWhatIsNone) {
  EXPECT_EQ(parsed("x <tool_call><tool_call>{\"name\": \"f\"}</tool_call>"),
            "[x <tool_call>]#0 f({})");
  EXPECT_EQ(parsed("<tool_call>{\"name\": \"<tool_call>{\\\"name\\\"!"),
            "[<tool_call>{\"name\": \"<tool_call>{\\\"name\\\"!]");
}

TEST(ToolCallParser, CutShort) {
  // Held back: content. Streamed: what has come of the arguments.
  const std::string text = "a\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"서";
  EXPECT_EQ(parsed(text), "[" + text + "]");
  EXPECT_EQ(parsed(text, true), "[a]#0 f({\"a\": \"서...");
  EXPECT_EQ(parsed("<tool_call>\n", true), "[<tool_call>\n]");
  // Only the mark is missing, or a part of it.
  EXPECT_EQ(parsed("<tool_call>{\"name\": \"f\"}\n"), "#0 f({})");
  EXPECT_EQ(parsed("<tool_call>{\"name\": \"f\"}\n</tool_c"), "#0 f({})");
}

TEST(ToolCallParser, StreamedCallsThatGoWrongLoseNothing) {
  EXPECT_EQ(parsed("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": oops} x", true),
            "#0 f({\"a\": ...[oops} x]");
  EXPECT_EQ(parsed("<tool_call>{\"name\": \"f\", \"arguments\": {}}<tool_call>"
                   "{\"name\": \"g\"}</tool_call>",
                   true),
            "#0 f({})#1 g({})");
}

TEST(ToolCallParser, ArgumentsComeAsTheyAreWritten) {
  ToolCallParserOptions options;
  options.streamed = true;
  ToolCallParser parser(options);
  EXPECT_TRUE(parser.push("<tool_call>{\"name\"").empty());
  const std::vector<ToolCallEvent> begin = parser.push(": \"f\", \"arguments\":");
  ASSERT_EQ(begin.size(), 1u);
  EXPECT_EQ(begin[0].kind, ToolCallEvent::Kind::kBegin);
  EXPECT_EQ(parser.num_calls(), 1u);
  const std::vector<ToolCallEvent> more = parser.push(" {\"a\": 1");
  ASSERT_EQ(more.size(), 1u);
  EXPECT_EQ(more[0].text, "{\"a\": 1");
  const std::vector<ToolCallEvent> rest = parser.push("2}}</tool_call>");
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].text, "2}");
  EXPECT_EQ(rest[1].kind, ToolCallEvent::Kind::kEnd);
}

}  // namespace
}  // namespace axk1
