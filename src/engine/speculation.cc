#include "engine/speculation.h"

#include <algorithm>
#include <bit>

namespace axk1 {

PromptLookup::PromptLookup(size_t context_tokens)
    : last_(std::bit_ceil(std::clamp<size_t>(context_tokens, 64, size_t{1} << 16))) {}

void PromptLookup::clear() {
  std::fill(last_.begin(), last_.end(), 0);
  num_seen_ = 0;
}

void PromptLookup::propose(std::span<const TokenId> tokens, size_t most,
                           std::vector<TokenId>& drafts) {
  drafts.clear();
  if (tokens.size() < kGram) return;
  // `end` is the position behind the run.
  const auto slot = [&](size_t end) -> uint32_t& {
    uint64_t hash = 0;
    for (size_t i = end - kGram; i < end; ++i) {
      hash = (hash ^ static_cast<uint32_t>(tokens[i])) * 0x9e3779b97f4a7c15u;
    }
    return last_[hash >> 40 & (last_.size() - 1)];
  };
  for (size_t end = std::max(num_seen_ + 1, kGram); end < tokens.size(); ++end) {
    slot(end) = static_cast<uint32_t>(end);
  }
  num_seen_ = tokens.size() - 1;  // the end itself is entered when something follows it
  const size_t from = slot(tokens.size());
  if (from == 0) return;
  const auto run = tokens.subspan(from - kGram, kGram);
  if (!std::equal(run.begin(), run.end(), tokens.end() - kGram)) return;
  const auto after = tokens.subspan(from, std::min(most, tokens.size() - from));
  drafts.assign(after.begin(), after.end());
}

void StepCost::record(size_t num_rows, double seconds) {
  constexpr double kFade = 0.99;
  const double rows = static_cast<double>(num_rows);
  for (double* sum : {&weight_, &rows_, &seconds_, &rows2_, &both_}) *sum *= kFade;
  weight_ += 1;
  rows_ += rows;
  seconds_ += seconds;
  rows2_ += rows * rows;
  both_ += rows * seconds;
  const double mean_rows = rows_ / weight_, mean_seconds = seconds_ / weight_;
  const double variance = rows2_ / weight_ - mean_rows * mean_rows;
  // Steps of one size say nothing of another: what was learned before stays.
  if (weight_ < 8 || variance < 0.05) return;
  each_ = std::max(0.0, (both_ / weight_ - mean_rows * mean_seconds) / variance);
  fixed_ = std::max(0.0, mean_seconds - each_ * mean_rows);
  known_ = true;
}

double StepCost::row_share(size_t num_sequences) const {
  const double growing = each_ * static_cast<double>(num_sequences);
  if (!known_ || growing + fixed_ <= 0) return 0.5;
  return growing / (growing + fixed_);
}

std::optional<double> StepCost::seconds(size_t num_rows) const {
  if (!known_) return std::nullopt;
  return fixed_ + each_ * static_cast<double>(num_rows);
}

bool DraftGate::open(size_t num_tokens, double row_share) {
  if (num_tokens < closed_until_) return false;
  if (rate_ > row_share) return true;
  closed_until_ = num_tokens + pause_;
  pause_ = std::min<size_t>(pause_ * 2, 4096);
  rate_ = row_share + 0.25;  // the next try gets some drafts before it is judged
  return false;
}

void DraftGate::record(size_t proposed, size_t accepted) {
  for (size_t i = 0; i < proposed; ++i) rate_ += ((i < accepted ? 1.0 : 0.0) - rate_) / 16;
}

namespace {

void fade(double& mean, double seconds) {
  mean = mean > 0 ? mean + (seconds - mean) / 16 : seconds;
}

}  // namespace

void MtpCost::record_first(double seconds) {
  fade(first_, seconds);
}
void MtpCost::record_next(double seconds) {
  fade(next_, seconds);
}

void MtpRates::record(size_t proposed, size_t accepted, double weight) {
  constexpr double kDrift = 1.0 / 32;  // of what a trial moves
  for (size_t k = 0; k < std::min({proposed, accepted + 1, rate.size()}); ++k) {
    rate[k] += ((k < accepted ? 1.0 : 0.0) - rate[k]) * weight;
  }
  if (proposed > 0 && proposed < rate.size()) {
    rate[proposed] += (MtpRates().rate[proposed] - rate[proposed]) * weight * kDrift;
  }
}

double MtpRates::expected(size_t num_guesses) const {
  double sum = 0, all = 1;
  for (size_t k = 0; k < std::min(num_guesses, rate.size()); ++k) sum += all *= rate[k];
  return sum;
}

std::optional<MtpGate::Costs> MtpGate::costs(const StepCost& step, const MtpCost& mtp,
                                             size_t num_sequences) {
  const auto one = step.seconds(num_sequences), two = step.seconds(2 * num_sequences);
  if (!one || mtp.first() == 0) return std::nullopt;
  return Costs{.seconds = *one, .row = *two - *one, .first = mtp.first(), .next = mtp.next()};
}

size_t MtpGate::guesses(size_t num_tokens, const std::optional<Costs>& costs, size_t most) {
  most = std::min(most, kMaxMtpGuesses);
  if (most == 0 || num_tokens < closed_until_) return 0;
  if (!costs) return (tried_ = !tried_) ? 1 : 0;
  size_t best = 0;
  double best_speed = 1 / costs->seconds, seconds = costs->seconds;
  for (size_t n = 1; n <= most; ++n) {
    seconds += costs->row + (n == 1 ? costs->first : costs->next);
    const double speed = (1 + rates_.expected(n)) / seconds;
    if (speed > best_speed) best = n, best_speed = speed;
  }
  if (best > 0) return best;
  closed_until_ = num_tokens + pause_;
  pause_ = std::min<size_t>(pause_ * 2, 4096);
  // The next try gets some guesses before it is judged.
  const double even = (costs->row + costs->first) / costs->seconds;
  rates_.rate[0] = std::max(rates_.rate[0], std::min(1.0, even + 0.25));
  return 0;
}

}  // namespace axk1
