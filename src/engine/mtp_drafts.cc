#include "engine/mtp_drafts.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace axk1 {
namespace {

// The tokens after `count` positions.
std::span<const TokenId> next_tokens(const MtpDrafts::Line& line, size_t position, size_t count) {
  return line.tokens.subspan(position + 1, count);
}

bool decodes(const MtpDrafts::Line& line) {
  return line.tokens.size() == line.position + line.num_rows + 1;
}

}  // namespace

MtpPending::MtpPending(size_t hidden_size, size_t max_rows)
    : width_(hidden_size), rows_((kLatentBlockTokens + max_rows) * hidden_size) {}

size_t MtpPending::bytes(size_t hidden_size, size_t max_rows) {
  return (kLatentBlockTokens + max_rows) * hidden_size * sizeof(float);
}

MtpDrafts::MtpDrafts(StepModel& model, size_t max_sequences, size_t max_rows,
                     std::function<double()> now)
    : model_(model), max_rows_(max_rows), now_(std::move(now)) {
  batch_.reserve(max_sequences);
  active_.reserve(max_sequences);
  row_of_.reserve(max_sequences);
}

void MtpDrafts::run(std::span<const Line> lines, bool learn) {
  double start = now_();
  active_.clear();
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].guesses) lines[i].guesses->clear();
    if (lines[i].num_wanted > 0) active_.push_back(i);
  }
  read_prompts(lines);
  read_pending(lines);
  if (active_.empty()) return;
  add_guesses(lines);
  if (learn) cost_.record_first(now_() - start);

  // A guess goes on from the guess before, whose hidden state is the layer's own.
  for (;;) {
    batch_.clear();
    size_t kept = 0;
    for (size_t a = 0; a < active_.size(); ++a) {
      const Line& line = lines[active_[a]];
      const size_t position = line.position + line.num_rows + line.guesses->size() - 1;
      if (line.guesses->size() >= line.num_wanted || position >= line.cache->capacity()) continue;
      batch_.push_back({.first_row = row_of_[a],
                        .tokens = std::span(*line.guesses).last(1),
                        .cache = line.cache,
                        .position = position,
                        .logits = true});
      active_[kept++] = active_[a];
    }
    active_.resize(kept);
    if (active_.empty()) return;
    start = now_();
    model_.run_mtp(batch_);
    add_guesses(lines);
    if (learn) cost_.record_next(now_() - start);
  }
}

// What is kept of the step is copied first: the layer's own run overwrites it. Of a prompt that is
// the last row alone, and only where a guess is to come from it.
void MtpDrafts::read_prompts(std::span<const Line> lines) {
  batch_.clear();
  for (const Line& line : lines) {
    MtpPending& pending = *line.pending;
    const bool keeps_all = decodes(line) && line.num_rows <= max_rows_;
    const size_t kept = keeps_all ? line.num_rows : line.num_wanted > 0 ? 1 : 0;
    const size_t direct = line.num_rows - kept;
    if (direct > 0) {
      AXK1_CHECK(pending.count_ == 0);
      batch_.push_back({.first_row = line.first_row,
                        .tokens = next_tokens(line, line.position, direct),
                        .cache = line.cache,
                        .position = line.position});
    }
    if (kept == 0) continue;
    if (pending.count_ == 0) pending.position_ = line.position + direct;
    AXK1_CHECK(pending.position_ + pending.count_ == line.position + direct);
    model_.copy_hidden(line.first_row + direct, kept,
                       pending.rows_.data() + pending.count_ * pending.width_);
    pending.count_ += kept;
  }
  if (!batch_.empty()) model_.run_mtp(batch_);
}

// In one run as a rule; rows without a guess go first where that has too many.
void MtpDrafts::read_pending(std::span<const Line> lines) {
  batch_.clear();
  batch_rows_ = 0;
  size_t num_guessing = 0;
  for (size_t i : active_) num_guessing += lines[i].pending->count_;
  const bool together = num_guessing <= model_.max_step_tokens();
  for (const Line& line : lines) {
    MtpPending& pending = *line.pending;
    const size_t end = pending.position_ + pending.count_;
    if (line.num_wanted > 0) {
      if (!together) add_rows(line, 0, pending.count_ - 1, false);
    } else if (end / kLatentBlockTokens > pending.position_ / kLatentBlockTokens) {
      add_rows(line, 0, pending.count_, false);
      pending.count_ = 0;
    }
  }
  run_batch();
  for (size_t i : active_) {
    MtpPending& pending = *lines[i].pending;
    const size_t first = together ? 0 : pending.count_ - 1;
    add_rows(lines[i], first, pending.count_ - first, true);
    pending.count_ = 0;
  }
  run_batch();
}

// Pending rows of a line. With logits they stay in one run.
void MtpDrafts::add_rows(const Line& line, size_t first, size_t count, bool logits) {
  const MtpPending& pending = *line.pending;
  while (count > 0) {
    if (batch_rows_ == model_.max_step_tokens()) run_batch();
    const size_t taken = std::min(count, model_.max_step_tokens() - batch_rows_);
    batch_.push_back({.hidden = pending.rows_.data() + first * pending.width_,
                      .tokens = next_tokens(line, pending.position_ + first, taken),
                      .cache = line.cache,
                      .position = pending.position_ + first,
                      .logits = logits});
    batch_rows_ += taken;
    first += taken;
    count -= taken;
  }
}

void MtpDrafts::run_batch() {
  if (!batch_.empty()) model_.run_mtp(batch_);
  batch_.clear();
  batch_rows_ = 0;
}

// One more for each active line: the rows of the run are theirs, in order.
void MtpDrafts::add_guesses(std::span<const Line> lines) {
  const std::span<const float> logits = model_.logits(0, active_.size());
  const size_t vocab = logits.size() / active_.size();
  row_of_.clear();
  for (size_t a = 0; a < active_.size(); ++a) {
    const auto row = logits.subspan(a * vocab, vocab);
    const auto best = std::max_element(row.begin(), row.end()) - row.begin();
    lines[active_[a]].guesses->push_back(static_cast<TokenId>(best));
    row_of_.push_back(a);
  }
}

}  // namespace axk1
