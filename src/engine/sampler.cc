#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "kernels/registry.h"

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

template <class T>
std::span<T> block_of(std::span<T> x, size_t index, size_t size) {
  return x.subspan(index * size, std::min(size, x.size() - index * size));
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

SamplerMemory::SamplerMemory(size_t vocab_size, const KernelTable* kernels)
    : softmax_block_(kernels ? kernels->softmax_block
                             : select_kernels("", cpu_features()).softmax_block),
      scores_(vocab_size),
      counts_(vocab_size),
      blocks_(ceil_div(vocab_size, kBlockTokens)) {
  candidates_.reserve(vocab_size);
}

size_t SamplerMemory::bytes(size_t vocab_size) {
  return vocab_size * (sizeof(float) + sizeof(uint32_t) + sizeof(Candidate)) +
         ceil_div(vocab_size, kBlockTokens) * sizeof(Block);
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
  const double total = weigh(scores, scores[best]);
  if (!(total > 0)) return static_cast<TokenId>(best);  // NaN or infinite
  return o.top_k > 0 || o.top_p < 1 || o.min_p > 0 ? draw_from_cut(total) : draw_from_all(total);
}

// Weights into the memory's scores_, sums and maxima of blocks of them; returns the sum of all.
double Sampler::weigh(std::span<const float> scores, float max) {
  SamplerMemory& m = *memory_;
  std::vector<float>& weights = m.scores_;  // may be what `scores` is
  for (size_t i = 0; i < scores.size(); ++i) weights[i] = scores[i] - max;
  // A finite scale keeps the best, whose score is 0 now, from becoming NaN.
  const float scale = std::min(1 / options_.temperature, std::numeric_limits<float>::max());
  float running_max = -std::numeric_limits<float>::infinity(), running_sum = 0;
  m.softmax_block_(weights.data(), weights.size(), scale, &running_max, &running_sum);

  constexpr size_t kLanes = 16;
  double total = 0;
  for (size_t b = 0; b < m.blocks_.size(); ++b) {
    const std::span<float> block = block_of(std::span(weights), b, SamplerMemory::kBlockTokens);
    float sums[kLanes] = {}, maxima[kLanes] = {};
    for (size_t i = 0; i < block.size(); ++i) {
      const float weight = block[i] > 0 ? block[i] : 0;  // of NaN too
      block[i] = weight;
      sums[i % kLanes] += weight;
      maxima[i % kLanes] = weight > maxima[i % kLanes] ? weight : maxima[i % kLanes];
    }
    m.blocks_[b] = {std::accumulate(sums, sums + kLanes, 0.0),
                    *std::max_element(maxima, maxima + kLanes)};
    total += m.blocks_[b].sum;
  }
  return total;
}

TokenId Sampler::draw_from_all(double total) {
  const SamplerMemory& m = *memory_;
  double left = rng_.uniform() * total;
  size_t last = 0;  // the last block that weighs anything, should rounding leave something over
  for (size_t b = 0; b < m.blocks_.size(); ++b) {
    if (!(m.blocks_[b].sum > 0)) continue;
    last = b;
    if (left < m.blocks_[b].sum) break;
    left -= m.blocks_[b].sum;
  }
  const size_t first = last * SamplerMemory::kBlockTokens;
  const std::span<const float> block =
      block_of(std::span<const float>(m.scores_), last, SamplerMemory::kBlockTokens);
  size_t chosen = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    if (!(block[i] > 0)) continue;
    chosen = i;
    left -= block[i];
    if (left < 0) break;
  }
  return static_cast<TokenId>(first + chosen);
}

// Appends to candidates_, sorted, the heaviest of those below `floor`, which falls; false when
// there are none. Mostly a few of the heaviest are all that is needed.
bool Sampler::sort_more(float& floor) {
  SamplerMemory& m = *memory_;
  using Candidate = SamplerMemory::Candidate;
  constexpr float kLightest = 1e-18f;  // below it, one go for all
  const size_t sorted = m.candidates_.size();
  while (floor > 0 && m.candidates_.size() == sorted) {
    const float above = std::exchange(floor, floor > kLightest ? floor / 64 : 0);
    for (size_t b = 0; b < m.blocks_.size(); ++b) {
      if (!(m.blocks_[b].max > 0) || m.blocks_[b].max < floor) continue;
      const size_t end = std::min(m.scores_.size(), (b + 1) * SamplerMemory::kBlockTokens);
      for (size_t i = b * SamplerMemory::kBlockTokens; i < end; ++i) {
        const float weight = m.scores_[i];
        if (weight >= floor && weight < above && weight > 0) {
          m.candidates_.push_back({static_cast<TokenId>(i), weight});
        }
      }
    }
  }
  std::sort(m.candidates_.begin() + static_cast<std::ptrdiff_t>(sorted), m.candidates_.end(),
            [](const Candidate& a, const Candidate& b) {
              return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
            });
  return m.candidates_.size() > sorted;
}

TokenId Sampler::draw_from_cut(double total) {
  const SamplingOptions& o = options_;
  std::vector<SamplerMemory::Candidate>& candidates = memory_->candidates_;
  candidates.clear();
  float floor = 2;  // above the best, whose weight is 1
  if (o.top_k > 0) {
    const auto most = static_cast<size_t>(o.top_k);
    while (candidates.size() < most && sort_more(floor)) {
    }
    if (candidates.size() > most) candidates.resize(most);
    floor = 0;
    total = 0;
    for (const auto& c : candidates) total += c.weight;
  }
  const double wanted = o.top_p < 1 ? o.top_p * total : total;
  double sum = 0;
  size_t kept = 0;
  while (kept == 0 || sum < wanted) {
    if (kept == candidates.size() && !sort_more(floor)) break;
    if (candidates[kept].weight < o.min_p * candidates[0].weight) break;
    sum += candidates[kept++].weight;
  }
  double left = rng_.uniform() * sum;
  for (size_t i = 0; i < kept; ++i) {
    left -= candidates[i].weight;
    if (left < 0) return candidates[i].id;
  }
  return candidates[kept - 1].id;
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
