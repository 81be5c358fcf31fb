#include "engine/mtp_drafts.h"

#include <algorithm>
#include <utility>

namespace axk1 {

MtpDrafts::MtpDrafts(StepModel& model, size_t max_sequences, std::function<double()> now)
    : model_(model), now_(std::move(now)) {
  batch_.reserve(max_sequences);
  active_.reserve(max_sequences);
  row_of_.reserve(max_sequences);
}

void MtpDrafts::run(std::span<const Line> lines, bool learn) {
  if (lines.empty()) return;
  double start = now_();
  batch_.clear();
  active_.clear();
  row_of_.clear();
  for (size_t i = 0; i < lines.size(); ++i) {
    const Line& line = lines[i];
    if (line.guesses) line.guesses->clear();
    batch_.push_back({.first_row = line.first_row,
                      .tokens = line.next,
                      .cache = line.cache,
                      .position = line.position,
                      .logits = line.num_wanted > 0});
    if (line.num_wanted > 0) active_.push_back(i);
  }
  model_.run_mtp(batch_);
  if (active_.empty()) {
    if (learn) cost_.record_keep(now_() - start);
    return;
  }
  add_guesses(lines);
  if (learn) cost_.record_first(now_() - start);

  // A guess goes on from the guess before, whose hidden state is the layer's own.
  for (;;) {
    batch_.clear();
    size_t kept = 0;
    for (size_t a = 0; a < active_.size(); ++a) {
      const Line& line = lines[active_[a]];
      const size_t position = line.position + line.next.size() + line.guesses->size() - 1;
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
