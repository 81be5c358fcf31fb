#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

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

SamplerMemory::SamplerMemory(size_t vocab_size) : scores_(vocab_size), counts_(vocab_size) {
  candidates_.reserve(vocab_size);
}

size_t index_of_max(std::span<const float> x) {
  // Maxima of lanes, which the compiler keeps in vectors, then the first place that has the
  // largest.
  constexpr size_t kLanes = 32;
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  }
  float max = *std::max_element(lanes, lanes + kLanes);
  for (; i < x.size(); ++i) max = x[i] > max ? x[i] : max;
  const auto at = std::find(x.begin(), x.end(), max);
  return at == x.end() ? 0 : static_cast<size_t>(at - x.begin());
}

Sampler::Sampler(const SamplingOptions& options, size_t vocab_size,
                 std::shared_ptr<SamplerMemory> memory)
    : options_(options), rng_(options.seed), vocab_size_(vocab_size), memory_(std::move(memory)) {
  check_sampling_options(options, vocab_size);
  if (!memory_) memory_ = std::make_shared<SamplerMemory>(vocab_size);
  AXK1_CHECK(memory_->scores_.size() == vocab_size);
}

TokenId Sampler::sample(std::span<const float> logits, std::span<const TokenId> prompt,
                        std::span<const TokenId> answer, std::span<const uint32_t> allowed) {
  AXK1_CHECK(logits.size() == vocab_size_);
  const SamplingOptions& o = options_;
  const bool penalties =
      o.repetition_penalty != 1 || o.presence_penalty != 0 || o.frequency_penalty != 0;
  if (!penalties && o.logit_bias.empty() && allowed.empty()) return choose(logits);

  std::vector<float>& scores = memory_->scores_;
  std::copy(logits.begin(), logits.end(), scores.begin());
  if (penalties) {
    constexpr uint32_t kInPrompt = 1u << 31;
    std::vector<uint32_t>& counts = memory_->counts_;
    for (TokenId id : answer) ++counts[static_cast<size_t>(id)];
    for (TokenId id : prompt) counts[static_cast<size_t>(id)] |= kInPrompt;
    const auto penalise = [&](TokenId id) {
      uint32_t& count = counts[static_cast<size_t>(id)];
      if (!count) return;  // done already
      float& score = scores[static_cast<size_t>(id)];
      score = score > 0 ? score / o.repetition_penalty : score * o.repetition_penalty;
      if (const uint32_t in_answer = count & ~kInPrompt) {
        score -= o.presence_penalty + o.frequency_penalty * static_cast<float>(in_answer);
      }
      count = 0;
    };
    for (TokenId id : answer) penalise(id);
    for (TokenId id : prompt) penalise(id);
  }
  for (const auto& [id, bias] : o.logit_bias) scores[static_cast<size_t>(id)] += bias;
  if (allowed.empty()) return choose(scores);

  AXK1_CHECK(allowed.size() * 32 >= vocab_size_);
  const auto is_allowed = [&](size_t i) { return (allowed[i / 32] >> (i % 32) & 1) != 0; };
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!is_allowed(i)) scores[i] = -std::numeric_limits<float>::infinity();
  }
  const TokenId id = choose(scores);
  if (is_allowed(static_cast<size_t>(id))) return id;
  // Everything allowed is impossible or NaN: the constraint weighs more.
  for (size_t i = 0; i < scores.size(); ++i) {
    if (is_allowed(i)) return static_cast<TokenId>(i);
  }
  return id;
}

TokenId Sampler::choose(std::span<const float> scores) {
  const SamplingOptions& o = options_;
  const size_t best = index_of_max(scores);
  if (o.temperature == 0) return static_cast<TokenId>(best);

  // Candidates with weights relative to the best. What is below exp(-40) of it cannot be drawn with
  // 53 random bits, so it is left out of the sort.
  using Candidate = SamplerMemory::Candidate;
  std::vector<Candidate>& candidates = memory_->candidates_;
  const double max = scores[best];
  const auto heavier = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  };
  candidates.clear();
  double total = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const double score = (scores[i] - max) / o.temperature;
    if (!(score > -40)) continue;
    const float weight = static_cast<float>(std::exp(score));
    candidates.push_back({static_cast<TokenId>(i), weight});
    total += weight;
  }
  if (candidates.empty()) return static_cast<TokenId>(best);  // NaN or infinite

  size_t keep = candidates.size();
  if (o.top_k > 0) keep = std::min(keep, static_cast<size_t>(o.top_k));
  if (keep < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(keep),
                     candidates.end(), heavier);
    candidates.resize(keep);
    total = 0;
    for (const Candidate& c : candidates) total += c.weight;
  }
  if (o.top_p < 1 || o.min_p > 0) {
    const double wanted = o.top_p < 1 ? o.top_p * total : total;
    double sum = 0;
    size_t kept = 0;
    const auto goes_on = [&] {
      return kept < candidates.size() && (kept == 0 || sum < wanted) &&
             candidates[kept].weight >= o.min_p * candidates[0].weight;
    };
    // Sorted only as far as needed: mostly a few of the heaviest are, so those above a floor first,
    // which then falls.
    size_t sorted = 0;
    for (float floor = 1.0f / 64; sorted < candidates.size(); floor /= 64) {
      const auto first = candidates.begin() + static_cast<std::ptrdiff_t>(sorted);
      const auto last = std::partition(first, candidates.end(),
                                       [&](const Candidate& c) { return c.weight >= floor; });
      std::sort(first, last, heavier);
      sorted = static_cast<size_t>(last - candidates.begin());
      while (kept < sorted && goes_on()) sum += candidates[kept++].weight;
      if (kept < sorted || !(sum < wanted)) break;
    }
    candidates.resize(kept);
    total = sum;
  }
  double left = rng_.uniform() * total;
  for (const Candidate& c : candidates) {
    left -= c.weight;
    if (left < 0) return c.id;
  }
  return candidates.back().id;
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
