#include "server/openai_chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

RequestScope scope() {
  return {.model = &test_model().model, .tenant = "t", .id = "id1", .now = 1234, .seed = 99};
}

// A request with one message and these further fields.
PreparedRequest prepare(const std::string& fields) {
  const std::string body = R"({"messages": [{"role": "user", "content": "안녕"}])" +
                           (fields.empty() ? "" : ", " + fields) + "}";
  return prepare_chat(json::parse(body, "request"), scope());
}

ApiError error_of(const std::string& fields) {
  try {
    prepare(fields);
  } catch (const std::exception& error) {
    return api_error_of(error);
  }
  return ApiError(0, "", "taken");
}

// The data of every event.
std::vector<json::value> events_of(const std::string& stream) {
  std::vector<json::value> events;
  size_t at = 0;
  while (at < stream.size()) {
    const size_t end = stream.find("\n\n", at);
    const std::string event = stream.substr(at, end - at);
    EXPECT_TRUE(event.starts_with("data: ")) << event;
    if (event != "data: [DONE]") events.push_back(json::parse(event.substr(6), "event"));
    at = end + 2;
  }
  return events;
}

std::string stream_of(PreparedRequest& request, const std::vector<std::string>& texts,
                      FinishReason end = FinishReason::kStop) {
  std::string out;
  request.writer->begin(out);
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    size_t tokens = 0;
    for (CompletionDelta& delta : deltas_of(texts, end)) {
      delta.usage = {.prompt_tokens = 14, .cached_tokens = 4, .completion_tokens = ++tokens};
      request.writer->push(i, std::move(delta), out);
    }
  }
  request.writer->end(out);
  return out;
}

TEST(OpenAiChat, PromptIsTheTemplatesText) {
  const PreparedRequest request = prepare("");
  ASSERT_EQ(request.inputs.size(), 1u);
  EXPECT_EQ(test_model().tokenizer.decode(request.inputs[0].prompt),
            "<|im_start|>user\n안녕<|im_end|>\n<|im_start|>assistant\n</think>\n\n");
  EXPECT_EQ(request.inputs[0].tenant, "t");
  EXPECT_EQ(request.inputs[0].generate.sampling.seed, 99u);
  EXPECT_FALSE(request.stream);
}

std::string prompt_of(const std::string& fields, const std::string& messages) {
  const std::string text = cat(R"({"messages": [)", messages, "], ", fields, "}");
  const PreparedRequest request =
      prepare_chat(json::parse(text, "request"),
                   {.model = &test_model().model, .tenant = "t", .id = "id1", .now = 1234});
  return test_model().tokenizer.decode(request.inputs[0].prompt);
}

TEST(OpenAiChat, BegunAnswersGoOnWhereTheyEnded) {
  const std::string on = R"("continue_final_message": true, "add_generation_prompt": false)";
  const std::string thinking = on + R"(, "enable_thinking": true)";
  const std::string head = "<|im_start|>user\n안녕<|im_end|>\n<|im_start|>assistant\n";
  const std::string user = R"({"role": "user", "content": "안녕"}, )";
  const std::string text = user + R"({"role": "assistant", "content": "반갑"})";
  EXPECT_EQ(prompt_of(on, text), head + "</think>\n\n반갑");
  const std::string thought =
      user + R"({"role": "assistant", "content": "", "reasoning_content": "인사"})";
  EXPECT_EQ(prompt_of(thinking, thought), head + "<think>\n인사");
  const std::string both =
      user + R"({"role": "assistant", "content": "반갑", "reasoning_content": "인사"})";
  EXPECT_EQ(prompt_of(thinking, both), head + "<think>\n인사\n</think>\n\n반갑");
  EXPECT_EQ(prompt_of(on, both), head + "</think>\n\n반갑");  // thinking was turned off meanwhile

  // What comes after begun thoughts is reasoning still.
  PreparedRequest request =
      prepare_chat(json::parse(cat(R"({"messages": [)", thought, "], ", thinking, "}"), "request"),
                   {.model = &test_model().model, .id = "id1"});
  std::string unused;
  for (CompletionDelta& delta : deltas_of({"했다.\n</think>\n\n", "네"})) {
    request.writer->push(0, std::move(delta), unused);
  }
  const json::object answer = request.writer->whole();
  EXPECT_EQ(answer.at("choices").at(0).at("message").at("reasoning_content"), "했다.");
  EXPECT_EQ(answer.at("choices").at(0).at("message").at("content"), "네");
}

TEST(OpenAiChat, OnlyPlainAnswersOfTheAssistantGoOn) {
  const std::string on = R"("continue_final_message": true)";
  const std::string answer = R"({"role": "assistant", "content": "a"})";
  EXPECT_EQ(prompt_of(on, answer), prompt_of(on + R"(, "add_generation_prompt": false)", answer));
  for (const std::string& fields :
       {on + R"(, "add_generation_prompt": true)", std::string(R"("add_generation_prompt": false)"),
        on + R"(, "response_format": {"type": "json_object"})"}) {
    EXPECT_THROW(prompt_of(fields, answer), json::FieldError) << fields;
  }
  EXPECT_THROW(prompt_of(on, R"({"role": "user", "content": "a"})"), json::FieldError);
}

TEST(OpenAiChat, ChoicesHaveSeedsOfTheirOwn) {
  const PreparedRequest request = prepare(R"("n": 3, "seed": 7)");
  ASSERT_EQ(request.inputs.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(request.inputs[i].generate.sampling.seed, 7 + i);
}

TEST(OpenAiChat, StreamBeginsWithTheRoleAndEndsWithReasonUsageAndDone) {
  PreparedRequest request = prepare(R"("stream": true, "stream_options": {"include_usage": true})");
  const std::string stream = stream_of(request, {"안", "녕", ""});
  EXPECT_TRUE(stream.ends_with("data: [DONE]\n\n"));
  const std::vector<json::value> events = events_of(stream);
  ASSERT_EQ(events.size(), 5u);
  for (const json::value& event : events) {
    EXPECT_EQ(event.at("id"), "chatcmpl-id1");
    EXPECT_EQ(event.at("object"), "chat.completion.chunk");
    EXPECT_EQ(event.at("created"), 1234);
    EXPECT_EQ(event.at("model"), "nano");
  }
  EXPECT_EQ(json::to_text(events[0].at("choices").at(0).at("delta")),
            R"({"role":"assistant","content":""})");
  EXPECT_EQ(events[1].at("choices").at(0).at("delta").at("content"), "안");
  EXPECT_TRUE(events[1].at("choices").at(0).at("finish_reason").is_null());
  EXPECT_TRUE(events[1].at("usage").is_null());
  EXPECT_EQ(json::to_text(events[3].at("choices").at(0).at("delta")), "{}");
  EXPECT_EQ(events[3].at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_TRUE(events[4].at("choices").as_array().empty());
  EXPECT_EQ(events[4].at("usage").at("prompt_tokens"), 14);
  EXPECT_EQ(events[4].at("usage").at("completion_tokens"), 3);
  EXPECT_EQ(events[4].at("usage").at("prompt_tokens_details").at("cached_tokens"), 4);
}

TEST(OpenAiChat, ReasoningIsApartFromContent) {
  PreparedRequest request = prepare(R"("stream": true, "enable_thinking": true)");
  EXPECT_THAT(test_model().tokenizer.decode(request.inputs[0].prompt), HasSubstr("<think>"));
  std::string reasoning, content;
  for (const json::value& event : events_of(stream_of(
           request, {"음", "...", "\n</th", "ink>\n\n", "네", ""}, FinishReason::kLength))) {
    const json::object& delta = event.at("choices").at(0).at("delta").as_object();
    if (const auto* text = delta.if_contains("reasoning_content")) reasoning += text->as_string();
    if (const auto* text = delta.if_contains("content")) content += text->as_string();
  }
  EXPECT_EQ(reasoning, "음...");
  EXPECT_EQ(content, "네");

  PreparedRequest whole = prepare(R"("chat_template_kwargs": {"enable_thinking": true})");
  std::string unused;
  for (CompletionDelta& delta : deltas_of({"음\n</think>\n\n", "네", ""}, FinishReason::kLength)) {
    whole.writer->push(0, std::move(delta), unused);
  }
  const json::object answer = whole.writer->whole();
  const json::value& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("message").at("reasoning_content"), "음");
  EXPECT_EQ(choice.at("message").at("content"), "네");
  EXPECT_EQ(choice.at("finish_reason"), "length");
  EXPECT_EQ(answer.at("usage").at("completion_tokens_details").at("reasoning_tokens"), 1);
}

TEST(OpenAiChat, LogprobsCarryBytes) {
  PreparedRequest request = prepare(R"("logprobs": true, "top_logprobs": 1)");
  EXPECT_EQ(request.inputs[0].generate.top_logprobs, 1);
  const std::vector<TokenId> ids = test_model().tokenizer.encode("안녕");
  CompletionDelta delta;
  delta.text = "안녕";
  for (const TokenId id : ids) {
    delta.ids.push_back(id);
    delta.logprobs.push_back({{id, -0.5f}, {{id, -0.5f}}});
  }
  delta.finish_reason = FinishReason::kStop;
  std::string unused;
  request.writer->push(0, std::move(delta), unused);
  const json::object answer = request.writer->whole();
  std::string bytes;
  for (const json::value& entry :
       answer.at("choices").at(0).at("logprobs").at("content").as_array()) {
    EXPECT_EQ(entry.at("logprob"), -0.5);
    EXPECT_EQ(entry.at("top_logprobs").at(0).at("token"), entry.at("token"));
    for (const json::value& byte : entry.at("bytes").as_array()) {
      bytes += static_cast<char>(byte.as_int64());
    }
  }
  EXPECT_EQ(bytes, "안녕");
}

TEST(OpenAiChat, ErrorsNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("temperature": "hot")", "temperature"},
      {R"("n": 0)", "n"},
      {R"("n": 1000)", "n"},
      {R"("top_logprobs": 3)", "top_logprobs"},
      {R"("logprobs": true, "top_logprobs": 1000)", "top_logprobs"},
      {R"("stream": 1)", "stream"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("functions": [])", "functions"},
      {R"("modalities": ["audio"])", "modalities"},
      {R"("guided_regex": "x")", "guided_regex"},
      {R"("response_format": {"type": "yaml"})", "response_format"},
      {R"("tools": {})", "tools"},
      {R"("tools": [{"type": "web_search"}])", "tools"},
      {R"("tool_choice": "required")", "tool_choice"},
      {R"("tool_choice": {"type": "function", "function": {"name": "f"}},
          "tools": [{"type": "function", "function": {"name": "g"}}])",
       "tool_choice"},
      {R"("reasoning_effort": "huge")", "reasoning_effort"},
      {R"("thinking_budget": -1)", "thinking_budget"},
  };
  for (const auto& [fields, param] : cases) {
    const ApiError error = error_of(fields);
    EXPECT_EQ(error.status(), 400) << fields;
    EXPECT_EQ(error.param(), param) << fields << error.what();
    EXPECT_THAT(error.what(), HasSubstr(param)) << fields;
  }
}

TEST(OpenAiChat, OtherModelsAndEndlessPromptsAreRefused) {
  EXPECT_EQ(error_of(R"("model": "gpt-9")").status(), 404);
  EXPECT_EQ(error_of(R"("model": "gpt-9")").api_code(), "model_not_found");
  EXPECT_EQ(error_of(R"("model": "alias")").status(), 0);
  std::string longer;
  for (int i = 0; i < 3000; ++i) longer += "안녕 ";
  try {
    prepare_chat(json::parse(R"({"messages": [{"role": "user", "content": ")" + longer + R"("}]})",
                             "request"),
                 scope());
    FAIL();
  } catch (const ApiError& error) {
    EXPECT_EQ(error.api_code(), "context_length_exceeded");
  }
}

TEST(OpenAiChat, HarmlessFieldsAreIgnored) {
  EXPECT_EQ(error_of(R"("user": "u", "metadata": {"a": "b"}, "store": true, "service_tier": "auto",
                         "prompt_cache_key": "k", "safety_identifier": "s", "verbosity": "low",
                         "parallel_tool_calls": true, "reasoning_effort": "none")")
                .status(),
            0);
}

}  // namespace
}  // namespace axk1
