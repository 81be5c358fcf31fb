#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "base/rng.h"

namespace axk1 {
namespace {

constexpr size_t kBlockTokens = 4;

struct Fixture {
  Fixture(size_t num_blocks, const SchedulerOptions& options)
      : blocks(num_blocks, kBlockTokens), scheduler(blocks, options), limits(options) {}

  ScheduledSequence& submit(size_t num_tokens, size_t answer, const std::string& tenant = "",
                            int priority = 0, TokenId first = -1) {
    auto s = std::make_unique<ScheduledSequence>();
    s->tenant = tenant;
    s->priority = priority;
    for (size_t i = 0; i < num_tokens; ++i) {
      s->tokens.push_back(first >= 0 ? first : next_token++);
    }
    s->num_prompt = num_tokens;
    scheduler.submit(*s, now);
    wanted[s.get()] = num_tokens + answer;
    all.push_back(std::move(s));
    return *all.back();
  }

  // One step of a model that answers anything, and of one that takes the first `accept` drafts.
  // Ends what has its answer.
  std::vector<Scheduler::Item> step(size_t accept = 0) {
    std::set<const ScheduledSequence*> decode;
    for (const auto& s : all) {
      if (s->is_running && s->num_computed + 1 == s->tokens.size()) decode.insert(s.get());
    }
    const auto planned = scheduler.schedule(now);
    const std::vector<Scheduler::Item> items(planned.begin(), planned.end());
    scheduler.check_invariants();
    size_t rows = 0, prefill = 0;
    bool decodes = false;
    std::set<const ScheduledSequence*> seen;
    for (size_t i = 0; i < items.size(); ++i) {
      const Scheduler::Item& item = items[i];
      ScheduledSequence& s = *item.sequence;
      EXPECT_TRUE(seen.insert(&s).second);
      EXPECT_TRUE(s.is_running);
      EXPECT_GE(item.num_tokens, 1u);
      EXPECT_LE(s.num_computed + item.num_tokens + item.num_drafts, s.blocks.size() * kBlockTokens);
      EXPECT_EQ(item.wants_logits, s.num_computed + item.num_tokens == s.tokens.size());
      EXPECT_TRUE(item.wants_logits || i + 1 == items.size());
      EXPECT_TRUE(item.wants_logits || item.num_drafts == 0);
      EXPECT_LE(item.num_drafts, s.drafts.size());
      rows += item.num_tokens + item.num_drafts;
      if (decode.count(&s)) {
        decodes = true;
      } else {
        prefill += item.num_tokens;
      }
    }
    EXPECT_LE(rows, limits.step_tokens);
    if (decodes) {
      EXPECT_LE(prefill, limits.prefill_tokens);
    }
    for (const Scheduler::Item& item : items) {
      ScheduledSequence& s = *item.sequence;
      size_t computed = item.num_tokens;
      if (item.wants_logits) {
        for (size_t i = 0; i < std::min(item.num_drafts, accept); ++i, ++computed) {
          s.tokens.push_back(s.drafts[i]);
        }
        s.tokens.push_back(next_token++);
      }
      scheduler.computed(s, computed);
      scheduler.check_invariants();
      if (s.tokens.size() >= wanted[&s]) end(s);
    }
    now += 1;
    return items;
  }

  void end(ScheduledSequence& s) {
    scheduler.remove(s);
    scheduler.check_invariants();
    ended.insert(&s);
    wanted.erase(&s);
  }

  BlockManager blocks;
  Scheduler scheduler;
  SchedulerOptions limits;
  double now = 100;
  TokenId next_token = 1000;
  std::map<const ScheduledSequence*, size_t> wanted;  // tokens at which each ends
  std::set<const ScheduledSequence*> ended;
  std::vector<std::unique_ptr<ScheduledSequence>> all;
};

TEST(Scheduler, DecodesFirstThenFillsTheStepWithPrompts) {
  Fixture f(100, {.max_running = 4, .step_tokens = 10, .prefill_tokens = 6});
  f.submit(3, 50);
  f.submit(25, 50);
  auto items = f.step();  // nobody decodes yet: the whole step is for prompts
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].num_tokens, 3u);
  EXPECT_EQ(items[1].num_tokens, 7u);
  items = f.step();
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].num_tokens, 1u);
  EXPECT_EQ(items[1].num_tokens, 6u);
  f.step();
  items = f.step();
  EXPECT_EQ(items[1].num_tokens, 6u);
  EXPECT_TRUE(items[1].wants_logits);
}

TEST(Scheduler, HigherPriorityIsAdmittedFirstAndTakesPlaces) {
  Fixture f(100, {.max_running = 1, .step_tokens = 16});
  ScheduledSequence& low = f.submit(4, 100);
  f.step();
  EXPECT_TRUE(low.is_running);
  ScheduledSequence& high = f.submit(4, 3, "", 1);
  f.step();
  EXPECT_TRUE(high.is_running);
  EXPECT_EQ(low.times_preempted, 1u);
  f.step(), f.step();
  EXPECT_TRUE(f.ended.count(&high));
  f.step();
  EXPECT_TRUE(low.is_running);
}

TEST(Scheduler, WaitingRaisesPriorityAndThenNobodyTakesThePlace) {
  Fixture f(100, {.max_running = 1, .step_tokens = 16, .aging_seconds = 20});
  ScheduledSequence* high = &f.submit(4, 5, "", 1);
  ScheduledSequence& low = f.submit(4, 30);
  for (int i = 0; i < 100 && !f.ended.count(&low); ++i) {
    f.step();
    if (f.ended.count(high)) high = &f.submit(4, 5, "", 1);  // there is always one
  }
  EXPECT_TRUE(f.ended.count(&low));
  EXPECT_EQ(low.times_preempted, 0u);
}

TEST(Scheduler, TenantsShareWhateverTheyAskFor) {
  Fixture f(400, {.max_running = 4, .step_tokens = 16, .aging_seconds = 1e9});
  for (int i = 0; i < 60; ++i) f.submit(4, 20, "many");
  for (int i = 0; i < 3; ++i) f.step();
  for (int i = 0; i < 10; ++i) f.submit(4, 20, "few");
  std::map<std::string, size_t> rows;
  for (int i = 0; i < 60; ++i) {
    for (const auto& item : f.step()) rows[item.sequence->tenant] += item.num_tokens;
  }
  // Both have work all the time: equal up to a request in each place.
  EXPECT_NEAR(static_cast<double>(rows["many"]), static_cast<double>(rows["few"]), 4 * 24);
}

TEST(Scheduler, ATenantThatComesBackHasNoClaimToThePast) {
  Fixture f(100, {.max_running = 1, .step_tokens = 16, .aging_seconds = 1e9});
  f.submit(4, 2, "a");
  while (!f.wanted.empty()) f.step();
  for (int i = 0; i < 20; ++i) f.submit(4, 10, "b");
  for (int i = 0; i < 50; ++i) f.step();
  for (int i = 0; i < 20; ++i) f.submit(4, 10, "a");
  std::map<std::string, size_t> rows;
  for (int i = 0; i < 80; ++i) {
    for (const auto& item : f.step()) rows[item.sequence->tenant] += item.num_tokens;
  }
  EXPECT_NEAR(static_cast<double>(rows["a"]), static_cast<double>(rows["b"]), 2 * 14);
}

TEST(Scheduler, WhoeverComesLastLosesItsBlocksAndReadsAgainOnlyWhatIsGone) {
  Fixture f(8, {.max_running = 2, .step_tokens = 32});
  ScheduledSequence& first = f.submit(8, 20);
  ScheduledSequence& second = f.submit(8, 20);
  while (!f.ended.count(&first)) f.step();
  EXPECT_EQ(first.times_preempted, 0u);
  EXPECT_GE(second.times_preempted, 1u);
  while (!f.ended.count(&second)) f.step();
  EXPECT_EQ(second.tokens.size(), 28u);
  EXPECT_EQ(f.blocks.counts().held, 0u);
}

TEST(Scheduler, PrefixesAreFoundAndTheLastTokenIsAlwaysRead) {
  Fixture f(20, {.max_running = 2, .step_tokens = 32});
  f.submit(12, 1, "a", 0, 7);
  f.step();
  const ScheduledSequence& again = f.submit(12, 1, "a", 0, 7);
  EXPECT_EQ(f.step()[0].num_tokens, 4u);
  EXPECT_EQ(again.num_cached, 8u);
  const ScheduledSequence& other = f.submit(12, 1, "b", 0, 7);
  EXPECT_EQ(f.step()[0].num_tokens, 12u);
  EXPECT_EQ(other.num_cached, 0u);
}

TEST(Scheduler, DraftsTakeWhatRowsAndBlocksAreLeft) {
  Fixture f(4, {.max_running = 2, .step_tokens = 8});
  ScheduledSequence& s = f.submit(3, 12);
  f.step();
  s.drafts = {1, 2, 3, 4};
  auto items = f.step(2);
  EXPECT_EQ(items[0].num_drafts, 3u);  // half of the seven rows that are left
  EXPECT_EQ(s.num_computed, 6u);
  EXPECT_EQ(s.tokens.size(), 7u);
}

// Requests of random sizes, tenants and priorities come and leave; every one ends, no block is
// lost.
TEST(Scheduler, RandomOperations) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    Rng rng(seed);
    const size_t num_blocks = 6 + rng.next() % 40;
    const size_t max_running = 1 + rng.next() % 6;
    Fixture f(num_blocks, {.max_running = max_running,
                           .step_tokens = max_running + rng.next() % 20,
                           .prefill_tokens = 1 + rng.next() % 20,
                           .prefix_cache = seed % 4 != 3,
                           .aging_seconds = 50});
    const size_t longest = num_blocks * kBlockTokens;
    size_t submitted = 0;
    for (int op = 0; op < 1500; ++op) {
      const uint64_t what = rng.next() % 10;
      if (what < 3 && f.wanted.size() < 30) {
        const size_t total = 2 + rng.next() % (longest - 1);
        const size_t prompt = 1 + rng.next() % (total - 1);
        f.submit(prompt, total - prompt, std::string(1, static_cast<char>('a' + rng.next() % 4)),
                 static_cast<int>(rng.next() % 3),
                 rng.next() % 2 ? static_cast<TokenId>(rng.next() % 2) : -1);
        ++submitted;
      } else if (what == 3 && !f.wanted.empty()) {
        auto it = f.wanted.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(rng.next() % f.wanted.size()));
        f.end(const_cast<ScheduledSequence&>(*it->first));
      } else {
        for (auto& s : f.all) {
          if (!f.wanted.count(s.get()) || !s->is_running) continue;
          s->drafts.assign(rng.next() % 4, 5);
          const size_t left = f.wanted[s.get()] - s->tokens.size();
          s->drafts.resize(std::min(s->drafts.size(), left - 1));
        }
        f.step(rng.next() % 4);
      }
    }
    size_t steps = 0;
    for (; !f.wanted.empty() && steps < 200000; ++steps) f.step();
    EXPECT_TRUE(f.wanted.empty()) << "seed " << seed << ": " << f.wanted.size() << " never end";
    EXPECT_EQ(f.ended.size(), submitted);
    EXPECT_EQ(f.blocks.counts().held, 0u);
    EXPECT_EQ(f.scheduler.counts().running + f.scheduler.counts().waiting, 0u);
  }
}

}  // namespace
}  // namespace axk1
