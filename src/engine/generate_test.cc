#include "engine/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "io/file.h"
#include "io/json.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

Engine& nano() {
  static Engine engine(testing::testdata("../models/nano-v0"),
                       {.num_threads = 1, .dtype = DType::kF32});
  return engine;
}

struct GoldenCase {
  std::vector<TokenId> ids, greedy;
  std::string answer;  // with the end token
};

std::vector<GoldenCase> golden_cases() {
  const std::string path = testing::testdata("golden/nano-v0/greedy_f32.json");
  const auto list = [](const json::value& v) {
    std::vector<TokenId> ids;
    for (const json::value& id : v.as_array()) ids.push_back(static_cast<TokenId>(id.as_int64()));
    return ids;
  };
  std::vector<GoldenCase> cases;
  const json::value document = json::parse(read_file(path), path);
  for (const json::value& entry : document.as_array()) {
    const json::object& o = entry.as_object();
    cases.push_back(
        {list(o.at("ids")), list(o.at("greedy")), std::string(o.at("answer").as_string())});
  }
  return cases;
}

// The second prompt: 18 tokens with reasoning.
const GoldenCase& sample_case() {
  static const GoldenCase one = golden_cases().at(1);
  return one;
}

GenerateOptions greedy() {
  GenerateOptions options;
  options.sampling.temperature = 0;
  return options;
}

std::string without_end(std::string text) {
  const std::string end = "<|im_end|>";
  if (text.ends_with(end)) text.resize(text.size() - end.size());
  return text;
}

TEST(Generate, GreedyAnswersOfTheShippedModel) {
  size_t cases = 0;
  Session session(nano());
  for (const GoldenCase& c : golden_cases()) {
    std::string streamed;
    const GenerateResult result = generate(
        session, c.ids,
        [&] {
          GenerateOptions options = greedy();
          options.max_tokens = c.greedy.size();
          return options;
        }(),
        [&](std::string_view text) {
          EXPECT_TRUE(is_valid_utf8(text));
          streamed += text;
          return true;
        });
    EXPECT_EQ(result.ids, c.greedy);
    EXPECT_EQ(result.text, without_end(c.answer));
    EXPECT_EQ(streamed, result.text);
    EXPECT_EQ(result.prompt_tokens, c.ids.size());
    const bool ended = c.answer.ends_with("<|im_end|>");
    EXPECT_EQ(result.finish_reason, ended ? FinishReason::kStop : FinishReason::kLength);
    EXPECT_EQ(session.tokens().size(), c.ids.size() + c.greedy.size() - 1);
    ++cases;
  }
  EXPECT_EQ(cases, 24u);
  printf("[ cases ] greedy answers of nano-v0: %zu\n", cases);
}

TEST(Generate, MaxTokensEndsTheAnswer) {
  Session session(nano());
  for (size_t n : {1u, 2u, 5u}) {
    GenerateOptions options = greedy();
    options.max_tokens = n;
    const GenerateResult result = generate(session, sample_case().ids, options);
    EXPECT_EQ(result.ids, std::vector<TokenId>(sample_case().greedy.begin(),
                                               sample_case().greedy.begin() + static_cast<int>(n)));
    EXPECT_EQ(result.finish_reason, FinishReason::kLength);
  }
}

// Every short piece of the answer as stop text, so that stops begin and end anywhere in a token.
TEST(Generate, StopTextsSplitOverTokens) {
  const std::string answer = without_end(sample_case().answer);
  std::vector<size_t> starts;  // of characters
  for (size_t at = 0; at < answer.size();) {
    starts.push_back(at);
    at += decode_utf8(std::string_view(answer).substr(at)).length;
  }
  starts.push_back(answer.size());
  Session session(nano());
  size_t cases = 0;
  for (size_t first = 0; first + 1 < starts.size(); first += 2) {
    for (size_t length : {1u, 3u, 8u}) {
      if (first + length >= starts.size()) continue;
      const std::string stop = answer.substr(starts[first], starts[first + length] - starts[first]);
      GenerateOptions options = greedy();
      options.stop = {"never in the text", stop};
      std::string streamed;
      const GenerateResult result =
          generate(session, sample_case().ids, options, [&](std::string_view text) {
            streamed += text;
            return true;
          });
      EXPECT_EQ(result.text, answer.substr(0, answer.find(stop))) << "stop: " << stop;
      EXPECT_EQ(streamed, result.text);
      EXPECT_EQ(result.finish_reason, FinishReason::kStop);
      ++cases;
    }
  }
  EXPECT_GT(cases, 40u);
  printf("[ cases ] stop texts: %zu\n", cases);
}

TEST(Generate, TextThatOnlyBeginsLikeAStopIsGivenAtTheEnd) {
  const std::string answer = without_end(sample_case().answer);
  GenerateOptions options = greedy();
  options.stop = {answer.substr(answer.size() - 1) + "x"};
  Session session(nano());
  const GenerateResult result = generate(session, sample_case().ids, options);
  EXPECT_EQ(result.text, answer);
}

TEST(Generate, StopIdsEndTheAnswer) {
  GenerateOptions options = greedy();
  options.stop_ids = {sample_case().greedy[3]};
  Session session(nano());
  const GenerateResult result = generate(session, sample_case().ids, options);
  EXPECT_EQ(result.ids.size(), 4u);
  EXPECT_EQ(result.finish_reason, FinishReason::kStop);
}

TEST(Generate, IgnoreEosGoesOn) {
  GenerateOptions options = greedy();
  options.ignore_eos = true;
  options.max_tokens = sample_case().greedy.size() + 10;
  Session session(nano());
  const GenerateResult result = generate(session, sample_case().ids, options);
  EXPECT_EQ(result.ids.size(), options.max_tokens);
  EXPECT_EQ(result.finish_reason, FinishReason::kLength);
  EXPECT_TRUE(
      std::equal(sample_case().greedy.begin(), sample_case().greedy.end(), result.ids.begin()));
  EXPECT_THAT(result.text, ::testing::Not(HasSubstr("<|im_end|>")));
}

TEST(Generate, SameSeedSameText) {
  const auto text = [&](uint64_t seed) {
    GenerateOptions options;
    options.sampling = {.temperature = 1.5f, .top_p = 0.95f, .seed = seed};
    options.max_tokens = 40;
    Session session(nano());
    return generate(session, sample_case().ids, options).ids;
  };
  EXPECT_EQ(text(11), text(11));
  EXPECT_NE(text(11), text(12));
}

TEST(Generate, LogprobsAreOfTheModelsOwnDistribution) {
  GenerateOptions options = greedy();
  options.top_logprobs = static_cast<int>(nano().vocab_size());
  options.max_tokens = 3;
  options.sampling.logit_bias = {{sample_case().greedy[0], 5.0f}};  // must not show
  Session session(nano());
  const GenerateResult result = generate(session, sample_case().ids, options);
  ASSERT_EQ(result.logprobs.size(), result.ids.size());
  for (size_t i = 0; i < result.ids.size(); ++i) {
    const StepLogprobs& step = result.logprobs[i];
    EXPECT_EQ(step.chosen.id, result.ids[i]);
    EXPECT_EQ(step.top[0].id, result.ids[i]);
    EXPECT_EQ(step.top[0].logprob, step.chosen.logprob);
    double sum = 0;
    for (const TokenLogprob& token : step.top) sum += std::exp(double{token.logprob});
    // Each logprob is off by half an ulp of a float of size up to 32: 2^-19 relative of its p.
    EXPECT_NEAR(sum, 1, 2e-6);
  }
  options.top_logprobs = 0;
  const GenerateResult chosen_only = generate(session, sample_case().ids, options);
  EXPECT_TRUE(chosen_only.logprobs.at(0).top.empty());
  options.top_logprobs = -1;
  EXPECT_TRUE(generate(session, sample_case().ids, options).logprobs.empty());
}

TEST(Generate, OnTextCancels) {
  Session session(nano());
  int pieces = 0;
  const GenerateResult result = generate(session, sample_case().ids, greedy(),
                                         [&](std::string_view) { return ++pieces < 3; });
  EXPECT_EQ(pieces, 3);
  EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
  EXPECT_LT(result.ids.size(), sample_case().greedy.size());
  EXPECT_TRUE(sample_case().answer.starts_with(result.text));
  // The session is good for more.
  EXPECT_EQ(generate(session, sample_case().ids, greedy()).ids, sample_case().greedy);
}

TEST(Generate, PrefillProgressCancels) {
  Engine engine(testing::testdata("../models/nano-v0"),
                {.num_threads = 1, .dtype = DType::kF32, .prefill_tokens = 4});
  Session session(engine);
  std::vector<size_t> done_at;
  const GenerateResult stopped =
      generate(session, sample_case().ids, greedy(), {}, [&](size_t done, size_t total) {
        EXPECT_EQ(total, sample_case().ids.size());
        done_at.push_back(done);
        return done_at.size() < 2;
      });
  EXPECT_EQ(stopped.finish_reason, FinishReason::kCancelled);
  EXPECT_TRUE(stopped.ids.empty());
  EXPECT_EQ(done_at, (std::vector<size_t>{4, 8}));
  const GenerateResult result = generate(session, sample_case().ids, greedy());
  EXPECT_EQ(result.ids, sample_case().greedy);
  EXPECT_EQ(result.cached_tokens, 8u);
}

TEST(Generate, KeepsWhatPromptsShare) {
  Session session(nano());
  std::vector<TokenId> longer = sample_case().ids;
  const GenerateResult first = generate(session, longer, greedy());
  EXPECT_EQ(first.cached_tokens, 0u);
  longer.insert(longer.end(), first.ids.begin(), first.ids.end());
  const size_t known = session.tokens().size();
  const GenerateResult second = generate(session, longer, greedy());
  EXPECT_EQ(second.cached_tokens, known);
  Session fresh(nano());
  EXPECT_EQ(generate(fresh, longer, greedy()).ids, second.ids);
}

TEST(Generate, FullContextEndsTheAnswer) {
  const size_t context = nano().context_length();
  std::vector<TokenId> prompt(context - 3, sample_case().ids[1]);
  GenerateOptions options = greedy();
  options.ignore_eos = true;
  Session session(nano());
  const GenerateResult result = generate(session, prompt, options);
  EXPECT_EQ(result.ids.size(), 3u);
  EXPECT_EQ(result.finish_reason, FinishReason::kLength);
}

TEST(Generate, BadInputIsRefused) {
  Session session(nano());
  const auto message = [&](const std::vector<TokenId>& prompt, const GenerateOptions& options) {
    try {
      generate(session, prompt, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      return std::string(error.what());
    }
    return std::string("taken");
  };
  EXPECT_THAT(message({}, greedy()), HasSubstr("empty"));
  EXPECT_THAT(message(std::vector<TokenId>(nano().context_length() + 1, 5), greedy()),
              HasSubstr("context"));
  EXPECT_THAT(message({5, -1}, greedy()), HasSubstr("-1"));
  EXPECT_THAT(message({static_cast<TokenId>(nano().vocab_size())}, greedy()), HasSubstr("16384"));
  GenerateOptions options = greedy();
  options.stop = {""};
  EXPECT_THAT(message(sample_case().ids, options), HasSubstr("stop"));
  options = greedy();
  options.sampling.top_p = 2;
  EXPECT_THAT(message(sample_case().ids, options), HasSubstr("top_p"));
}

TEST(Generate, WithoutTokenizerIdsSuffice) {
  ModelConfig config = load_model_config(testing::testdata("golden/g3-dense"));
  Engine engine(config, load_weights(testing::testdata("golden/g3-dense"), config), {});
  Session session(engine);
  GenerateOptions options = greedy();
  options.max_tokens = 4;
  options.ignore_eos = true;
  const GenerateResult result = generate(session, std::vector<TokenId>{1, 2, 3}, options);
  EXPECT_EQ(result.ids.size(), 4u);
  EXPECT_EQ(result.text, "");
  options.stop = {"x"};
  EXPECT_THROW(generate(session, std::vector<TokenId>{1}, options), Error);
}

}  // namespace
}  // namespace axk1
