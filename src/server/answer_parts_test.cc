#include "server/answer_parts.h"

#include <gtest/gtest.h>

namespace axk1 {
namespace {

struct Whole {
  std::string content, calls;
  bool operator==(const Whole&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Whole& w) {
  return out << '[' << w.content << "] [" << w.calls << ']';
}

// The parts put together again, from pieces of `step` bytes.
Whole split(const AnswerForm& form, std::string_view text, size_t step) {
  AnswerSplitter splitter(form);
  Whole whole;
  const auto take = [&](std::vector<AnswerPart>&& parts) {
    for (AnswerPart& part : parts) {
      if (part.kind == AnswerPart::Kind::kContent) whole.content += part.text;
      if (part.kind == AnswerPart::Kind::kToolCall) whole.calls += part.name + '(';
      if (part.kind == AnswerPart::Kind::kToolArguments) whole.calls += part.text;
    }
  };
  for (size_t at = 0; at < text.size(); at += step) take(splitter.push(text.substr(at, step)));
  take(splitter.finish());
  EXPECT_EQ(splitter.called(), !whole.calls.empty());
  return whole;
}

TEST(AnswerSplitter, CallsOrJsonAreDecidedByTheBeginning) {
  const AnswerForm form{.tools = true, .calls_or_json = true};
  const std::string call = R"(<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>)";
  const std::string json = " {\"html\": \"" + std::string("<tool_call>{}</tool_call>") + "\"}";
  for (size_t step : {1u, 2u, 7u, 1000u}) {
    EXPECT_EQ(split(form, "\n" + call, step), (Whole{"", "f({\"a\": 1}"}));
    EXPECT_EQ(split(form, json, step), (Whole{json, ""}));
    EXPECT_EQ(split(form, " \n", step), (Whole{" \n", ""}));
    // Without a form of JSON calls may follow content.
    EXPECT_EQ(split({.tools = true}, "x" + call, step), (Whole{"x", "f({\"a\": 1}"}));
  }
}

}  // namespace
}  // namespace axk1
