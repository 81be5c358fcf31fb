#include "apps/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "engine/sampler.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

Engine& nano() {
  static Engine engine(testing::testdata("../models/nano-v0"),
                       {.num_threads = 1, .dtype = DType::kF32, .prefill_tokens = 7});
  return engine;
}

const std::string kText =
    "한국의 수도는 서울이다. 바다는 넓고 산은 높다. The sea is wide, and 2 + 3 = 5. <|im_end|> 끝.";

TEST(NegativeLogLikelihoods, AreThoseOfTheSoftmax) {
  ThreadPool pool(2);
  const std::vector<float> logits = {0, 0, 0, 0, 1e4f, -1e4f, 1e4f, 0, 1, 2, 3, 4};
  std::vector<double> nats(3);
  negative_log_likelihoods(pool, logits, std::vector<TokenId>{2, 0, 3}, nats);
  EXPECT_NEAR(nats[0], std::log(4), 1e-14);
  EXPECT_NEAR(nats[1], std::log(2), 1e-12);
  EXPECT_NEAR(nats[2], std::log(1 + std::exp(-1) + std::exp(-2) + std::exp(-3)), 1e-14);
}

// The sum by sessions and logprob_of, one window after the other.
double nats_by_sessions(const std::vector<TokenId>& ids, size_t context, size_t stride) {
  double nats = 0;
  for (const TextWindow& w : text_windows(ids.size(), context, stride)) {
    Session session(nano());
    for (size_t i = w.first_input; i + 1 < w.first_target + w.num_targets; ++i) {
      session.append(ids[i]);
      if (i + 1 >= w.first_target) nats -= logprob_of(session.logits(), ids[i + 1]);
    }
  }
  return nats;
}

TEST(Perplexity, EqualsTheSumOverSessions) {
  std::vector<TokenId> ids = nano().require_tokenizer().encode(kText, {.parse_special = false});
  ids.insert(ids.begin(), *nano().config().bos_token_id);
  size_t cases = 0;
  for (const auto& [context, stride] : std::vector<std::pair<size_t, size_t>>{
           {0, 0}, {2048, 2048}, {16, 16}, {16, 5}, {10, 1}, {1, 1}}) {
    const size_t c = context ? context : nano().context_length();
    const PerplexityResult result =
        perplexity(nano(), kText, {.context = context, .stride = stride});
    EXPECT_EQ(result.tokens, ids.size() - 1);
    EXPECT_EQ(result.bytes, kText.size());
    EXPECT_TRUE(result.used_begin_token);
    // logprob_of is an f32 of size up to 32: each term is off by at most 2^-20.
    const double tolerance = static_cast<double>(ids.size()) * (std::ldexp(1, -20) + 2e-5);
    EXPECT_NEAR(result.nats, nats_by_sessions(ids, c, stride ? stride : c), tolerance)
        << "context " << context << " stride " << stride;
    ++cases;
  }
  printf("[ cases ] perplexity schemes: %zu\n", cases);
}

TEST(Perplexity, UnitsAndTheFirstToken) {
  const PerplexityResult with = perplexity(nano(), kText, {});
  EXPECT_DOUBLE_EQ(with.nats_per_token() * static_cast<double>(with.tokens), with.nats);
  EXPECT_DOUBLE_EQ(with.bits_per_byte() * static_cast<double>(kText.size()) * std::numbers::ln2,
                   with.nats);
  const PerplexityResult without = perplexity(nano(), kText, {.begin_token = false});
  const Tokenizer& tokenizer = nano().require_tokenizer();
  const TokenId first = tokenizer.encode(kText, {.parse_special = false})[0];
  EXPECT_EQ(without.tokens, with.tokens - 1);
  EXPECT_EQ(without.bytes, kText.size() - tokenizer.token_bytes(first).size());
  EXPECT_FALSE(without.used_begin_token);
}

TEST(Perplexity, MoreContextPredictsBetter) {
  EXPECT_LT(perplexity(nano(), kText, {}).nats, perplexity(nano(), kText, {.context = 1}).nats);
}

TEST(Perplexity, BytesThatAreNotUtf8Count) {
  const std::string text = "바다\xff\xfe 산";
  const PerplexityResult result = perplexity(nano(), text, {});
  EXPECT_EQ(result.bytes, text.size());
  EXPECT_TRUE(std::isfinite(result.nats));
}

TEST(Perplexity, WhatCannotBeMeasuredIsAnError) {
  const auto message = [](std::string_view text, const TextOptions& options) {
    try {
      perplexity(nano(), text, options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("taken");
  };
  EXPECT_THAT(message("", {}), HasSubstr("no token"));
  EXPECT_THAT(message("a", {.begin_token = false}), HasSubstr("no token"));
  EXPECT_THAT(message("a", {.context = 4096}), HasSubstr("2048"));
  EXPECT_THAT(message("a", {.context = 10, .stride = 11}), HasSubstr("stride"));
}

}  // namespace
}  // namespace axk1
