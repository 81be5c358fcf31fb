#include "engine/batching_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <tuple>

#include "base/error.h"
#include "base/rng.h"
#include "engine/collector.h"
#include "engine/fake_model.h"
#include "testing/shared_data.h"
#include "testing/tiny_config.h"

namespace axk1 {
namespace {

using testing::Collector;
using testing::FakeModel;
using testing::FakeModelOptions;
using ::testing::HasSubstr;

uint64_t fake_blocks(size_t count) {
  return count * FakeModel().block_bytes();
}

ServiceOptions small_options() {
  ServiceOptions options;
  options.max_sequences = 4;
  options.max_queue = 1000;
  options.kv_memory = fake_blocks(16);
  return options;
}

CompletionInput input_of(std::vector<TokenId> prompt, size_t max_tokens,
                         const std::string& tenant = "") {
  CompletionInput input;
  input.prompt = std::move(prompt);
  input.generate.sampling.temperature = 0;
  input.generate.max_tokens = max_tokens;
  input.tenant = tenant;
  return input;
}

std::vector<TokenId> line_of(size_t length, uint64_t seed) {
  Rng rng(seed);
  std::vector<TokenId> ids(length);
  for (TokenId& id : ids) id = static_cast<TokenId>(1 + rng.next() % 49);
  return ids;
}

// What the fake model says by itself: no cache, no batch.
std::vector<TokenId> expected(const FakeModel& model, const CompletionInput& input) {
  uint64_t state = FakeModelOptions().seed;
  for (TokenId id : input.prompt) state = model.next_state(state, id);
  Answer answer(model.answer_model(), input.generate, input.prompt.size());
  while (!answer.ended()) {
    state = model.next_state(state, answer.choose(model.logits_of(state), input.prompt));
  }
  return answer.ids();
}

TEST(BatchingService, AnswersAreTheModelsOwnWhateverElseRuns) {
  for (const auto& [repetitive, drafts, mtp_wrong] : {std::tuple{false, false, 0},
                                                      {true, false, 0},
                                                      {false, true, 0},
                                                      {true, true, 0},
                                                      {false, true, 3},
                                                      {true, true, 4}}) {
    const FakeModelOptions fake{.repetitive = repetitive,
                                .mtp_wrong = static_cast<uint64_t>(mtp_wrong)};
    const FakeModel model(fake);
    ServiceOptions options = small_options();
    options.drafts = drafts;
    options.kv_memory = 9 * model.block_bytes();  // of context 512: interrupts all the time
    std::deque<Collector> collectors;             // outlives the service
    auto served = std::make_unique<FakeModel>(fake);
    FakeModel& steps = *served;
    auto service = make_batching_service(std::move(served), options);
    steps.hold();  // until there is a queue
    Rng rng(7);
    std::vector<std::vector<TokenId>> starts;
    for (uint64_t i = 0; i < 4; ++i) starts.push_back(line_of(70 + 60 * i, i));
    std::vector<std::vector<TokenId>> wanted;
    std::vector<uint64_t> ids;
    std::vector<bool> left;
    for (size_t i = 0; i < 150; ++i) {
      if (i == 60) steps.release();
      std::vector<TokenId> prompt = starts[rng.next() % starts.size()];
      prompt.resize(1 + rng.next() % prompt.size());
      for (TokenId id : line_of(rng.next() % 20, rng.next())) prompt.push_back(id);
      CompletionInput input =
          input_of(std::move(prompt), 1 + rng.next() % 120, std::string(1, 'a' + rng.next() % 3));
      input.priority = static_cast<int>(rng.next() % 3);
      input.generate.ignore_eos = rng.next() % 2;
      if (rng.next() % 2) input.generate.sampling = {.temperature = 1, .seed = rng.next()};
      wanted.push_back(expected(model, input));
      const SubmitResult result =
          service->submit(std::move(input), collectors.emplace_back().on_delta());
      ASSERT_TRUE(result.id);
      ids.push_back(*result.id);
      left.push_back(rng.next() % 8 == 0);
      if (left.back()) {
        if (i > 60 && rng.next() % 2) collectors.back().wait_for_ids(1 + rng.next() % 5);
        service->cancel(*result.id);
      }
    }
    for (size_t i = 0; i < collectors.size(); ++i) {
      const Collector& c = collectors[i].wait();
      ASSERT_EQ(c.last().error, "");
      if (c.last().finish_reason == FinishReason::kCancelled) {
        EXPECT_TRUE(left[i]);
        ASSERT_LE(c.ids().size(), wanted[i].size());
        wanted[i].resize(c.ids().size());
      }
      ASSERT_EQ(c.ids(), wanted[i]) << "completion " << i;
    }
    while (!service->idle()) std::this_thread::yield();
    const ServiceStats stats = service->stats();
    EXPECT_EQ(stats.running + stats.waiting + stats.kv_blocks_used, 0u);
    EXPECT_EQ(stats.completed + stats.cancelled, 150u);
    EXPECT_GT(stats.preemptions, 0u);
    EXPECT_GT(stats.cached_tokens, 0u);
    EXPECT_GT(stats.prefix_evicted_blocks, 0u);
    EXPECT_LE(stats.accepted_tokens, stats.draft_tokens);
    EXPECT_EQ(stats.draft_tokens > 0, drafts);
    if (drafts && repetitive) {
      EXPECT_GT(stats.accepted_tokens, 0u);
    }
    EXPECT_LE(stats.mtp_draft_tokens, stats.draft_tokens);
    EXPECT_LE(stats.mtp_accepted_tokens, stats.accepted_tokens);
    EXPECT_EQ(stats.mtp_accepted_tokens > 0, mtp_wrong > 0);
  }
}

// The same on a real model (of a cache of f32 whole prompts would otherwise take the expanded
// form): text, ids and every log-probability, to the last bit.
TEST(BatchingService, NanoIsBitEqualAloneAndInABatchSlow) {
  for (const CacheDType cache : {CacheDType::kF32, CacheDType::kI8}) {
    Engine engine(testing::testdata("../models/nano-v0"),
                  {.num_threads = 2, .prefill_tokens = 96, .cache_dtype = cache});
    const auto prompt_of = [](size_t i) {
      std::vector<TokenId> prompt = line_of(20 + 37 * (i % 5), i / 2 % 3);
      for (TokenId& id : prompt) id += 300;
      return prompt;
    };
    const auto make_input = [&](size_t i) {
      CompletionInput input = input_of(prompt_of(i), 60 + i);
      input.generate.ignore_eos = true;
      input.generate.top_logprobs = 2;
      if (i % 3 == 0) input.generate.sampling = {.temperature = 0.8f, .top_p = 0.9f, .seed = i};
      return input;
    };
    constexpr size_t kRequests = 8;
    const auto run = [&](ServiceOptions options, bool together, bool expect_preemption) {
      options.context_tokens = 256;
      auto service = make_batching_service(engine, options);
      std::deque<Collector> collectors(kRequests);
      for (size_t i = 0; i < kRequests; ++i) {
        EXPECT_TRUE(service->submit(make_input(i), collectors[i].on_delta()).id);
        if (!together) collectors[i].wait();
      }
      for (Collector& c : collectors) c.wait();
      if (expect_preemption) {
        EXPECT_GT(service->stats().preemptions, 0u);
      }
      return collectors;
    };
    ServiceOptions plain;
    plain.prefix_cache = plain.drafts = false;
    plain.max_sequences = 1;
    const std::deque<Collector>& alone = run(plain, false, false);

    ServiceOptions batched;
    batched.max_sequences = 8;
    ServiceOptions tight = batched;
    tight.drafts = false;  // so that answers grow evenly
    tight.kv_memory = 6 * make_engine_model(engine)->block_bytes();
    ServiceOptions chunks = batched;
    chunks.prefill_tokens = 7;
    chunks.drafts = false;
    for (const auto& [options, preempts] :
         {std::pair{batched, false}, std::pair{tight, true}, std::pair{chunks, false}}) {
      const std::deque<Collector>& together = run(options, true, preempts);
      for (size_t i = 0; i < kRequests; ++i) {
        EXPECT_EQ(together[i].ids(), alone[i].ids()) << i;
        EXPECT_EQ(together[i].text(), alone[i].text());
        ASSERT_EQ(together[i].logprobs().size(), alone[i].logprobs().size());
        for (size_t t = 0; t < alone[i].logprobs().size(); ++t) {
          ASSERT_EQ(together[i].logprobs()[t].chosen.logprob, alone[i].logprobs()[t].chosen.logprob)
              << "request " << i << ", token " << t;
          ASSERT_EQ(together[i].logprobs()[t].top[1].logprob,
                    alone[i].logprobs()[t].top[1].logprob);
        }
      }
    }
  }
}

// A real model with a layer of multi-token prediction: with guesses and without, alone and
// together, greedy and drawn, the same to the last bit.
TEST(BatchingService, GuessesOfARealModelChangeNoBit) {
  const ModelConfig config = testing::tiny_config(R"({"num_nextn_predict_layers": 1})");
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Engine engine(config, random_weights(config, dtype, 3),
                  {.num_threads = 2, .prefill_tokens = 24});
    constexpr size_t kRequests = 6;
    std::vector<std::vector<TokenId>> answers[2];
    std::vector<std::vector<float>> logprobs[2];
    for (const bool mtp : {false, true}) {
      ServiceOptions options;
      options.mtp = mtp;
      options.max_sequences = mtp ? 4 : 1;
      auto service = make_batching_service(engine, options);
      std::deque<Collector> collectors(kRequests);
      for (size_t i = 0; i < kRequests; ++i) {
        std::vector<TokenId> prompt = line_of(5 + 3 * (i % 3), i % 4);
        for (TokenId& id : prompt) id %= 37;
        CompletionInput input = input_of(std::move(prompt), 40);
        input.generate.ignore_eos = true;
        input.generate.top_logprobs = 1;
        if (i % 2) input.generate.sampling = {.temperature = 0.3f, .seed = i};
        service->submit(std::move(input), collectors[i].on_delta());
      }
      for (Collector& c : collectors) {
        ASSERT_EQ(c.wait().last().error, "");
        answers[mtp].push_back(c.ids());
        std::vector<float>& values = logprobs[mtp].emplace_back();
        for (const StepLogprobs& step : c.logprobs()) values.push_back(step.chosen.logprob);
      }
      const ServiceStats stats = service->stats();
      EXPECT_EQ(stats.mtp_draft_tokens > 0, mtp);
      if (mtp) {
        printf("[ drafts ] random weights, %s: %zu of %zu guesses right\n", dtype_name(dtype),
               stats.mtp_accepted_tokens, stats.mtp_draft_tokens);
      }
    }
    EXPECT_EQ(answers[0], answers[1]);
    EXPECT_EQ(logprobs[0], logprobs[1]);
  }
}

}  // namespace
}  // namespace axk1
