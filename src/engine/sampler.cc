#include "engine/sampler.h"

#include <algorithm>
#include <bit>
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

constexpr size_t kLanes = 32;  // of sums and maxima that the compiler keeps in vectors
// Below the best by more than 53 random bits can tell.
constexpr float kLightestWeight = 1e-18f;

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
      scores_(ceil_div(vocab_size, kBlockTokens) * kBlockTokens),
      counts_(vocab_size),
      heaviest_(ceil_div(vocab_size, kBlockTokens)) {}

size_t SamplerMemory::bytes(size_t vocab_size) {
  const size_t blocks = ceil_div(vocab_size, kBlockTokens);
  return blocks * (kBlockTokens + 1) * sizeof(float) + vocab_size * sizeof(uint32_t);
}

size_t index_of_max(std::span<const float> x) {
  // Maxima of lanes, which the compiler keeps in vectors, then the first place that has the
  // largest.
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
  AXK1_CHECK(memory_->counts_.size() == vocab_size);
}

TokenId Sampler::sample(std::span<const float> logits, std::span<const TokenId> prompt,
                        std::span<const TokenId> answer, std::span<const uint32_t> allowed) {
  AXK1_CHECK(logits.size() == vocab_size_);
  const SamplingOptions& o = options_;
  const bool penalties =
      o.repetition_penalty != 1 || o.presence_penalty != 0 || o.frequency_penalty != 0;
  if (!penalties && o.logit_bias.empty() && allowed.empty()) return choose(logits);

  const std::span<float> scores = std::span(memory_->scores_).first(vocab_size_);
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
  weigh(scores, scores[best]);
  const double total = mass(kLightestWeight).weight;
  if (!(total > 0)) return static_cast<TokenId>(best);  // NaN or infinite
  return draw(cut(total));
}

// Weights relative to the best into the memory's scores_, which `scores` may be part of.
void Sampler::weigh(std::span<const float> scores, float max) {
  SamplerMemory& m = *memory_;
  std::vector<float>& weights = m.scores_;
  for (size_t i = 0; i < vocab_size_; ++i) weights[i] = scores[i] - max;
  // A finite scale keeps the best, whose score is 0 now, from becoming NaN.
  const float scale = std::min(1 / options_.temperature, std::numeric_limits<float>::max());
  float running_max = -std::numeric_limits<float>::infinity(), running_sum = 0;
  m.softmax_block_(weights.data(), vocab_size_, scale, &running_max, &running_sum);
  for (size_t b = 0; b < m.heaviest_.size(); ++b) {
    float* block = &weights[b * SamplerMemory::kBlockTokens];
    float lanes[kLanes] = {};
    for (size_t i = 0; i < SamplerMemory::kBlockTokens; i += kLanes) {
      for (size_t j = 0; j < kLanes; ++j) {
        block[i + j] = block[i + j] > 0 ? block[i + j] : 0;  // of NaN too
        lanes[j] = block[i + j] > lanes[j] ? block[i + j] : lanes[j];
      }
    }
    m.heaviest_[b] = *std::max_element(lanes, lanes + kLanes);
  }
}

// Of a block's weights from `lightest` on.
Sampler::Mass Sampler::block_mass(size_t index, float lightest) const {
  const SamplerMemory& m = *memory_;
  if (m.heaviest_[index] < lightest) return {0, 0};
  const float* block = &m.scores_[index * SamplerMemory::kBlockTokens];
  float sums[kLanes] = {};
  uint32_t counts[kLanes] = {};
  for (size_t i = 0; i < SamplerMemory::kBlockTokens; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) {
      sums[j] += block[i + j] >= lightest ? block[i + j] : 0;
      counts[j] += block[i + j] >= lightest ? 1 : 0;
    }
  }
  return {std::accumulate(sums, sums + kLanes, 0.0), std::accumulate(counts, counts + kLanes, 0u)};
}

// Grows as `lightest` falls, also when rounded.
Sampler::Mass Sampler::mass(float lightest) const {
  Mass mass{0, 0};
  for (size_t b = 0; b < memory_->heaviest_.size(); ++b) {
    const Mass block = block_mass(b, lightest);
    mass.weight += block.weight;
    mass.count += block.count;
  }
  return mass;
}

// No sorting: halving the weights that may be the lightest, as integers, finds it in 30 sums, most
// of which skip most blocks.
Sampler::Cut Sampler::cut(double total) const {
  const SamplingOptions& o = options_;
  Cut cut{kLightestWeight, Cut::kAll, total};
  // The heaviest weight from which on there is `enough`, which there is from cut.lightest on.
  const auto lightest_with = [&](auto&& enough) {
    uint32_t low = std::bit_cast<uint32_t>(cut.lightest), high = std::bit_cast<uint32_t>(2.0f);
    while (high - low > 1) {
      const uint32_t middle = low + (high - low) / 2;
      (enough(mass(std::bit_cast<float>(middle))) ? low : high) = middle;
    }
    return std::bit_cast<float>(low);
  };
  const auto above = [&] { return mass(std::nextafter(cut.lightest, 2.0f)); };
  const auto keep_equal = [&](const Mass& heavier, size_t equal) {
    cut.equal = equal;
    cut.weight = heavier.weight + static_cast<double>(equal) * double{cut.lightest};
  };

  const auto most = static_cast<size_t>(o.top_k);
  if (most > 0 && most < vocab_size_ && most < mass(cut.lightest).count) {
    cut.lightest = lightest_with([&](const Mass& m) { return m.count >= most; });
    const Mass heavier = above();
    keep_equal(heavier, most - heavier.count);
  }
  if (o.top_p < 1) {
    const double wanted = o.top_p * cut.weight;
    size_t equal = cut.equal;
    Mass heavier = above();
    if (heavier.weight >= wanted) {
      cut.lightest = lightest_with([&](const Mass& m) { return m.weight >= wanted; });
      equal = Cut::kAll;
      heavier = above();
    }
    equal = std::min(equal, mass(cut.lightest).count - heavier.count);
    const double missing = std::max(1.0, std::ceil((wanted - heavier.weight) / cut.lightest));
    if (missing < static_cast<double>(equal)) equal = static_cast<size_t>(missing);
    keep_equal(heavier, equal);
  }
  if (o.min_p > cut.lightest) cut = {o.min_p, Cut::kAll, mass(o.min_p).weight};
  return cut;
}

TokenId Sampler::draw(const Cut& cut) {
  const SamplerMemory& m = *memory_;
  const float above = std::nextafter(cut.lightest, 2.0f);
  double left = rng_.uniform() * cut.weight;
  // The block where it falls. Should rounding leave something over, the last one that has any.
  size_t block = 0, block_equal = 0, equal_left = cut.equal;
  for (size_t b = 0; b < m.heaviest_.size(); ++b) {
    Mass kept = block_mass(b, cut.lightest);
    if (kept.count == 0) continue;
    size_t num_equal = kept.count;  // at most
    if (cut.equal != Cut::kAll) {
      const Mass heavier = block_mass(b, above);
      num_equal = std::min(equal_left, kept.count - heavier.count);
      kept = {heavier.weight + static_cast<double>(num_equal) * double{cut.lightest},
              heavier.count + num_equal};
      if (kept.count == 0) continue;
      equal_left -= num_equal;
    }
    block = b;
    block_equal = num_equal;
    if (left < kept.weight) break;
    left -= kept.weight;
  }
  size_t chosen = 0;
  const size_t first = block * SamplerMemory::kBlockTokens;
  for (size_t i = first; i < first + SamplerMemory::kBlockTokens; ++i) {
    const float weight = m.scores_[i];
    if (weight < cut.lightest) continue;
    if (weight == cut.lightest) {
      if (block_equal == 0) continue;
      --block_equal;
    }
    chosen = i;
    left -= weight;
    if (left < 0) break;
  }
  return static_cast<TokenId>(chosen);
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
