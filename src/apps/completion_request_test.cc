#include "apps/completion_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "apps/generation_flags.h"
#include "base/error.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

GenerateOptions defaults() {
  GenerateOptions options;
  options.sampling.temperature = 0.25f;
  options.sampling.seed = 77;
  options.max_tokens = 9;
  return options;
}

CompletionRequest parse(const std::string& text) {
  return parse_completion_request(json::parse(text, "line 1"), "line 1", defaults());
}

// A request with the prompt "x" and these further fields.
CompletionRequest with(const std::string& fields) {
  return parse("{\"prompt\": \"x\"" + (fields.empty() ? "" : ", " + fields) + "}");
}

std::string error_of(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "taken";
}

TEST(CompletionRequest, AbsentAndNullFieldsComeFromTheDefaults) {
  for (const char* fields : {"", R"("temperature": null, "top_p": null, "seed": null, "stop": null,
                                    "max_tokens": null, "logprobs": null, "logit_bias": null,
                                    "tools": null, "response_format": null, "n": null)"}) {
    const GenerateOptions options = with(fields).generate;
    EXPECT_EQ(options.sampling.temperature, 0.25f);
    EXPECT_EQ(options.sampling.top_p, 1);
    EXPECT_EQ(options.sampling.seed, 77u);
    EXPECT_EQ(options.max_tokens, 9u);
    EXPECT_EQ(options.top_logprobs, -1);
    EXPECT_TRUE(options.stop.empty());
  }
}

TEST(CompletionRequest, EveryField) {
  const GenerateOptions o = with(R"("temperature": 0, "top_p": 0.5, "top_k": 12, "min_p": 0.125,
      "seed": 42, "max_tokens": 100, "stop": ["a", "그만"], "stop_token_ids": [3, 4],
      "logprobs": true, "top_logprobs": 5, "presence_penalty": 1.5, "frequency_penalty": -1,
      "repetition_penalty": 1.25, "logit_bias": {"5": -100, "17": 2.5}, "n": 1, "ignore_eos": true,
      "user": "somebody", "some_field_of_the_future": {"a": 1})")
                                .generate;
  EXPECT_EQ(o.sampling.temperature, 0);
  EXPECT_EQ(o.sampling.top_p, 0.5f);
  EXPECT_EQ(o.sampling.top_k, 12);
  EXPECT_EQ(o.sampling.min_p, 0.125f);
  EXPECT_EQ(o.sampling.seed, 42u);
  EXPECT_EQ(o.sampling.presence_penalty, 1.5f);
  EXPECT_EQ(o.sampling.frequency_penalty, -1);
  EXPECT_EQ(o.sampling.repetition_penalty, 1.25f);
  EXPECT_THAT(o.sampling.logit_bias, ElementsAre(Pair(5, -100.0f), Pair(17, 2.5f)));
  EXPECT_EQ(o.max_tokens, 100u);
  EXPECT_THAT(o.stop, ElementsAre("a", "그만"));
  EXPECT_THAT(o.stop_ids, ElementsAre(3, 4));
  EXPECT_EQ(o.top_logprobs, 5);
  EXPECT_TRUE(o.ignore_eos);
}

TEST(CompletionRequest, FieldsWithMoreThanOneForm) {
  EXPECT_THAT(with(R"("stop": "one")").generate.stop, ElementsAre("one"));
  EXPECT_EQ(with(R"("logprobs": 3)").generate.top_logprobs, 3);
  EXPECT_EQ(with(R"("logprobs": 0)").generate.top_logprobs, 0);
  EXPECT_EQ(with(R"("logprobs": true)").generate.top_logprobs, 0);
  EXPECT_EQ(with(R"("logprobs": false)").generate.top_logprobs, -1);
  EXPECT_EQ(with(R"("max_tokens": 5, "max_completion_tokens": 6)").generate.max_tokens, 6u);
  EXPECT_EQ(with(R"("top_k": -1)").generate.sampling.top_k, 0);
  EXPECT_EQ(with(R"("temperature": 1)").generate.sampling.temperature, 1);
  EXPECT_EQ(with(R"("seed": -1)").generate.sampling.seed, ~uint64_t{0});
}

TEST(CompletionRequest, ThreeKindsOfPrompt) {
  EXPECT_EQ(parse(R"({"prompt": ""})").prompt, "");
  EXPECT_THAT(*parse(R"({"prompt_ids": [1, 2]})").prompt_ids, ElementsAre(1, 2));
  const json::object variables = *parse(R"({"messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "tool_calls": []}],
      "tools": [{"type": "function"}], "enable_thinking": true,
      "chat_template_kwargs": {"x": 1, "enable_thinking": false}})")
                                      .template_variables;
  EXPECT_EQ(
      json::to_text(variables.at("messages")),
      R"([{"role":"user","content":"a\nb"},{"role":"assistant","content":null,"tool_calls":[]}])");
  EXPECT_EQ(variables.at("enable_thinking"), json::value(true));
  EXPECT_EQ(variables.at("add_generation_prompt"), json::value(true));
  EXPECT_EQ(variables.at("x"), json::value(1));
  EXPECT_EQ(variables.at("tools").as_array().size(), 1u);
}

TEST(CompletionRequest, WrongRequestsSayWhatIsWrong) {
  const std::string many_stops = [] {
    std::string list = R"({"prompt": "x", "stop": ["a")";
    for (int i = 0; i < 64; ++i) list += R"(, "a")";
    return list + "]}";
  }();
  const std::pair<std::string, const char*> cases[] = {
      {"[]", "object"},
      {"{}", "exactly one of prompt, prompt_ids and messages"},
      {R"({"prompt": "x", "prompt_ids": [1]})", "exactly one"},
      {R"({"prompt": 5})", "prompt"},
      {R"({"prompt_ids": "x"})", "prompt_ids"},
      {R"({"prompt_ids": [1, -1]})", "prompt_ids"},
      {R"({"prompt_ids": [1.5]})", "prompt_ids"},
      {R"({"prompt_ids": [4294967296]})", "prompt_ids"},
      {R"({"messages": []})", "messages"},
      {R"({"messages": "x"})", "messages"},
      {R"({"messages": ["x"]})", "messages[0]"},
      {R"({"messages": [{"content": "x"}]})", "role"},
      {R"({"messages": [{"role": "user", "content": 5}]})", "content"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})", "image_url"},
      {R"({"messages": [{"role": "user", "content": "x"}], "tools": {}})", "tools"},
      {R"({"messages": [{"role": "user", "content": "x"}], "enable_thinking": "yes"})",
       "enable_thinking"},
      {R"({"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": []})",
       "chat_template_kwargs"},
      {R"({"prompt": "x", "temperature": "hot"})", "temperature"},
      {R"({"prompt": "x", "top_p": true})", "top_p"},
      {R"({"prompt": "x", "min_p": []})", "min_p"},
      {R"({"prompt": "x", "top_k": 1.5})", "top_k"},
      {R"({"prompt": "x", "top_k": -2})", "top_k"},
      {R"({"prompt": "x", "seed": "1"})", "seed"},
      {R"({"prompt": "x", "seed": 1.5})", "seed"},
      {R"({"prompt": "x", "max_tokens": 0})", "max_tokens"},
      {R"({"prompt": "x", "max_tokens": "5"})", "max_tokens"},
      {R"({"prompt": "x", "max_completion_tokens": -1})", "max_completion_tokens"},
      {R"({"prompt": "x", "stop": 5})", "stop"},
      {R"({"prompt": "x", "stop": ["a", 5]})", "stop"},
      {R"({"prompt": "x", "stop": ""})", "stop"},
      {many_stops, "stop"},
      {R"({"prompt": "x", "stop_token_ids": 5})", "stop_token_ids"},
      {R"({"prompt": "x", "stop_token_ids": ["5"]})", "stop_token_ids"},
      {R"({"prompt": "x", "logprobs": "yes"})", "logprobs"},
      {R"({"prompt": "x", "logprobs": -1})", "logprobs"},
      {R"({"prompt": "x", "top_logprobs": 2})", "top_logprobs"},
      {R"({"prompt": "x", "logprobs": true, "top_logprobs": true})", "top_logprobs"},
      {R"({"prompt": "x", "presence_penalty": "1"})", "presence_penalty"},
      {R"({"prompt": "x", "frequency_penalty": {}})", "frequency_penalty"},
      {R"({"prompt": "x", "repetition_penalty": "1"})", "repetition_penalty"},
      {R"({"prompt": "x", "logit_bias": [1]})", "logit_bias"},
      {R"({"prompt": "x", "logit_bias": {"a": 1}})", "logit_bias"},
      {R"({"prompt": "x", "logit_bias": {"-1": 1}})", "logit_bias"},
      {R"({"prompt": "x", "logit_bias": {"1": "x"}})", "logit_bias"},
      {R"({"prompt": "x", "logit_bias": {"1": 101}})", "logit_bias"},
      {R"({"prompt": "x", "ignore_eos": 1})", "ignore_eos"},
  };
  size_t count = 0;
  for (const auto& [text, part] : cases) {
    EXPECT_THAT(error_of(text), HasSubstr(part)) << text;
    EXPECT_THAT(error_of(text), HasSubstr("line 1")) << text;
    ++count;
  }
  printf("[ cases ] wrong requests: %zu\n", count);
}

TEST(CompletionRequest, WhatIsNotComputedIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"response_format", R"({"type": "json_object"})"},
      {"tool_choice", R"("required")"},
      {"n", "2"},
      {"best_of", "3"},
      {"stream", "true"},
      {"echo", "true"},
      {"suffix", R"("x")"},
      {"guided_json", "{}"},
      {"guided_regex", R"(".*")"},
      {"min_tokens", "3"},
      {"prompt_logprobs", "1"},
  };
  for (const auto& [name, value] : cases) {
    const std::string field = cat("\"", name, "\": ", value);
    EXPECT_THAT(error_of("{\"prompt\": \"x\", " + field + "}"), HasSubstr(name));
  }
  EXPECT_NO_THROW(with(R"("response_format": {"type": "text"}, "tool_choice": "auto", "n": 1,
                          "stream": false, "echo": false, "best_of": 1, "min_tokens": 0)"));
}

TEST(GenerationFlags, DefaultsComeFromTheModelThenFromTheApi) {
  SamplingOptions s = default_sampling({});
  EXPECT_EQ(s.temperature, 1);
  EXPECT_EQ(s.top_p, 1);
  s = default_sampling({.do_sample = true,
                        .temperature = 0.5,
                        .top_p = 0.75,
                        .min_p = 0.125,
                        .repetition_penalty = 1.5,
                        .top_k = 20});
  EXPECT_EQ(s.temperature, 0.5f);
  EXPECT_EQ(s.top_p, 0.75f);
  EXPECT_EQ(s.min_p, 0.125f);
  EXPECT_EQ(s.repetition_penalty, 1.5f);
  EXPECT_EQ(s.top_k, 20);
  EXPECT_EQ(default_sampling({.do_sample = false, .temperature = 0.5}).temperature, 0);
}

TEST(Complete, LogprobsNameTokensBytesAndAlternatives) {
  Engine engine(testing::testdata("../models/nano-v0"), {.num_threads = 1});
  const json::value request = json::parse(
      R"({"messages": [{"role": "user", "content": "안녕"}], "temperature": 0, "max_tokens": 2,
          "logprobs": true, "top_logprobs": 3})",
      "request");
  const json::object out = complete(engine, parse_completion_request(request, "request", {}));
  const json::array& content = out.at("logprobs").at("content").as_array();
  ASSERT_EQ(content.size(), 2u);
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const json::object& token = content[i].as_object();
    EXPECT_EQ(token.at("id"), out.at("ids").as_array()[i]);
    EXPECT_LT(token.at("logprob").as_double(), 0);
    EXPECT_EQ(token.at("top_logprobs").as_array().size(), 3u);
    EXPECT_EQ(token.at("top_logprobs").as_array()[0].at("id"), token.at("id"));
    for (const json::value& byte : token.at("bytes").as_array()) {
      text += static_cast<char>(byte.as_int64());
    }
  }
  EXPECT_EQ(text, out.at("text").as_string());
  EXPECT_EQ(out.at("finish_reason").as_string(), "length");
  EXPECT_EQ(json::to_text(out.at("usage")),
            R"({"prompt_tokens":14,"completion_tokens":2,"total_tokens":16})");
}

TEST(Complete, WithoutTokenizerIdsSuffice) {
  Engine engine(testing::testdata("golden/g3-dense"), {.num_threads = 1});
  const auto answer = [&](const char* text) {
    return complete(engine, parse_completion_request(json::parse(text, "request"), "request", {}));
  };
  const json::object out = answer(
      R"({"prompt_ids": [1, 2, 3], "temperature": 0, "max_tokens": 4, "ignore_eos": true,
          "logprobs": 1})");
  EXPECT_EQ(out.at("ids").as_array().size(), 4u);
  EXPECT_EQ(out.at("text").as_string(), "");
  EXPECT_FALSE(out.at("logprobs").at("content").as_array()[0].as_object().contains("token"));
  EXPECT_THROW(answer(R"({"prompt": "x"})"), Error);
  EXPECT_THROW(answer(R"({"messages": [{"role": "user", "content": "x"}]})"), Error);
}

}  // namespace
}  // namespace axk1
