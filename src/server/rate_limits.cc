#include "server/rate_limits.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "base/text.h"

namespace axk1 {
namespace {

constexpr double kMinute = 60;

// As OpenAI writes durations: "20ms", "1.5s", "6m0s".
std::string duration_text(double seconds) {
  if (seconds < 1) return cat(static_cast<int64_t>(std::ceil(seconds * 1000)), "ms");
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 60) return cat(whole, "s");
  return cat(whole / 60, "m", whole % 60, "s");
}

std::string utc_text(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

int64_t whole_level(TokenBucket& bucket, double now) {
  return std::max<int64_t>(0, static_cast<int64_t>(std::floor(bucket.level(now) + 1e-9)));
}

}  // namespace

void TokenBucket::refill(double now) {
  if (last_ > 0 && now > last_) {
    level_ = std::min(capacity_, level_ + (now - last_) * capacity_ / kMinute);
  }
  last_ = std::max(last_, now);
}

double TokenBucket::wait_for(double amount, double now) {
  refill(now);
  const double missing = std::min(amount, capacity_) - level_;
  return missing <= 1e-9 ? 0 : missing * kMinute / capacity_;
}

void TokenBucket::take(double amount, double now) {
  refill(now);
  level_ -= amount;
}

double TokenBucket::level(double now) {
  refill(now);
  return level_;
}

double TokenBucket::seconds_to_full(double now) {
  refill(now);
  return (capacity_ - level_) * kMinute / capacity_;
}

RateLimiter::State& RateLimiter::state_of(const ApiKey& key) {
  State& state = states_[key.id];
  const KeyLimits& limits = key.limits;
  const auto renew = [](std::optional<TokenBucket>& bucket, int64_t& known, int64_t wanted) {
    if (known == wanted) return;
    known = wanted;
    bucket.reset();
    if (wanted > 0) bucket.emplace(static_cast<double>(wanted));
  };
  renew(state.requests, state.limits.requests_per_minute, limits.requests_per_minute);
  renew(state.tokens, state.limits.tokens_per_minute, limits.tokens_per_minute);
  state.limits.concurrent_requests = limits.concurrent_requests;
  return state;
}

std::optional<RateLimiter::Refusal> RateLimiter::begin(const ApiKey& key, double now) {
  State& state = state_of(key);
  if (state.limits.concurrent_requests > 0 && state.running >= state.limits.concurrent_requests) {
    return Refusal{"concurrent requests", 1};
  }
  if (state.requests) {
    if (const double wait = state.requests->wait_for(1, now); wait > 0) {
      return Refusal{"requests", wait};
    }
  }
  // Who has overdrawn its tokens need not send its prompt at all.
  if (state.tokens) {
    if (const double wait = state.tokens->wait_for(1, now); wait > 0)
      return Refusal{"tokens", wait};
  }
  if (state.requests) state.requests->take(1, now);
  ++state.running;
  return std::nullopt;
}

std::optional<RateLimiter::Refusal> RateLimiter::take_prompt(const std::string& key_id,
                                                             size_t tokens, double now) {
  const auto found = states_.find(key_id);
  if (found == states_.end() || !found->second.tokens) return std::nullopt;
  TokenBucket& bucket = *found->second.tokens;
  const auto amount = static_cast<double>(tokens);
  if (const double wait = bucket.wait_for(amount, now); wait > 0) return Refusal{"tokens", wait};
  bucket.take(amount, now);
  return std::nullopt;
}

void RateLimiter::end(const std::string& key_id, size_t answer_tokens, double now) {
  const auto found = states_.find(key_id);
  if (found == states_.end()) return;
  State& state = found->second;
  if (state.running > 0) --state.running;
  if (state.tokens) state.tokens->take(static_cast<double>(answer_tokens), now);
}

HttpHeaders RateLimiter::openai_headers(const std::string& key_id, double now) {
  HttpHeaders headers;
  const auto found = states_.find(key_id);
  if (found == states_.end()) return headers;
  const auto add = [&](std::optional<TokenBucket>& bucket, const char* what) {
    if (!bucket) return;
    headers.emplace_back(cat("x-ratelimit-limit-", what),
                         cat(static_cast<int64_t>(bucket->capacity())));
    headers.emplace_back(cat("x-ratelimit-remaining-", what), cat(whole_level(*bucket, now)));
    headers.emplace_back(cat("x-ratelimit-reset-", what),
                         duration_text(bucket->seconds_to_full(now)));
  };
  add(found->second.requests, "requests");
  add(found->second.tokens, "tokens");
  return headers;
}

HttpHeaders RateLimiter::anthropic_headers(const std::string& key_id, double now,
                                           int64_t wall_seconds) {
  HttpHeaders headers;
  const auto found = states_.find(key_id);
  if (found == states_.end()) return headers;
  const auto add = [&](std::optional<TokenBucket>& bucket, const char* what) {
    if (!bucket) return;
    headers.emplace_back(cat("anthropic-ratelimit-", what, "-limit"),
                         cat(static_cast<int64_t>(bucket->capacity())));
    headers.emplace_back(cat("anthropic-ratelimit-", what, "-remaining"),
                         cat(whole_level(*bucket, now)));
    headers.emplace_back(
        cat("anthropic-ratelimit-", what, "-reset"),
        utc_text(wall_seconds + static_cast<int64_t>(std::ceil(bucket->seconds_to_full(now)))));
  };
  add(found->second.requests, "requests");
  add(found->second.tokens, "tokens");
  return headers;
}

}  // namespace axk1
