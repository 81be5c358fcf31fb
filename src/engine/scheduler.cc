#include "engine/scheduler.h"

#include <algorithm>
#include <limits>

#include "base/bits.h"
#include "base/check.h"

namespace axk1 {

Scheduler::Scheduler(BlockManager& blocks, const SchedulerOptions& options)
    : blocks_(blocks), options_(options) {
  AXK1_CHECK(options.max_running > 0 && options.step_tokens >= options.max_running);
  AXK1_CHECK(options.prefill_tokens > 0 && options.aging_seconds > 0 && blocks.num_blocks() > 0);
  running_.reserve(options.max_running);
  items_.reserve(options.max_running);
}

int64_t Scheduler::aged_priority(const ScheduledSequence& s, double now) const {
  const double waited = std::max(0.0, now - s.waiting_since_) / options_.aging_seconds;
  return s.priority + static_cast<int64_t>(std::min(waited, 1e9));
}

bool Scheduler::before(const ScheduledSequence& a, int64_t rank_a, const ScheduledSequence& b,
                       int64_t rank_b) const {
  if (rank_a != rank_b) return rank_a > rank_b;
  if (a.share_->served != b.share_->served) return a.share_->served < b.share_->served;
  return a.order_ < b.order_;
}

void Scheduler::submit(ScheduledSequence& s, double now) {
  AXK1_CHECK(!s.tokens.empty() && s.tokens.size() <= max_sequence_tokens());
  s.order_ = num_submitted_++;
  s.waiting_since_ = now;
  ScheduledTenant& tenant = tenants_[s.tenant];
  s.share_ = &tenant;
  // A tenant that was away has no claim to what it did not use meanwhile.
  if (tenant.running + tenant.waiting == 0) tenant.served = std::max(tenant.served, served_);
  ++tenant.waiting;
  waiting_.push_back(&s);
}

void Scheduler::remove(ScheduledSequence& s) {
  std::vector<ScheduledSequence*>& list = s.is_running ? running_ : waiting_;
  const auto it = std::find(list.begin(), list.end(), &s);
  AXK1_CHECK(it != list.end());
  list.erase(it);
  if (s.is_running) {
    --s.share_->running;
    blocks_.release(s.blocks);
    s.blocks.clear();
    s.is_running = false;
    s.num_stable = 0;
  } else {
    --s.share_->waiting;
  }
}

void Scheduler::preempt(ScheduledSequence& s, double now) {
  running_.erase(std::find(running_.begin(), running_.end(), &s));
  blocks_.release(s.blocks);
  s.blocks.clear();
  s.is_running = false;
  s.num_computed = s.num_published_ = s.num_stable = 0;
  s.drafts.clear();
  s.waiting_since_ = now;
  ++s.times_preempted;
  ++num_preemptions_;
  s.preempted_in_step_ = step_;
  --s.share_->running;
  ++s.share_->waiting;
  waiting_.push_back(&s);
}

ScheduledSequence* Scheduler::first_waiting(double now) {
  ScheduledSequence* first = nullptr;
  int64_t rank = 0;
  for (ScheduledSequence* s : waiting_) {
    const int64_t own = aged_priority(*s, now);
    if (!first || before(*s, own, *first, rank)) first = s, rank = own;
  }
  return first;
}

bool Scheduler::may_replace(const ScheduledSequence& victim, const ScheduledSequence& by) const {
  if (victim.rank_ < by.priority) return true;
  if (victim.share_ == by.share_ || victim.rank_ > by.priority) return false;
  return victim.share_->running >= by.share_->running + 2;
}

// Takes places and blocks from running requests that may be replaced, if that is enough.
bool Scheduler::make_room(const ScheduledSequence& for_whom, size_t num_blocks, double now) {
  size_t possible = blocks_.available();
  size_t victims = 0;
  for (const ScheduledSequence* s : running_) {
    if (!may_replace(*s, for_whom)) continue;
    ++victims;
    possible += s->blocks.size();  // at most: some may be shared with others
  }
  if (victims == 0 || possible < num_blocks) return false;
  while (running_.size() >= options_.max_running || blocks_.available() < num_blocks) {
    ScheduledSequence* last = nullptr;
    for (ScheduledSequence* s : running_) {
      if (!may_replace(*s, for_whom)) continue;
      if (!last || before(*last, last->rank_, *s, s->rank_)) last = s;
    }
    if (!last) return false;
    preempt(*last, now);
  }
  return true;
}

bool Scheduler::admit(ScheduledSequence& s, double now) {
  const size_t block_tokens = blocks_.block_tokens();
  // One token more than there are, so that the first step of decoding finds its place; and one
  // block to grow into for each of the others.
  const size_t needed =
      ceil_div(std::min(s.tokens.size() + 1, max_sequence_tokens()), block_tokens);
  const size_t spare = std::min(running_.size(), blocks_.num_blocks() - needed);
  AXK1_CHECK(s.blocks.empty());
  if (options_.prefix_cache && s.use_prefixes) {
    // The last token is always read: its logits are wanted.
    blocks_.match(s.tenant, std::span(s.tokens).first(s.tokens.size() - 1), s.blocks);
  }
  const size_t missing = needed - s.blocks.size();
  const bool fits =
      running_.size() < options_.max_running && blocks_.available() >= missing + spare;
  if (!fits && !make_room(s, missing, now)) {
    blocks_.release(s.blocks);
    s.blocks.clear();
    return false;
  }
  s.num_computed = s.blocks.size() * block_tokens;
  s.num_published_ = s.blocks.size();
  s.num_stable = 0;
  if (!s.was_admitted_) s.num_cached = s.num_computed;
  s.was_admitted_ = true;
  for (size_t i = 0; i < missing; ++i) s.blocks.push_back(*blocks_.allocate());
  s.rank_ = aged_priority(s, now);
  s.is_running = true;
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &s));
  running_.push_back(&s);
  --s.share_->waiting;
  ++s.share_->running;
  return true;
}

void Scheduler::sort_running() {
  std::sort(running_.begin(), running_.end(),
            [&](const ScheduledSequence* a, const ScheduledSequence* b) {
              return before(*a, a->rank_, *b, b->rank_);
            });
}

// Blocks for so many tokens, from those that come last if need be. False when that is the sequence
// itself: it has lost its blocks.
bool Scheduler::grow(ScheduledSequence& s, size_t num_tokens, double now) {
  while (s.blocks.size() * blocks_.block_tokens() < num_tokens) {
    if (const auto block = blocks_.allocate()) {
      s.blocks.push_back(*block);
      continue;
    }
    ScheduledSequence& last = *running_.back();  // sorted: none of those already served
    preempt(last, now);
    if (&last == &s) return false;
  }
  return true;
}

std::span<const Scheduler::Item> Scheduler::schedule(double now) {
  items_.clear();
  ++step_;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [name, tenant] : tenants_) {
    if (tenant.running + tenant.waiting) least = std::min(least, tenant.served);
  }
  if (least < std::numeric_limits<double>::infinity()) served_ = std::max(served_, least);
  std::erase_if(tenants_, [&](const auto& entry) {
    const ScheduledTenant& tenant = entry.second;
    return tenant.running + tenant.waiting == 0 && tenant.served <= served_;
  });

  sort_running();
  size_t budget = options_.step_tokens;
  const auto pending = [](const ScheduledSequence& s) { return s.tokens.size() - s.num_computed; };
  const auto take = [&](ScheduledSequence& s, size_t count) {
    items_.push_back({&s, count, 0, count == pending(s)});
    s.in_step_ = step_;
    budget -= count;
  };
  for (size_t i = 0; i < running_.size(); ++i) {
    ScheduledSequence& s = *running_[i];
    if (pending(s) != 1) continue;
    if (!grow(s, s.tokens.size(), now)) break;  // it was the last one
    take(s, 1);
  }

  // What lost its place in this step waits for the next one, and so do those behind it.
  for (ScheduledSequence* s = first_waiting(now); s && s->preempted_in_step_ != step_;
       s = first_waiting(now)) {
    if (!admit(*s, now)) break;
  }
  std::erase_if(items_, [](const Item& item) { return !item.sequence->is_running; });
  sort_running();

  size_t for_drafts = budget / 2;  // unread prompts keep moving
  for (Item& item : items_) {
    ScheduledSequence& s = *item.sequence;
    const size_t room = max_sequence_tokens() - s.tokens.size();
    const size_t wanted = std::min({s.drafts.size(), for_drafts, room});
    const auto capacity = [&] { return s.blocks.size() * blocks_.block_tokens(); };
    while (capacity() < s.tokens.size() + wanted && blocks_.available() > running_.size()) {
      s.blocks.push_back(*blocks_.allocate());
    }
    item.num_drafts = std::min(wanted, capacity() - s.tokens.size());
    for_drafts -= item.num_drafts;
    budget -= item.num_drafts;
  }

  if (!items_.empty()) budget = std::min(budget, options_.prefill_tokens);
  for (ScheduledSequence* s : running_) {
    if (budget == 0) break;
    if (s->in_step_ != step_) take(*s, std::min(pending(*s), budget));
  }
  return items_;
}

void Scheduler::computed(ScheduledSequence& s, size_t num_tokens) {
  AXK1_CHECK(s.is_running && s.num_computed + num_tokens <= s.tokens.size());
  s.num_computed += num_tokens;
  s.share_->served += static_cast<double>(num_tokens);
  if (!options_.prefix_cache) return;
  const size_t block_tokens = blocks_.block_tokens();
  for (; (s.num_published_ + 1) * block_tokens <= s.num_computed; ++s.num_published_) {
    const size_t i = s.num_published_;
    const BlockId block =
        blocks_.publish(s.tenant, i ? s.blocks[i - 1] : kNoBlock,
                        std::span(s.tokens).subspan(i * block_tokens, block_tokens), s.blocks[i]);
    if (block != s.blocks[i]) {
      s.blocks[i] = block;
      s.num_stable = std::min(s.num_stable, i);
    }
  }
}

void Scheduler::check_invariants() const {
  blocks_.check_invariants();
  AXK1_CHECK(running_.size() <= options_.max_running);
  size_t running = 0, waiting = 0, held = 0;
  for (const auto& [name, tenant] : tenants_) running += tenant.running, waiting += tenant.waiting;
  AXK1_CHECK(running == running_.size() && waiting == waiting_.size());
  std::vector<bool> seen(blocks_.num_blocks());
  for (const ScheduledSequence* s : running_) {
    AXK1_CHECK(s->is_running && s->num_computed < s->tokens.size());
    AXK1_CHECK(s->num_computed <= s->blocks.size() * blocks_.block_tokens());
    for (BlockId id : s->blocks) {
      held += !seen[id];
      seen[id] = true;
    }
  }
  for (const ScheduledSequence* s : waiting_) AXK1_CHECK(!s->is_running && s->blocks.empty());
  AXK1_CHECK(held == blocks_.counts().held);
}

}  // namespace axk1
