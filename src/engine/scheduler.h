// What the next step computes: which requests, how many tokens of each, in which blocks. Pure
// logic: no model, no clock, no thread of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/block_manager.h"

namespace axk1 {

// A tenant's share of what is computed.
struct ScheduledTenant {
  double served = 0;  // virtual time: tokens computed
  size_t running = 0, waiting = 0;
};

// One request as the scheduler sees it. The caller owns it, fills the first part before submit(),
// appends what was chosen to `tokens`, and may read the rest.
struct ScheduledSequence {
  std::string tenant;
  int priority = 0;
  std::vector<TokenId> tokens;  // prompt, then answer
  size_t num_prompt = 0;
  bool use_prefixes = true;     // false: read every token, whatever is cached
  std::vector<TokenId> drafts;  // guesses of what follows `tokens`; the caller renews them

  bool is_running = false;
  size_t num_computed = 0;  // tokens whose latents are in `blocks`
  size_t num_cached = 0;    // of the prompt, found in the prefix cache when first admitted
  std::vector<BlockId> blocks;
  size_t num_stable = 0;  // leading blocks that are as they were when the caller last set this
  uint64_t times_preempted = 0;

 private:
  friend class Scheduler;
  uint64_t order_ = 0;  // of submission
  double waiting_since_ = 0;
  int64_t rank_ = 0;  // of a running one: its priority when it was admitted
  size_t num_published_ = 0;
  bool was_admitted_ = false;
  uint64_t in_step_ = 0, preempted_in_step_ = 0;  // last ones; steps count from 1
  ScheduledTenant* share_ = nullptr;
};

struct SchedulerOptions {
  size_t max_running = 16;
  size_t step_tokens = 512;     // rows of one step, drafts included; at least max_running
  size_t prefill_tokens = 512;  // of one step beside rows that decode
  bool prefix_cache = true;
  double aging_seconds = 30;  // waiting this long counts as one priority more
};

// Rules, in this order:
// - Every running request that only lacks its newest token gets one row, then its drafts if rows
//   and blocks are left, then unread prompts fill up the step in chunks.
// - Higher priority goes first; waiting raises it. Among equals the tenant that was given fewest
//   tokens lately goes first, then the older request. Nobody overtakes the first one that waits.
// - A request is admitted when a place and the blocks of all its tokens are there. One of a higher
//   priority, or of a tenant that has at least two running requests fewer, takes them from the last
//   in this order; so does a running request that needs a block.
// - What loses its blocks waits again, and later reads again what is no longer cached.
// One thread at a time.
class Scheduler {
 public:
  struct Item {
    ScheduledSequence* sequence;
    size_t num_tokens;  // from num_computed on
    size_t num_drafts;  // rows behind them; only with wants_logits
    bool wants_logits;  // the last of `tokens` is among them
  };
  struct Counts {
    size_t running = 0, waiting = 0;
    uint64_t preemptions = 0;
  };

  Scheduler(BlockManager& blocks, const SchedulerOptions& options);

  // Longest prompt and answer together that can be computed.
  size_t max_sequence_tokens() const { return blocks_.num_blocks() * blocks_.block_tokens(); }
  Counts counts() const { return {running_.size(), waiting_.size(), num_preemptions_}; }

  // Takes a request on, of at least one token and never more than max_sequence_tokens().
  void submit(ScheduledSequence& sequence, double now);
  // Forgets it, running or not; its blocks are free at once, or cached.
  void remove(ScheduledSequence& sequence);

  // The next step; only the last item may not want logits. Valid until the next call; empty when
  // there is nothing to do.
  std::span<const Item> schedule(double now);

  // After the step: `num_tokens` of the item's tokens and drafts are in the cache and in `tokens`.
  void computed(ScheduledSequence& sequence, size_t num_tokens);

  void check_invariants() const;  // slow, for tests

 private:
  bool before(const ScheduledSequence& a, int64_t rank_a, const ScheduledSequence& b,
              int64_t rank_b) const;
  int64_t aged_priority(const ScheduledSequence& sequence, double now) const;
  ScheduledSequence* first_waiting(double now);
  bool admit(ScheduledSequence& sequence, double now);
  bool make_room(const ScheduledSequence& for_whom, size_t num_blocks, double now);
  bool may_replace(const ScheduledSequence& victim, const ScheduledSequence& by) const;
  bool grow(ScheduledSequence& sequence, size_t num_tokens, double now);
  void preempt(ScheduledSequence& sequence, double now);
  void sort_running();

  BlockManager& blocks_;
  SchedulerOptions options_;
  std::map<std::string, ScheduledTenant>
      tenants_;  // of those with requests, or served more than others
  std::vector<ScheduledSequence*> running_, waiting_;
  std::vector<Item> items_;
  double served_ = 0;  // virtual time of the least served tenant that has requests
  uint64_t num_submitted_ = 0, num_preemptions_ = 0, step_ = 0;
};

}  // namespace axk1
