#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

bool more_likely(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.id < b.id;
}

double log_sum_exp(std::span<const float> logits) {
  const float max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(double{logit} - max);
  return max + std::log(sum);
}

void require(bool ok, const char* name, double found, const char* expected) {
  if (!ok) fail(ErrorCode::kInvalidInput, name, ": found ", found, ", expected ", expected);
}

}  // namespace

void check_sampling_options(const SamplingOptions& o, size_t vocab_size) {
  require(o.temperature >= 0 && std::isfinite(o.temperature), "temperature", o.temperature,
          "0 or more");
  require(o.top_k >= 0, "top_k", o.top_k, "0 (all) or more");
  require(o.top_p > 0 && o.top_p <= 1, "top_p", o.top_p, "more than 0, at most 1");
  require(o.min_p >= 0 && o.min_p <= 1, "min_p", o.min_p, "0 to 1");
  require(o.repetition_penalty > 0 && std::isfinite(o.repetition_penalty), "repetition_penalty",
          o.repetition_penalty, "more than 0");
  require(std::abs(o.presence_penalty) <= 2, "presence_penalty", o.presence_penalty, "-2 to 2");
  require(std::abs(o.frequency_penalty) <= 2, "frequency_penalty", o.frequency_penalty, "-2 to 2");
  for (const auto& [id, bias] : o.logit_bias) {
    require(id >= 0 && static_cast<size_t>(id) < vocab_size, "logit_bias", id,
            "a token id of the vocabulary");
    require(!std::isnan(bias), "logit_bias", bias, "a number");
  }
}

Sampler::Sampler(const SamplingOptions& options, size_t vocab_size)
    : options_(options), rng_(options.seed), scores_(vocab_size), counts_(vocab_size) {
  check_sampling_options(options, vocab_size);
  candidates_.reserve(vocab_size);
}

TokenId Sampler::sample(std::span<const float> logits, std::span<const TokenId> prompt,
                        std::span<const TokenId> answer) {
  AXK1_CHECK(logits.size() == scores_.size());
  const SamplingOptions& o = options_;
  std::copy(logits.begin(), logits.end(), scores_.begin());

  if (o.repetition_penalty != 1 || o.presence_penalty != 0 || o.frequency_penalty != 0) {
    constexpr uint32_t kInPrompt = 1u << 31;
    for (TokenId id : answer) ++counts_[static_cast<size_t>(id)];
    for (TokenId id : prompt) counts_[static_cast<size_t>(id)] |= kInPrompt;
    const auto penalise = [&](TokenId id) {
      uint32_t& count = counts_[static_cast<size_t>(id)];
      if (!count) return;  // done already
      float& score = scores_[static_cast<size_t>(id)];
      score = score > 0 ? score / o.repetition_penalty : score * o.repetition_penalty;
      if (const uint32_t in_answer = count & ~kInPrompt) {
        score -= o.presence_penalty + o.frequency_penalty * static_cast<float>(in_answer);
      }
      count = 0;
    };
    for (TokenId id : answer) penalise(id);
    for (TokenId id : prompt) penalise(id);
  }
  for (const auto& [id, bias] : o.logit_bias) scores_[static_cast<size_t>(id)] += bias;

  const auto best = std::max_element(scores_.begin(), scores_.end());
  if (o.temperature == 0) return static_cast<TokenId>(best - scores_.begin());

  // Candidates with weights relative to the best. What is below exp(-40) of it cannot be drawn with
  // 53 random bits, so it is left out of the sort.
  const double max = *best;
  const auto heavier = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  };
  candidates_.clear();
  double total = 0;
  for (size_t i = 0; i < scores_.size(); ++i) {
    const double score = (scores_[i] - max) / o.temperature;
    if (!(score > -40)) continue;
    const float weight = static_cast<float>(std::exp(score));
    candidates_.push_back({static_cast<TokenId>(i), weight});
    total += weight;
  }
  if (candidates_.empty()) return static_cast<TokenId>(best - scores_.begin());  // NaN or infinite

  size_t keep = candidates_.size();
  if (o.top_k > 0) keep = std::min(keep, static_cast<size_t>(o.top_k));
  if (keep < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(keep),
                     candidates_.end(), heavier);
    candidates_.resize(keep);
    total = 0;
    for (const Candidate& c : candidates_) total += c.weight;
  }
  if (o.top_p < 1 || o.min_p > 0) {
    std::sort(candidates_.begin(), candidates_.end(), heavier);
    const double wanted = o.top_p < 1 ? o.top_p * total : total;
    double sum = 0;
    size_t kept = 0;
    while (kept < candidates_.size() && (kept == 0 || sum < wanted) &&
           candidates_[kept].weight >= o.min_p * candidates_[0].weight) {
      sum += candidates_[kept++].weight;
    }
    candidates_.resize(kept);
    total = sum;
  }
  double left = rng_.uniform() * total;
  for (const Candidate& c : candidates_) {
    left -= c.weight;
    if (left < 0) return c.id;
  }
  return candidates_.back().id;
}

float logprob_of(std::span<const float> logits, TokenId id) {
  return static_cast<float>(logits[static_cast<size_t>(id)] - log_sum_exp(logits));
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, size_t count) {
  const double norm = log_sum_exp(logits);
  std::vector<TokenLogprob> all(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    all[i] = {static_cast<TokenId>(i), static_cast<float>(logits[i] - norm)};
  }
  count = std::min(count, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(),
                    more_likely);
  all.resize(count);
  return all;
}

}  // namespace axk1
