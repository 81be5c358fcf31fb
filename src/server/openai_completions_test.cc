#include "server/openai_completions.h"

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

RequestScope scope(const ServedModel& model = test_model().model) {
  return {.model = &model, .id = "id1", .now = 1234, .seed = 5};
}

PreparedRequest prepare(const std::string& body, const ServedModel& model = test_model().model) {
  return prepare_completions(json::parse(body, "request"), scope(model));
}

std::string error_of(const std::string& body, const ServedModel& model = test_model().model) {
  try {
    prepare(body, model);
  } catch (const Error& error) {
    return error.what();
  }
  return "taken";
}

CompletionDelta last_delta(const std::string& text, const std::vector<TokenId>& ids) {
  CompletionDelta delta;
  delta.text = text;
  delta.ids = ids;
  for (const TokenId id : ids) delta.logprobs.push_back({{id, -1.5f}, {{id, -1.5f}}});
  delta.finish_reason = FinishReason::kLength;
  delta.usage = {.prompt_tokens = 2, .completion_tokens = ids.size()};
  return delta;
}

TEST(OpenAiCompletions, FourFormsOfPrompts) {
  const std::vector<TokenId> hello = test_model().tokenizer.encode("안녕", {.add_special = true});
  const PreparedRequest text = prepare(R"({"prompt": "안녕"})");
  ASSERT_EQ(text.inputs.size(), 1u);
  EXPECT_EQ(text.inputs[0].prompt, hello);
  EXPECT_EQ(text.inputs[0].generate.max_tokens, 16u);
  EXPECT_EQ(prepare(R"({"prompt": ["안녕", "안녕"]})").inputs.size(), 2u);
  EXPECT_THAT(prepare(R"({"prompt": [7, 8]})").inputs[0].prompt, ElementsAre(7, 8));
  const PreparedRequest lists = prepare(R"({"prompt": [[7], [8, 9]], "n": 2, "seed": 40})");
  ASSERT_EQ(lists.inputs.size(), 4u);
  EXPECT_THAT(lists.inputs[1].prompt, ElementsAre(7));
  EXPECT_THAT(lists.inputs[2].prompt, ElementsAre(8, 9));
  EXPECT_EQ(lists.inputs[3].generate.sampling.seed, 41u);
  EXPECT_EQ(lists.prompt_tokens, 3u);
}

TEST(OpenAiCompletions, EchoWithLogprobsCoversPromptAndAnswer) {
  PreparedRequest request = prepare(R"({"prompt": [7, 8], "echo": true, "logprobs": 1})");
  EXPECT_EQ(request.inputs[0].prompt_logprobs, 1);
  CompletionDelta delta = last_delta("x", {9});
  delta.prompt_logprobs = {{{8, -0.25f}, {{3, -0.125f}}}};
  std::string unused;
  request.writer->push(0, std::move(delta), unused);
  const json::object answer = request.writer->whole();
  const json::value& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("text"),
            json::value(test_model().tokenizer.decode(std::vector<TokenId>{7, 8}) + "x"));
  const json::value& logprobs = choice.at("logprobs");
  EXPECT_EQ(json::to_text(logprobs.at("token_logprobs")), "[null,-2.5E-1,-1.5E0]");
  EXPECT_TRUE(logprobs.at("top_logprobs").at(0).is_null());
  EXPECT_EQ(logprobs.at("tokens").as_array().size(), 3u);
  EXPECT_EQ(logprobs.at("text_offset").at(0), 0);
  EXPECT_EQ(choice.at("finish_reason"), "length");
}

TEST(OpenAiCompletions, EchoAloneComputesNoAnswerThatIsSeen) {
  PreparedRequest request = prepare(R"({"prompt": [7, 8], "echo": true, "max_tokens": 0})");
  EXPECT_EQ(request.inputs[0].generate.max_tokens, 1u);
  std::string unused;
  request.writer->push(0, last_delta("x", {9}), unused);
  const json::object answer = request.writer->whole();
  EXPECT_EQ(answer.at("choices").at(0).at("text"),
            json::value(test_model().tokenizer.decode(std::vector<TokenId>{7, 8})));
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 0);
  EXPECT_THAT(error_of(R"({"prompt": [7], "max_tokens": 0})"), HasSubstr("max_tokens"));
}

TEST(OpenAiCompletions, StreamsChunks) {
  PreparedRequest request =
      prepare(R"({"prompt": "a", "stream": true, "stream_options": {"include_usage": true}})");
  std::string out;
  request.writer->begin(out);
  request.writer->push(0, last_delta("안녕", {9}), out);
  request.writer->end(out);
  EXPECT_THAT(out,
              ::testing::StartsWith(R"(data: {"id":"cmpl-id1","object":"text_completion",)"
                                    R"("created":1234,"model":"nano","choices":[{"index":0,)"
                                    R"("text":"안녕","logprobs":null,"finish_reason":"length"}],)"
                                    R"("usage":null})"));
  EXPECT_THAT(out, HasSubstr(R"("choices":[],"usage":{"prompt_tokens":)"));
  EXPECT_TRUE(out.ends_with("data: [DONE]\n\n"));
}

TEST(OpenAiCompletions, WithoutTokenizerIdsSuffice) {
  ServedModel bare;
  bare.names = {"bare"};
  bare.vocab_size = 100;
  bare.context_length = 50;
  PreparedRequest request = prepare(R"({"prompt": [1, 2], "logprobs": 1})", bare);
  std::string unused;
  request.writer->push(0, last_delta("", {9}), unused);
  const json::object answer = request.writer->whole();
  EXPECT_EQ(json::to_text(answer.at("choices").at(0).at("token_ids")), "[9]");
  EXPECT_EQ(answer.at("choices").at(0).at("logprobs").at("tokens").at(0), "token_id:9");
  EXPECT_THAT(error_of(R"({"prompt": "x"})", bare), HasSubstr("no tokenizer"));
}

TEST(OpenAiCompletions, WrongRequestsSayWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"{}", "prompt"},
      {R"({"prompt": {}})", "prompt"},
      {R"({"prompt": []})", "prompt"},
      {R"({"prompt": ["a", 5]})", "prompt"},
      {R"({"prompt": [[]]})", "at least one token"},
      {R"({"prompt": [999999]})", "vocabulary"},
      {R"({"prompt": "x", "suffix": "y"})", "suffix"},
      {R"({"prompt": "x", "best_of": 2})", "best_of"},
      {R"({"prompt": ["a", "b"], "n": 100})", "n"},
      {R"({"prompt": "x", "prompt_logprobs": 1})", "prompt_logprobs"},
  };
  for (const auto& [body, part] : cases) EXPECT_THAT(error_of(body), HasSubstr(part)) << body;
}

TEST(Score, GivesEveryTokenOfTheTextItsLogprob) {
  PreparedRequest request = prepare_score(
      json::parse(R"({"input": [[7, 8, 9], [7]], "top_logprobs": 2})", "request"), scope());
  ASSERT_EQ(request.inputs.size(), 2u);
  EXPECT_EQ(request.inputs[0].prompt_logprobs, 2);
  EXPECT_EQ(request.inputs[0].generate.max_tokens, 1u);
  CompletionDelta delta = last_delta("x", {1});
  delta.prompt_logprobs = {{{8, -0.5f}, {{8, -0.5f}, {3, -1.0f}}}, {{9, -2.0f}, {{4, -0.25f}}}};
  std::string unused;
  request.writer->push(0, std::move(delta), unused);
  request.writer->push(1, last_delta("x", {1}), unused);
  const json::object answer = request.writer->whole();
  const json::value& first = answer.at("data").at(0);
  EXPECT_EQ(json::to_text(first.at("token_ids")), "[7,8,9]");
  EXPECT_EQ(json::to_text(first.at("token_logprobs")), "[null,-5E-1,-2E0]");
  EXPECT_EQ(json::to_text(first.at("top_ids")), "[null,[8,3],[4]]");
  EXPECT_EQ(first.at("sum_logprob"), -2.5);
  EXPECT_EQ(json::to_text(answer.at("data").at(1).at("token_logprobs")), "[null]");
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), 4);
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 0);
}

}  // namespace
}  // namespace axk1
