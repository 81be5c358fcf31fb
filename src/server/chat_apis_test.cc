// The responses API and Anthropic's messages, and tool calls and constraints in all chat APIs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/anthropic_messages.h"
#include "server/openai_chat.h"
#include "server/openai_responses.h"
#include "server/server_test_util.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using namespace testing;  // NOLINT: the helpers of this test
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const TestModel& test_model() {
  static const TestModel model(testdata("../models/nano-v0"));
  return model;
}

using Prepare = PreparedRequest(const json::value&, const RequestScope&);

PreparedRequest prepare(Prepare* function, const std::string& body) {
  return function(json::parse(body, "request"),
                  {.model = &test_model().model, .id = "id1", .now = 1234, .seed = 5});
}

ApiError error_of(Prepare* function, const std::string& body) {
  try {
    prepare(function, body);
  } catch (const std::exception& error) {
    return api_error_of(error);
  }
  return ApiError(0, "", "taken");
}

std::string prompt_of(const PreparedRequest& request) {
  return test_model().tokenizer.decode(request.inputs[0].prompt);
}

void push_all(PreparedRequest& request, const std::vector<std::string>& texts, std::string& out,
              FinishReason end = FinishReason::kStop) {
  size_t tokens = 0;
  for (CompletionDelta& delta : deltas_of(texts, end)) {
    delta.usage = {.prompt_tokens = 14, .cached_tokens = 4, .completion_tokens = ++tokens};
    request.writer->push(0, std::move(delta), out);
  }
}

struct Event {
  std::string name;
  json::value data;
};
std::vector<Event> stream_of(PreparedRequest& request, const std::vector<std::string>& texts,
                             FinishReason end = FinishReason::kStop) {
  std::string out;
  request.writer->begin(out);
  push_all(request, texts, out, end);
  request.writer->end(out);
  std::vector<Event> events;
  for (size_t at = 0; at < out.size();) {
    const size_t stop = out.find("\n\n", at);
    const size_t line = out.find('\n', at);
    events.push_back({out.substr(at + 7, line - at - 7),
                      json::parse(out.substr(line + 7, stop - line - 7), "event")});
    EXPECT_EQ(events.back().data.at("type"), json::value(events.back().name));
    at = stop + 2;
  }
  return events;
}

std::vector<std::string> names_of(const std::vector<Event>& events) {
  std::vector<std::string> names;
  for (const Event& event : events) {
    // Deltas come in any number.
    if (!names.empty() && names.back() == event.name && event.name.ends_with("delta")) continue;
    names.push_back(event.name);
  }
  return names;
}

const std::string kTools = R"("tools": [{"type": "function", "function": {"name": "weather",
  "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                 "required": ["city"], "additionalProperties": false}}}])";
const std::vector<std::string> kCall = {"<tool_call>\n{\"name\": \"wea",
                                        "ther\", \"arguments\": {\"ci",
                                        "ty\": \"서",
                                        "울\"}}\n</tool",
                                        "_call>",
                                        ""};

TEST(ChatTools, CallsComeApartAndInPieces) {
  PreparedRequest request =
      prepare(prepare_chat, R"({"messages": [{"role": "user", "content": "x"}], "stream": true, )" +
                                kTools + "}");
  EXPECT_NE(request.inputs[0].constraint, nullptr);
  EXPECT_THAT(prompt_of(request), HasSubstr("weather"));
  std::string out, arguments, finish;
  request.writer->begin(out);
  push_all(request, kCall, out);
  request.writer->end(out);
  size_t beginnings = 0;
  for (size_t at = 0; at < out.size();) {
    const size_t end = out.find("\n\n", at);
    const std::string event = out.substr(at + 6, end - at - 6);
    at = end + 2;
    if (event == "[DONE]") break;
    const json::value chunk = json::parse(event, "event");
    const json::object& choice = chunk.at("choices").at(0).as_object();
    if (choice.at("finish_reason").is_string()) finish = choice.at("finish_reason").as_string();
    const json::value* calls = choice.at("delta").as_object().if_contains("tool_calls");
    if (!calls) continue;
    const json::object& call = calls->at(0).as_object();
    EXPECT_EQ(call.at("index"), 0);
    if (call.contains("id")) {
      ++beginnings;
      EXPECT_EQ(call.at("type"), "function");
      EXPECT_EQ(call.at("function").at("name"), "weather");
    }
    arguments += call.at("function").at("arguments").as_string();
  }
  EXPECT_EQ(beginnings, 1u);
  EXPECT_EQ(arguments, R"({"city": "서울"})");
  EXPECT_EQ(finish, "tool_calls");

  PreparedRequest whole =
      prepare(prepare_chat, R"({"messages": [{"role": "user", "content": "x"}], )" + kTools + "}");
  std::string unused;
  push_all(whole, kCall, unused);
  const json::object answer = whole.writer->whole();
  const json::value& message = answer.at("choices").at(0).at("message");
  EXPECT_TRUE(message.at("content").is_null());
  EXPECT_EQ(message.at("tool_calls").at(0).at("function").at("arguments"), R"({"city": "서울"})");
}

TEST(ChatTools, ConstraintsFollowTheChoice) {
  const auto constraint = [](const std::string& fields) {
    return std::move(
        prepare(prepare_chat, R"({"messages": [{"role": "user", "content": "x"}], )" + fields + "}")
            .inputs[0]
            .constraint);
  };
  const auto takes = [](TokenConstraint& c, const std::string& text) {
    for (const TokenId id : test_model().tokenizer.encode(text)) {
      if (!c.push(id)) return false;
    }
    return true;
  };
  EXPECT_TRUE(takes(*constraint(kTools), "그냥 말"));
  EXPECT_FALSE(takes(*constraint(kTools + R"(, "tool_choice": "required")"), "그냥 말"));
  EXPECT_TRUE(takes(*constraint(kTools + R"(, "tool_choice": "required")"),
                    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"서울\"}}"));
  EXPECT_FALSE(takes(*constraint(kTools + R"(, "tool_choice": "required")"),
                     "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"town\""));
  EXPECT_EQ(constraint(kTools + R"(, "tool_choice": "none")"), nullptr);
  EXPECT_TRUE(takes(*constraint(R"("response_format": {"type": "json_object"})"), "{\"a\": 1}"));
  EXPECT_FALSE(takes(*constraint(R"("response_format": {"type": "json_object"})"), "네"));
  EXPECT_FALSE(takes(*constraint(R"("response_format": {"type": "json_schema", "json_schema":
                         {"name": "n", "schema": {"type": "integer"}}})"),
                     "{"));
  // Both: calls alone or JSON alone; only calls where one is demanded.
  const std::string number = R"(, "response_format": {"type": "json_schema", "json_schema":
                         {"name": "n", "schema": {"type": "integer"}}})";
  const std::string call =
      "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"서울\"}}\n</tool_call>";
  EXPECT_TRUE(takes(*constraint(kTools + number), "12"));
  EXPECT_TRUE(takes(*constraint(kTools + number), call));
  EXPECT_FALSE(takes(*constraint(kTools + number), "12" + call));
  EXPECT_FALSE(takes(*constraint(kTools + number), "그냥"));
  const std::string demanded = R"(, "tool_choice": "required")";
  EXPECT_FALSE(takes(*constraint(kTools + number + demanded), "12"));
  EXPECT_TRUE(takes(*constraint(kTools + number + demanded), call));
  EXPECT_TRUE(takes(*constraint(kTools + number + R"(, "tool_choice": "none")"), "12"));
  // A budget of two tokens: the third must close the reasoning.
  const auto budget = constraint(R"("enable_thinking": true, "thinking_budget": 2)");
  const std::vector<TokenId> words = test_model().tokenizer.encode("가나다라마바사");
  ASSERT_GE(words.size(), 3u);
  EXPECT_TRUE(budget->push(words[0]) && budget->push(words[1]));
  EXPECT_FALSE(budget->push(words[2]));
}

TEST(ChatTools, SchemasThatCannotBeAreRefusedByField) {
  const std::string start = R"({"messages": [{"role": "user", "content": "x"}], )";
  const ApiError unknown =
      error_of(prepare_chat, start + R"("response_format": {"type": "json_schema", "json_schema":
               {"name": "n", "schema": {"type": "nothing"}}}})");
  EXPECT_EQ(unknown.status(), 400);
  EXPECT_EQ(unknown.param(), "response_format");
  const ApiError tools =
      error_of(prepare_chat, start + R"("tools": [{"type": "function", "function":
               {"name": "f", "parameters": {"type": 5}}}]})");
  EXPECT_EQ(tools.status(), 400);
  EXPECT_EQ(tools.param(), "tools");
}

TEST(OpenAiResponses, ItemsBecomeAConversation) {
  const PreparedRequest request = prepare(prepare_responses, R"({"instructions": "짧게", "input": [
      {"role": "user", "content": [{"type": "input_text", "text": "날씨?"}]},
      {"type": "reasoning", "summary": []},
      {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\": \"서울\"}"},
      {"type": "function_call_output", "call_id": "c1", "output": "맑음"}],
    "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]})");
  const std::string prompt = prompt_of(request);
  EXPECT_THAT(prompt, HasSubstr("<|im_start|>system\n짧게"));
  EXPECT_THAT(prompt, HasSubstr("<|im_start|>user\n날씨?<|im_end|>"));
  EXPECT_THAT(prompt, HasSubstr("<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": "
                                "\"서울\"}}\n</tool_call><|im_end|>"));
  EXPECT_THAT(prompt, HasSubstr("<tool_response>\n맑음\n</tool_response>"));
}

TEST(OpenAiResponses, EventsOfReasoningTextAndCalls) {
  PreparedRequest request = prepare(
      prepare_responses, R"({"input": "안녕", "stream": true, "reasoning": {"effort": "high"},
        "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]})");
  std::vector<std::string> texts = {"음", "\n</think>\n\n", "네", ". "};
  texts.insert(texts.end(), kCall.begin(), kCall.end());
  const std::vector<Event> events = stream_of(request, texts);
  EXPECT_THAT(
      names_of(events),
      ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                  "response.content_part.added", "response.reasoning_text.delta",
                  "response.reasoning_text.done", "response.content_part.done",
                  "response.output_item.done", "response.output_item.added",
                  "response.content_part.added", "response.output_text.delta",
                  "response.output_text.done", "response.content_part.done",
                  "response.output_item.done", "response.output_item.added",
                  "response.function_call_arguments.delta", "response.function_call_arguments.done",
                  "response.output_item.done", "response.completed"));
  std::string open_item;
  for (size_t i = 0; i < events.size(); ++i) {
    const json::object& data = events[i].data.as_object();
    EXPECT_EQ(data.at("sequence_number"), json::value(i));
    if (events[i].name == "response.output_item.added") {
      open_item = data.at("item").at("id").as_string();
    }
    if (const json::value* id = data.if_contains("item_id")) {
      EXPECT_EQ(*id, json::value(open_item));
    }
  }
  const json::value& response = events.back().data.at("response");
  const json::array& output = response.at("output").as_array();
  ASSERT_EQ(output.size(), 3u);
  EXPECT_EQ(output[0].at("content").at(0).at("text"), "음");
  EXPECT_EQ(output[1].at("content").at(0).at("text"), "네.");
  EXPECT_EQ(output[2].at("arguments"), R"({"city": "서울"})");
  EXPECT_EQ(response.at("status"), "completed");
  EXPECT_EQ(response.at("usage").at("input_tokens_details").at("cached_tokens"), 4);
}

TEST(OpenAiResponses, CutAnswersAreIncomplete) {
  PreparedRequest request =
      prepare(prepare_responses, R"({"input": "안녕", "max_output_tokens": 2})");
  EXPECT_EQ(request.inputs[0].generate.max_tokens, 2u);
  std::string unused;
  push_all(request, {"안", "녕"}, unused, FinishReason::kLength);
  const json::object response = request.writer->whole();
  EXPECT_EQ(response.at("status"), "incomplete");
  EXPECT_EQ(response.at("incomplete_details").at("reason"), "max_output_tokens");
  EXPECT_EQ(response.at("output").at(0).at("content").at(0).at("text"), "안녕");
}

TEST(OpenAiResponses, WhatIsNotComputedIsRefusedByName) {
  for (const char* field :
       {R"("previous_response_id": "resp_1")", R"("conversation": "c")", R"("background": true)",
        R"("truncation": "auto")", R"("tools": [{"type": "web_search"}])"}) {
    const ApiError error =
        error_of(prepare_responses, std::string(R"({"input": "x", )") + field + "}");
    EXPECT_EQ(error.status(), 400) << field;
    EXPECT_THAT(field, HasSubstr(error.param())) << field;
  }
}

TEST(AnthropicMessages, BlocksBecomeAConversation) {
  const PreparedRequest request = prepare(prepare_messages, R"({"max_tokens": 50,
    "system": [{"type": "text", "text": "짧게"}], "stop_sequences": ["끝"], "messages": [
      {"role": "user", "content": "날씨?"},
      {"role": "assistant", "content": [{"type": "thinking", "thinking": "음", "signature": ""},
         {"type": "text", "text": "볼게요"},
         {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "서울"}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1",
         "content": [{"type": "text", "text": "맑음"}]}, {"type": "text", "text": "그래?"}]}],
    "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}})");
  const std::string prompt = prompt_of(request);
  EXPECT_THAT(prompt, HasSubstr("볼게요\n<tool_call>\n{\"name\": \"weather\", \"arguments\": "
                                "{\"city\": \"서울\"}}\n</tool_call><|im_end|>"));
  EXPECT_THAT(prompt, HasSubstr("<tool_response>\n맑음\n</tool_response>"));
  EXPECT_THAT(prompt, HasSubstr("<|im_start|>user\n그래?<|im_end|>"));
  EXPECT_EQ(request.inputs[0].generate.max_tokens, 50u);
  EXPECT_THAT(request.inputs[0].generate.stop, ElementsAre("끝"));
}

TEST(AnthropicMessages, EventsOfThinkingTextAndCalls) {
  PreparedRequest request = prepare(prepare_messages, R"({"max_tokens": 50, "stream": true,
    "messages": [{"role": "user", "content": "x"}], "thinking": {"type": "enabled",
    "budget_tokens": 1024}, "tools": [{"name": "weather", "input_schema": {"type": "object"}}]})");
  std::vector<std::string> texts = {"음", "\n</think>\n\n", "네", ". "};
  texts.insert(texts.end(), kCall.begin(), kCall.end());
  const std::vector<Event> events = stream_of(request, texts);
  EXPECT_THAT(names_of(events),
              ElementsAre("message_start", "ping", "content_block_start", "content_block_delta",
                          "content_block_stop", "content_block_start", "content_block_delta",
                          "content_block_stop", "content_block_start", "content_block_delta",
                          "content_block_stop", "message_delta", "message_stop"));
  EXPECT_TRUE(events[0].data.at("message").at("stop_reason").is_null());
  std::string partial;
  for (const Event& event : events) {
    if (event.name != "content_block_delta") continue;
    const json::object& delta = event.data.at("delta").as_object();
    if (delta.at("type") != "input_json_delta") continue;
    EXPECT_EQ(event.data.at("index"), 2);
    partial += delta.at("partial_json").as_string();
  }
  EXPECT_EQ(partial, R"({"city": "서울"})");
  const json::value& end = events[events.size() - 2].data;
  EXPECT_EQ(end.at("delta").at("stop_reason"), "tool_use");
  EXPECT_EQ(end.at("usage").at("output_tokens"), 10);
  EXPECT_EQ(end.at("usage").at("cache_read_input_tokens"), 4);
}

TEST(AnthropicMessages, StopReasons) {
  const auto stop_of = [](const std::vector<TokenId>& ids, FinishReason reason) {
    PreparedRequest request = prepare(prepare_messages, R"({"max_tokens": 5,
      "stop_sequences": ["END", "끝"], "messages": [{"role": "user", "content": "x"}]})");
    CompletionDelta delta;
    delta.ids = ids;
    delta.finish_reason = reason;
    std::string unused;
    request.writer->push(0, std::move(delta), unused);
    const json::object answer = request.writer->whole();
    return json::to_text(answer.at("stop_reason")) + json::to_text(answer.at("stop_sequence"));
  };
  const Tokenizer& tokenizer = test_model().tokenizer;
  EXPECT_EQ(stop_of(tokenizer.encode("네 끝"), FinishReason::kStop), R"("stop_sequence""끝")");
  EXPECT_EQ(stop_of(tokenizer.encode("네"), FinishReason::kStop), R"("end_turn"null)");
  EXPECT_EQ(stop_of(tokenizer.encode("네"), FinishReason::kLength), R"("max_tokens"null)");
}

TEST(AnthropicMessages, WrongRequestsNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"messages": [{"role": "user", "content": "x"}]})", "max_tokens"},
      {R"({"max_tokens": 5})", "messages"},
      {R"({"max_tokens": 5, "messages": [{"role": "assistant", "content": "x"}]})", "messages"},
      {R"({"max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "image"}]}]})",
       "messages"},
      {R"({"max_tokens": 5, "messages": [{"role": "user", "content": "x"}],
          "tools": [{"type": "web_search_20250305", "name": "w"}]})",
       "tools"},
      {R"({"max_tokens": 5, "messages": [{"role": "user", "content": "x"}],
          "mcp_servers": [{}]})",
       "mcp_servers"},
      {R"({"max_tokens": 5, "messages": [{"role": "user", "content": "x"}],
          "thinking": {"type": "maybe"}})",
       "thinking"},
  };
  for (const auto& [body, param] : cases) {
    const ApiError error = error_of(prepare_messages, body);
    EXPECT_EQ(error.status(), 400) << body;
    EXPECT_EQ(error.param(), param) << body << error.what();
  }
}

TEST(AnthropicMessages, TokensAreCounted) {
  const json::object count = count_message_tokens(
      json::parse(R"({"messages": [{"role": "user", "content": "안녕"}]})", "request"),
      test_model().model);
  const PreparedRequest request = prepare(
      prepare_messages, R"({"max_tokens": 5, "messages": [{"role": "user", "content": "안녕"}]})");
  EXPECT_EQ(count.at("input_tokens"), json::value(request.prompt_tokens));
}

}  // namespace
}  // namespace axk1
