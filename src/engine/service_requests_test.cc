// What one completion may ask of the service, and what happens when it goes wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "engine/batching_service.h"
#include "engine/collector.h"
#include "engine/fake_model.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::Collector;
using testing::FakeModel;
using testing::FakeModelOptions;
using ::testing::HasSubstr;

ServiceOptions options_of(size_t max_sequences) {
  ServiceOptions options;
  options.max_sequences = max_sequences;
  options.max_queue = 100;
  options.kv_memory = 16 * FakeModel().block_bytes();
  return options;
}

CompletionInput input_of(std::vector<TokenId> prompt, size_t max_tokens) {
  CompletionInput input;
  input.prompt = std::move(prompt);
  input.generate.sampling.temperature = 0;
  input.generate.max_tokens = max_tokens;
  input.generate.ignore_eos = true;
  return input;
}

std::unique_ptr<BatchingService> fake_service(const ServiceOptions& options,
                                              const FakeModelOptions& fake = {}) {
  return make_batching_service(std::make_unique<FakeModel>(fake), options);
}

// Even ids only; goes wrong at will.
class EvenTokens : public TokenConstraint {
 public:
  explicit EvenTokens(size_t throws_at = SIZE_MAX) : throws_at_(throws_at) {}
  void allowed(std::span<uint32_t> words) override {
    if (num_pushed_ == throws_at_) throw std::runtime_error("this grammar is lost");
    for (uint32_t& word : words) word = 0x55555555;
  }
  bool push(TokenId id) override {
    ++num_pushed_;
    return id % 2 == 0;
  }
  std::unique_ptr<TokenConstraint> clone() const override {
    return std::make_unique<EvenTokens>(*this);
  }

 private:
  size_t throws_at_, num_pushed_ = 0;
};

TEST(ServiceRequests, CancelFreesBlocksAndOthersGoOn) {
  auto fake = std::make_unique<FakeModel>();
  FakeModel& model = *fake;
  auto service = make_batching_service(std::move(fake), options_of(2));
  model.hold();
  Collector gone, stays, waits;
  const uint64_t id = *service->submit(input_of({1, 2}, 500), gone.on_delta()).id;
  service->submit(input_of({3, 4}, 400), stays.on_delta());
  const uint64_t waiting = *service->submit(input_of({5}, 3), waits.on_delta()).id;
  service->cancel(waiting);
  service->cancel(id);
  service->cancel(id);         // twice is once
  service->cancel(123456789);  // nobody
  model.release();
  EXPECT_EQ(gone.wait().last().finish_reason, FinishReason::kCancelled);
  EXPECT_LE(gone.ids().size(), 1u);  // of the step that was under way
  EXPECT_EQ(waits.wait().last().finish_reason, FinishReason::kCancelled);
  EXPECT_TRUE(waits.ids().empty());
  EXPECT_EQ(stays.wait().last().finish_reason, FinishReason::kLength);
  EXPECT_EQ(stays.ids().size(), 400u);
  EXPECT_EQ(service->stats().kv_blocks_used, 0u);
  EXPECT_EQ(service->stats().cancelled, 2u);
}

TEST(ServiceRequests, AFullQueueRefusesAndADrainingServiceToo) {
  ServiceOptions options = options_of(1);
  options.max_queue = 1;
  auto fake = std::make_unique<FakeModel>();
  FakeModel& model = *fake;
  auto service = make_batching_service(std::move(fake), options);
  model.hold();
  Collector a, b;
  ASSERT_TRUE(service->submit(input_of({1}, 500), a.on_delta()).id);
  ASSERT_TRUE(service->submit(input_of({2}, 500), b.on_delta()).id);
  const SubmitResult full = service->submit(input_of({3}, 1), [](CompletionDelta&&) {});
  EXPECT_FALSE(full.id);
  EXPECT_EQ(full.refusal, Refusal::kQueueFull);
  EXPECT_GE(full.retry_after_seconds, 1);
  service->drain();
  EXPECT_EQ(service->submit(input_of({3}, 1), [](CompletionDelta&&) {}).refusal,
            Refusal::kDraining);
  EXPECT_FALSE(service->idle());
  model.release();
  EXPECT_EQ(a.wait().ids().size(), 500u);  // what was taken on is computed
  EXPECT_EQ(b.wait().ids().size(), 500u);
  while (!service->idle()) std::this_thread::yield();
}

TEST(ServiceRequests, WhatCanNeverBeComputedIsRefusedAtOnce) {
  auto service = fake_service(options_of(1));
  const auto refusal = [&](CompletionInput input) {
    try {
      service->submit(std::move(input), [](CompletionDelta&&) {});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidInput);
      return std::string(error.what());
    }
    return std::string("taken");
  };
  EXPECT_THAT(refusal(input_of({}, 1)), HasSubstr("empty"));
  EXPECT_THAT(refusal(input_of(std::vector<TokenId>(513, 1), 1)), HasSubstr("513"));
  EXPECT_THAT(refusal(input_of({50}, 1)), HasSubstr("vocabulary of 50"));
  EXPECT_THAT(refusal(input_of({-1}, 1)), HasSubstr("-1"));
  CompletionInput input = input_of({1}, 1);
  input.generate.sampling.top_p = 3;
  EXPECT_THAT(refusal(std::move(input)), HasSubstr("top_p"));
  input = input_of({1}, 1);
  input.generate.stop = {"x"};
  EXPECT_THAT(refusal(std::move(input)), HasSubstr("tokenizer"));
  EXPECT_TRUE(service->idle());
  Collector full;
  service->submit(input_of(std::vector<TokenId>(512, 1), 5), full.on_delta());
  EXPECT_EQ(full.wait().last().finish_reason, FinishReason::kLength);
  EXPECT_TRUE(full.ids().empty());
}

TEST(ServiceRequests, ConstraintsHoldWithAndWithoutDraftsAndLogprobsAreTheModels) {
  const FakeModelOptions fake{.repetitive = true};
  std::vector<std::vector<TokenId>> answers;
  for (const bool drafts : {false, true}) {
    ServiceOptions options = options_of(2);
    options.drafts = drafts;
    auto service = fake_service(options, fake);
    Collector c;
    CompletionInput input = input_of({1, 2, 3}, 120);
    input.constraint = std::make_unique<EvenTokens>();
    input.generate.top_logprobs = 50;
    service->submit(std::move(input), c.on_delta());
    c.wait();
    answers.push_back(c.ids());
    EXPECT_EQ(service->stats().accepted_tokens > 0, drafts);
    const FakeModel model(fake);
    uint64_t state = model.next_state(0, 3);
    for (size_t i = 0; i < c.ids().size(); ++i) {
      EXPECT_EQ(c.ids()[i] % 2, 0);
      const std::vector<float> logits = model.logits_of(state);
      EXPECT_EQ(c.logprobs()[i].chosen.logprob, logprob_of(logits, c.ids()[i]));
      EXPECT_EQ(c.logprobs()[i].top[0].id, static_cast<TokenId>(index_of_max(logits)));
      state = model.next_state(state, c.ids()[i]);
    }
  }
  EXPECT_EQ(answers[0].size(), 120u);
  EXPECT_EQ(answers[0], answers[1]);
}

// By a clock that the steps move on: where a row costs as much as a step, drafts stop by
// themselves.
TEST(ServiceRequests, DraftsAreMadeWhileTheyPay) {
  std::vector<std::vector<TokenId>> answers;
  std::vector<uint64_t> drafts;
  for (const bool dear : {false, true}) {
    auto fake = std::make_unique<FakeModel>(FakeModelOptions{
        .repetitive = true, .step_seconds = dear ? 0.0 : 1.0, .row_seconds = dear ? 1.0 : 0.01});
    const FakeModel& model = *fake;
    ServiceOptions options = options_of(1);
    options.now = [&model] { return model.now(); };
    auto service = make_batching_service(std::move(fake), options);
    Collector c;
    CompletionInput input = input_of({1, 2, 3}, 500);
    input.generate.sampling = {.temperature = 0.5f, .seed = 5};  // some drafts are wrong
    service->submit(std::move(input), c.on_delta());
    answers.push_back(c.wait().ids());
    drafts.push_back(service->stats().draft_tokens);
    EXPECT_EQ(c.last().usage.draft_tokens, drafts.back());
  }
  EXPECT_EQ(answers[0], answers[1]);
  EXPECT_GT(drafts[0], 3 * drafts[1]);
  EXPECT_GT(drafts[1], 0u);
  printf("[ drafts ] cheap %zu, dear %zu\n", drafts[0], drafts[1]);
}

// Guesses of multi-token prediction: made while they pay, fewer the less often they are right, and
// none where a run of the layer costs more than a step of the model or they are wrong.
TEST(ServiceRequests, GuessesAreMadeWhileTheyPay) {
  struct Case {
    uint64_t wrong;  // one guess in so many
    double mtp_seconds, row_seconds;
  };
  std::vector<std::vector<TokenId>> answers;
  std::vector<uint64_t> guesses, right;
  std::vector<double> seconds;
  for (const Case& c : {Case{0, 0, 0.01}, Case{1'000'000, 0.02, 0.01}, Case{2, 0.02, 0.01},
                        Case{1'000'000, 1.5, 0.01}, Case{1, 0.1, 0.1}}) {
    auto fake = std::make_unique<FakeModel>(FakeModelOptions{.step_seconds = 1,
                                                             .row_seconds = c.row_seconds,
                                                             .mtp_wrong = c.wrong,
                                                             .mtp_seconds = c.mtp_seconds});
    const FakeModel& model = *fake;
    ServiceOptions options = options_of(1);
    options.kv_memory = 0;
    options.now = [&model] { return model.now(); };
    auto service = make_batching_service(std::move(fake), options);
    Collector collector;
    service->submit(input_of({1, 2, 3}, 400), collector.on_delta());
    answers.push_back(collector.wait().ids());
    guesses.push_back(service->stats().mtp_draft_tokens);
    right.push_back(service->stats().mtp_accepted_tokens);
    seconds.push_back(model.now());
    EXPECT_EQ(answers.back(), answers[0]);
  }
  EXPECT_EQ(guesses[0], 0u);
  EXPECT_EQ(right[1], guesses[1]);
  EXPECT_LT(seconds[1], 0.3 * seconds[0]);  // four guesses a step, all right
  EXPECT_LT(seconds[2], 0.75 * seconds[0]);
  EXPECT_GT(right[2], 100u);
  EXPECT_LT(guesses[3], 40u);  // tried, and given up
  EXPECT_LT(guesses[4], 100u);
  EXPECT_GT(guesses[4], 10u);
  for (size_t i = 0; i < guesses.size(); ++i) {
    printf("[ drafts ] %zu guesses, %zu right, %.1f s\n", guesses[i], right[i], seconds[i]);
  }
}

TEST(ServiceRequests, OneThatFailsEndsAlone) {
  auto service = fake_service(options_of(4));
  Collector bad_grammar, good;
  CompletionInput input = input_of({1, 2}, 100);
  input.constraint = std::make_unique<EvenTokens>(5);
  service->submit(std::move(input), bad_grammar.on_delta());
  std::atomic<int> calls = 0;
  service->submit(input_of({2, 3}, 100), [&](CompletionDelta&&) {
    ++calls;
    throw 7;
  });
  service->submit(input_of({3, 4}, 200), good.on_delta());
  EXPECT_THAT(bad_grammar.wait().last().error, HasSubstr("grammar is lost"));
  EXPECT_EQ(bad_grammar.ids().size(), 5u);
  EXPECT_FALSE(bad_grammar.last().finish_reason);
  EXPECT_EQ(good.wait().ids().size(), 200u);
  while (!service->idle()) std::this_thread::yield();
  EXPECT_EQ(calls, 2);  // the delta, and the end that tells of its failure
  EXPECT_EQ(service->stats().failed, 2u);
  EXPECT_EQ(service->stats().kv_blocks_used, 0u);
}

TEST(ServiceRequests, AStepThatFailsEndsItsRequestsAndTheServiceGoesOn) {
  auto fake = std::make_unique<FakeModel>();
  FakeModel& model = *fake;
  auto service = make_batching_service(std::move(fake), options_of(2));
  model.fail_next_step();
  Collector bad, good;
  service->submit(input_of({1}, 5), bad.on_delta());
  EXPECT_THAT(bad.wait().last().error, HasSubstr("told to fail"));
  service->submit(input_of({1}, 5), good.on_delta());
  EXPECT_EQ(good.wait().ids().size(), 5u);
}

TEST(ServiceRequests, PromptLogprobsOfEveryToken) {
  ServiceOptions options = options_of(3);
  options.prefill_tokens = 11;
  auto service = fake_service(options);
  std::vector<TokenId> prompt;
  for (int i = 0; i < 150; ++i) prompt.push_back(1 + i * i % 47);
  std::deque<Collector> collectors;
  for (int i = 0; i < 4; ++i) {  // later ones find the beginning cached, and read it all the same
    CompletionInput input = input_of(prompt, 100);
    input.prompt_logprobs = 1;
    service->submit(std::move(input), collectors.emplace_back().on_delta());
    if (i == 0) collectors[0].wait();
  }
  const FakeModel model;
  for (Collector& c : collectors) {
    c.wait();
    ASSERT_EQ(c.prompt_logprobs().size(), prompt.size() - 1);
    uint64_t state = 1;
    for (size_t i = 0; i + 1 < prompt.size(); ++i) {
      state = model.next_state(state, prompt[i]);
      const std::vector<float> logits = model.logits_of(state);
      ASSERT_EQ(c.prompt_logprobs()[i].chosen.id, prompt[i + 1]);
      ASSERT_EQ(c.prompt_logprobs()[i].chosen.logprob, logprob_of(logits, prompt[i + 1]));
      ASSERT_EQ(c.prompt_logprobs()[i].top.size(), 1u);
    }
    EXPECT_EQ(c.last().usage.cached_tokens, 0u);
    EXPECT_EQ(c.ids(), collectors[0].ids());
  }
}

TEST(ServiceRequests, ARestartedServiceKnowsTheOldConversation) {
  const testing::TempDir dir;
  const std::string path = dir.path() + "/prefixes.kv";
  std::vector<TokenId> line(200, 3);
  std::vector<TokenId> answer;
  {
    auto service = fake_service(options_of(2));
    Collector c;
    service->submit(input_of(line, 100), c.on_delta());
    answer = c.wait().ids();
    EXPECT_EQ(service->save_prefixes(path), 4u);  // 299 tokens were read: four whole blocks
  }
  line.insert(line.end(), answer.begin(), answer.begin() + 90);
  auto service = fake_service(options_of(2));
  const BatchingService::Loaded loaded = service->load_prefixes(path);
  EXPECT_EQ(loaded.blocks, 4u);
  EXPECT_EQ(loaded.message, "");
  EXPECT_EQ(service->stats().kv_blocks_cached, 4u);
  Collector c;
  service->submit(input_of(line, 10), c.on_delta());
  EXPECT_EQ(c.wait().last().usage.cached_tokens, 256u);
  EXPECT_TRUE(std::equal(c.ids().begin(), c.ids().end(), answer.begin() + 90));
  auto other = fake_service(options_of(2), {.seed = 2});
  EXPECT_THAT(other->load_prefixes(path).message, HasSubstr("another model"));
}

TEST(ServiceRequests, DestructionCancelsWhatIsLeft) {
  std::deque<Collector> collectors(5);
  {
    auto service = fake_service(options_of(2));
    for (Collector& c : collectors) service->submit(input_of({1}, 0), c.on_delta());
    collectors[0].wait_for_ids(1);
  }
  for (Collector& c : collectors) EXPECT_TRUE(c.last().last());
}

TEST(ServiceRequests, ManyThreadsSubmitCancelAndLook) {
  auto service = fake_service(options_of(4));
  std::vector<std::thread> threads;
  std::atomic<size_t> ended = 0;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        CompletionInput input = input_of({t + 1, i + 1, 5}, 20);
        input.tenant = std::string(1, static_cast<char>('a' + t));
        const SubmitResult result =
            service->submit(std::move(input), [&](CompletionDelta&& d) { ended += d.last(); });
        if (i % 3 == 0 && result.id) service->cancel(*result.id);
        if (!result.id) ++ended;
        service->stats();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (!service->idle()) std::this_thread::yield();
  EXPECT_EQ(ended, 120u);
}

TEST(ServiceRequests, TheNullModelAnswersText) {
  Engine engine(testing::testdata("../models/nano-v0"), {.num_threads = 1});
  ServiceOptions options;
  options.null_model = true;
  auto service = make_batching_service(engine, options);
  Collector c;
  CompletionInput input = input_of({1, 2, 3}, 50);
  input.generate.stop = {"never said"};
  service->submit(std::move(input), c.on_delta());
  EXPECT_EQ(c.wait().last().finish_reason, FinishReason::kLength);
  EXPECT_EQ(c.ids().size(), 50u);
  EXPECT_GT(c.text().size(), 100u);
}

}  // namespace
}  // namespace axk1
